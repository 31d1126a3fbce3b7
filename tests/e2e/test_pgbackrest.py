"""The pgBackRest of the agent's bundle, in the images of databases that archive with their own."""

import pytest

from layouts import container_of, of_version_17, variable
from pgbackrest_repository import AS_POSTGRES, archive_all
from processes import at_once
from release import tear_down
from shop import FINGERPRINT, Shop
from support.kubectl import kubectl, run, temporary_namespace, wait_for

REPOSITORY = "/dumps/repository"
# The database's own says by these where it archives to.
SETTINGS = {
    "STANZA": "shop",
    "REPO1_PATH": REPOSITORY,
    "REPO1_RETENTION_FULL": "9",
    "PG1_PATH": "/var/lib/postgresql/data/pgdata",
    "PG1_USER": "shopkeeper",
    "LOG_LEVEL_FILE": "off",
    "START_FAST": "y",
}


def archiving(objects):
    container_of(objects)["args"] += ["-c", "archive_mode=on", "-c", "archive_command=pgbackrest archive-push %p"]
    for name, value in SETTINGS.items():
        variable(objects, f"PGBACKREST_{name}", value)


def archiving_17(objects):
    of_version_17(objects)
    archiving(objects)


@pytest.fixture(scope="module")
def namespace(cluster):
    with temporary_namespace("e2e-pgbackrest") as name:
        try:
            yield name
        finally:
            tear_down(name)


@pytest.fixture(scope="module")
def servers(namespace):
    """By the version of the pgBackRest that their images hold."""
    shops = Shop(namespace, "older", adapt=archiving), Shop(namespace, "newer", adapt=archiving_17)
    older, newer = at_once(lambda shop: shop.deploy().fill(), shops)
    return {"2.45": older, "2.55.1": newer}


def restorer(shop):
    """A pod of the shape of a restore's: the database's image with the bundle, as its user, on a read-only root."""
    restricted = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True}
    mounts = {"bundle": "/dbrestore", "tmp": "/tmp", "copy": "/copy", "dumps": "/dumps"}
    volumes = [{"name": name, "emptyDir": {}} for name in ("bundle", "tmp", "copy")]
    volumes.append({"name": "dumps", "persistentVolumeClaim": {"claimName": f"{shop.name}-dumps"}})
    install = {
        "name": "install",
        "image": "localhost/dbrestore-agent:dev",
        "command": ["/dbrestore/dbrestore-agent", "install", "/bundle"],
        "volumeMounts": [{"name": "bundle", "mountPath": "/bundle"}],
        "securityContext": restricted,
    }
    container = {
        "name": "postgres",
        "image": shop.container["image"],
        "command": ["sleep", "1d"],
        "volumeMounts": [{"name": name, "mountPath": path} for name, path in mounts.items()],
        "securityContext": restricted,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{shop.name}-restorer"},
        "spec": {
            "securityContext": {"runAsUser": 999, "runAsGroup": 999, "fsGroup": 999},
            "initContainers": [install],
            "containers": [container],
            "terminationGracePeriodSeconds": 0,
            "volumes": volumes,
        },
    }


def back_up(shop):
    shop.execute("install", "-d", "-o", "postgres", REPOSITORY)
    shop.execute(*AS_POSTGRES, "pgbackrest", "stanza-create")
    shop.execute(*AS_POSTGRES, "pgbackrest", "backup", "--type=full")


@pytest.mark.parametrize("version", ["2.45", "2.55.1"])
def test_the_bundles_pgbackrest_restores_what_the_databases_own_has_archived(namespace, servers, version):
    shop = servers[version]
    assert shop.value("SHOW archive_mode") == "on"
    assert shop.execute("pgbackrest", "version") == f"pgBackRest {version}\n"
    back_up(shop)
    # What only the WAL holds.
    shop.change()
    archive_all(shop)
    kubectl("create", objects=restorer(shop), namespace=namespace)
    pod = f"{shop.name}-restorer"
    kubectl("wait", "--for=condition=Ready", f"pod/{pod}", "--timeout=60s", namespace=namespace)

    def inside(*command, stdin=""):
        words = ["exec", "-i", pod, "-c", "postgres", f"--namespace={namespace}", "--", *command]
        return run("kubectl", *words, stdin=stdin)

    pgbackrest = ["/dbrestore/pgbackrest", f"--repo1-path={REPOSITORY}", "--stanza=shop", "--pg1-path=/copy/data"]
    assert inside(pgbackrest[0], "version") == "pgBackRest 2.55.1\n"
    inside("mkdir", "-m", "0700", "/copy/data")
    told = inside(
        *(*pgbackrest, "restore", "--process-max=2", "--lock-path=/tmp/lock"),
        *("--log-level-file=off", "--log-level-console=detail"),
    )
    assert " P01 " in told and " P02 " in told, "both workers restored files"
    server = "-c archive_mode=off -c listen_addresses= -c unix_socket_directories=/copy"
    inside("pg_ctl", "start", "--wait", "--pgdata=/copy/data", "--log=/copy/log", f"--options={server}")
    psql = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "/copy", "-U", shop.user(), "-d", shop.name]
    wait_for("the copy is promoted", lambda: inside(*psql, "-c", "SELECT pg_is_in_recovery()") == "f\n")
    shop.must_hold(inside(*psql, "-f", "-", stdin=FINGERPRINT.read_text()), but_unlogged=True)
