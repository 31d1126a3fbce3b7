"""A database in a Deployment: its pods have names of their own, and a rollout can start a second one."""

import json

import pytest

import restores
from processes import catch_agent
from shop import Shop
from support import api
from support.kubectl import kubectl, wait_for


def as_deployment(objects):
    """One pod at a time, on a claim that was there before."""
    deployment = objects["Deployment"] = objects.pop("StatefulSet") | {"kind": "Deployment"}
    name = deployment["metadata"]["name"]
    del deployment["spec"]["serviceName"], deployment["spec"]["volumeClaimTemplates"]
    deployment["spec"]["strategy"] = {"type": "Recreate"}
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": f"{name}-disk"}}
    deployment["spec"]["template"]["spec"]["volumes"].append(volume)


def rolling(objects):
    """As a Deployment is unless it says otherwise."""
    as_deployment(objects)
    del objects["Deployment"]["spec"]["strategy"]


@pytest.fixture(scope="module")
def shared_shop(namespace):
    return Shop(namespace, adapt=as_deployment).deploy().fill().register()


def test_it_is_restored_and_undone(shop):
    copies = shop.dump_and_change()
    pod = shop.pod()["metadata"]["name"]
    restore = restores.of_shop(shop, copies.path).must_succeed()
    assert shop.pod()["metadata"]["name"] != pod
    assert restore.condition("DatabaseReady")[0] == "True"
    assert not [f for f in restore.status["preflight"] if f["result"] == "Warning" and f["check"] == "RollingUpdate"]
    shop.must_hold(copies.of_the_dump)
    shop.must_be_clean()
    restores.undo(restore, shop.name).must_succeed()
    shop.wait_ready()
    shop.must_hold(copies.before)


def refusals_of(shop):
    """What the Deployment's ReplicaSet was told when it tried to make a pod."""
    events = api.items("events", shop.namespace, fields="reason=FailedCreate")
    return [e["message"] for e in events if e["involvedObject"]["name"].startswith(shop.name + "-")]


def test_scaling_up_during_a_restore_is_refused_with_its_name_and_does_no_harm(shop):
    copies = shop.dump_and_change()
    restore = restores.of_shop(shop, copies.path)
    agent = catch_agent(restore.uid, "prepare")

    def stubbornly_scaled_up():
        shop.scale(1)
        return [text for text in refusals_of(shop) if f"DatabaseRestore {restore.name}" in text]

    restore.wait_until("its name in a FailedCreate event", stubbornly_scaled_up, 30)
    assert shop.pods() == []
    restore.wait_until("it is scaled down again", lambda: shop.replicas() == 0, 30)
    agent.resume()
    restores.must_have_outlived_a_scaling(shop, restore, copies)


def test_an_edit_of_the_stopped_deployment_is_what_starts(shop):
    copies = shop.dump_and_change()
    restore = restores.of_shop(shop, copies.path)
    agent = catch_agent(restore.uid, "prepare")
    kubectl("set", "env", shop.workload, "EDITED=meanwhile", namespace=shop.namespace)
    agent.resume()
    restore.must_succeed()
    shop.wait_ready()
    assert shop.execute("printenv", "EDITED").strip() == "meanwhile"
    shop.must_hold(copies.of_the_dump)


def test_a_rolling_one_is_warned_of_and_refused_while_it_has_two_pods(namespace):
    shop = Shop(namespace, "rolling", adapt=rolling).deploy().fill().register()
    copies = shop.dump_and_change()
    # A rollout that does not come to its end. A real second server would destroy the data.
    sleeping = [{"op": "replace", "path": "/spec/template/spec/containers/0/args", "value": ["sleep", "1d"]}]
    kubectl("patch", shop.workload, "--type=json", f"--patch={json.dumps(sleeping)}", namespace=namespace)
    wait_for("a second pod", lambda: len(shop.pods()) == 2)
    refused = restores.of_shop(shop, copies.path).wait_until_ended().must_have("Failed", "UnsupportedTopology")
    assert "a rollout is under way" in refused.message()
    kubectl("rollout", "undo", shop.workload, namespace=namespace)
    shop.wait_ready()
    restore = restores.of_shop(shop, copies.path).must_succeed()
    warnings = [f for f in restore.status["preflight"] if f["check"] == "RollingUpdate"]
    assert [f["result"] for f in warnings] == ["Warning"] and "must be Recreate" in warnings[0]["message"]
    shop.wait_ready()
    shop.must_hold(copies.of_the_dump)
    shop.must_be_clean()
