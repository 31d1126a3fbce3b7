"""While a restore works on the data, no other pod gets at it, whoever asks for one."""

import restores
from processes import catch_agent
from support import api
from support.kubectl import kubectl, refusal


def foreign_pod(shop):
    """A pod of somebody who wants a quick look at the files."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "curious"},
        "spec": {
            "containers": [
                {"name": "look", "image": "localhost/dbrestore-test-postgres:15", "command": ["sleep", "1d"]}
            ],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": f"data-{shop.name}-0"}}],
        },
    }


def failed_creations(shop):
    selector = f"involvedObject.name={shop.name},reason=FailedCreate"
    events = api.items("events", shop.namespace, fields=selector)
    return [event["message"] for event in events]


def test_scaling_up_during_a_restore_is_refused_with_its_name_and_does_no_harm(shop):
    copies = shop.dump_and_change()
    restore = restores.of_shop(shop, copies.path)
    agent = catch_agent(restore.uid, "prepare")
    fence = shop.server_status()["fence"]
    assert fence["restoreUID"] == restore.uid and fence["claimNames"] == [f"data-{shop.name}-0"]

    def stubbornly_scaled_up():
        shop.scale(1)
        return [text for text in failed_creations(shop) if f"DatabaseRestore {restore.name}" in text]

    restore.wait_until("its name in a FailedCreate event", stubbornly_scaled_up, 30)
    assert f"DatabaseRestore {restore.name}" in refusal(
        "create", objects=foreign_pod(shop), namespace=shop.namespace
    )
    assert not api.items("pods", shop.namespace, labels=f"app={shop.name}")

    restore.wait_until("it is scaled down again", lambda: shop.replicas() == 0, 30)
    agent.resume()
    restores.must_have_outlived_a_scaling(shop, restore, copies)


def test_the_fence_is_down_before_and_after(shop):
    for when in ("before", "after"):
        if when == "after":
            restores.of_shop(shop, shop.dump_and_change().path).must_succeed()
        kubectl("create", objects=foreign_pod(shop), namespace=shop.namespace)
        kubectl("delete", "pod", "curious", "--force", "--grace-period=0", namespace=shop.namespace)


def test_a_pod_that_mounts_the_data_already_is_waited_for_and_named(shop):
    copies = shop.dump_and_change()
    kubectl("create", objects=foreign_pod(shop), namespace=shop.namespace)
    try:
        restore = restores.of_shop(shop, copies.path).wait_for_phase("Stopping")
        restore.wait_until("the pod is named", lambda: "curious" in restore.message())
    finally:
        kubectl("delete", "pod", "curious", "--force", "--grace-period=0", namespace=shop.namespace)
    restore.must_succeed()
    shop.must_hold(copies.of_the_dump)
