"""Servers that are set up differently: on the volume's root, without root, stopped, another superuser."""

import restores
from release import installed_operator
from shop import Shop
from support import api
from support.kubectl import kubectl


def on_the_root_of_its_volume(objects):
    container = objects["StatefulSet"]["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [entry for entry in container["env"] if entry["name"] != "PGDATA"]


def under_its_usual_superuser(objects):
    """POSTGRES_USER is not set: the superuser is `postgres`, and the database has its name unless told."""
    container = objects["StatefulSet"]["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [entry for entry in container["env"] if entry["name"] != "POSTGRES_USER"]
    del objects["Secret"]["stringData"]["username"]


def without_root(objects):
    spec = objects["StatefulSet"]["spec"]["template"]["spec"]
    spec["securityContext"] = {
        "runAsNonRoot": True,
        "runAsUser": 999,
        "runAsGroup": 999,
        "fsGroup": 999,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    spec["containers"][0]["securityContext"] = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }


def restored(shop):
    copies = shop.dump_and_change()
    restore = restores.of_shop(shop, copies.path).must_succeed()
    shop.wait_ready()
    shop.must_hold(copies.of_the_dump)
    shop.must_be_clean()
    return restore


def test_a_data_directory_that_is_the_root_of_its_volume(namespace):
    shop = Shop(namespace, "rooted", adapt=on_the_root_of_its_volume).deploy().fill().register()
    restored(shop)


def test_the_superuser_postgres(namespace):
    shop = Shop(namespace, "plain", adapt=under_its_usual_superuser).deploy().fill().register()
    restored(shop)


def test_a_server_that_is_scaled_to_zero_is_restored_and_stays_so(namespace):
    shop = Shop(namespace, "resting").deploy().fill().register()
    copies = shop.dump_and_change()
    shop.scale(0)
    shop.wait_stopped()
    restore = restores.of_shop(shop, copies.path).must_succeed()
    assert shop.replicas() == 0
    assert restore.status["originalReplicas"] == 0
    assert restore.condition("DataRestored")[0] == "True"
    assert restore.condition("DatabaseReady")[0] != "True"
    shop.scale(1)
    shop.wait_ready()
    shop.must_hold(copies.of_the_dump)


def test_the_database_is_restored_under_the_restricted_pod_security_standard(cluster):
    restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
    with installed_operator("e2e-restricted", restricted) as release:
        shop = Shop(release.namespace, adapt=without_root).deploy().fill().register()
        restore = restored(shop)
        selector = "dbrestore.dev/restore-name=" + restore.name
        pods = api.items("pods", release.namespace, labels=selector)
        assert pods
        for pod in pods:
            context = pod["spec"]["securityContext"]
            # Who does not mount the data need not be its owner.
            mounts_data = any(volume["name"] == "data" for volume in pod["spec"]["volumes"])
            assert context["runAsUser"] == (999 if mounts_data else 65532) and "fsGroup" not in context
            assert context["supplementalGroups"] == [999]
        assert api.items("events", release.namespace, fields="reason=FailedCreate") == []
