"""Others who touch the same objects while a restore works on them: an autoscaler, GitOps, people with kubectl."""

import contextlib
import copy
import os
import threading
from pathlib import Path

import pytest

import restores
from processes import Held, catch_agent, find_process
from restores import must_be_as_the_status_says
from support.kubectl import CommandError, kubectl, wait_for


@contextlib.contextmanager
def again_and_again(act, pause_seconds):
    """Something that acts for as long as the block lasts, and may fail at times. Yields how often it acted."""
    done, acted = threading.Event(), []

    def run():
        while not done.wait(pause_seconds):
            with contextlib.suppress(CommandError):
                act()
                acted.append(True)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield acted
    finally:
        done.set()
        thread.join()


@pytest.fixture
def preparing(shop):
    """A restore held at the beginning of Preparing. It has to succeed, whatever the test does meanwhile."""
    copies = shop.dump_and_change()
    restore = restores.of_shop(shop, copies.path)
    agent = catch_agent(restore.uid, "prepare", "postgres")
    yield shop, restore, agent
    restore.must_succeed(300)
    shop.wait_ready()
    shop.must_hold(copies.of_the_dump)
    shop.must_be_clean()


def autoscaler_of(shop):
    metric = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": shop.name},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": shop.name},
            "minReplicas": 1,
            "maxReplicas": 3,
            "metrics": [metric],
        },
    }


def test_an_autoscaler_leaves_the_stopped_database_alone(preparing):
    shop, restore, agent = preparing

    def why_it_does_not_scale():
        conditions = shop.get("horizontalpodautoscaler").get("status", {}).get("conditions", [])
        return {c["type"]: c["reason"] for c in conditions}.get("ScalingActive")

    kubectl("apply", objects=autoscaler_of(shop), namespace=shop.namespace)
    try:
        wait_for("the autoscaler has looked", lambda: why_it_does_not_scale() == "ScalingDisabled", 60)
        assert shop.replicas() == 0
    finally:
        kubectl("delete", "horizontalpodautoscaler", shop.name, namespace=shop.namespace)
    agent.resume()


def test_gitops_that_puts_the_replicas_back_every_second_does_no_harm(shop):
    copies = shop.dump_and_change()
    wanted = copy.deepcopy(shop.objects["StatefulSet"])
    wanted["spec"]["replicas"] = 1
    options = ["--server-side", "--force-conflicts", "--field-manager=gitops"]
    with again_and_again(lambda: kubectl("apply", *options, objects=wanted, namespace=shop.namespace), 1) as applied:
        restore = restores.of_shop(shop, copies.path).must_succeed(300)
        assert len(applied) > 5
    restores.must_have_outlived_a_scaling(shop, restore, copies)


def test_every_step_does_without_its_first_job(shop):
    copies = shop.dump_and_change()
    restore = restores.of_shop(shop, copies.path)
    deleted = set()

    def delete_first_jobs():
        for job in restore.jobs():
            labels = job["metadata"]["labels"]
            if labels["dbrestore.dev/attempt"] == "1" and labels["dbrestore.dev/step"] not in deleted:
                kubectl("delete", "job", job["metadata"]["name"], "--wait=false", namespace=shop.namespace)
                deleted.add(labels["dbrestore.dev/step"])

    with again_and_again(delete_first_jobs, 0.1):
        must_be_as_the_status_says(shop, restore, copies)
    restore.must_have("Succeeded")
    assert deleted >= {"preflight", "quiesce", "prepare", "verify", "commit", "verify-live"}


def test_an_edit_of_the_stopped_workload_is_what_starts(preparing):
    shop, restore, agent = preparing
    edit = ["set", "env", f"statefulset/{shop.name}", "EDITED=meanwhile"]
    kubectl(*edit, namespace=shop.namespace)
    agent.resume()
    restore.must_succeed()
    shop.wait_ready()
    assert shop.execute("printenv", "EDITED").strip() == "meanwhile"
    kubectl("set", "env", f"statefulset/{shop.name}", "EDITED-", namespace=shop.namespace)
    kubectl("rollout", "status", f"statefulset/{shop.name}", "--timeout=90s", namespace=shop.namespace)


def test_a_workload_that_is_made_anew_is_started_on_the_restored_data(preparing):
    shop, restore, agent = preparing
    kubectl("delete", "statefulset", shop.name, namespace=shop.namespace)
    agent.resume()
    kubectl("apply", objects=shop.objects["StatefulSet"], namespace=shop.namespace)


def postmaster_of(shop):
    uid = shop.pod()["metadata"]["uid"]

    def matches(words, pid):
        is_server = os.path.basename(words[0]) == "postgres"
        return is_server and uid in Path(f"/proc/{pid}/cgroup").read_text().replace("_", "-")

    return Held(find_process(matches))


def test_a_database_that_was_deleted_by_force_and_runs_on_is_never_written_beside(shop):
    copies = shop.dump_and_change()
    postmaster = postmaster_of(shop)
    restore = restores.of_shop(shop, copies.path)
    quiesce = catch_agent(restore.uid, "quiesce")
    quiesce.resume()
    quiesce.wait_until_ended()
    # From here on the server does not hear that it is to end.
    postmaster.stop()
    restore.wait_until("its pod is to end", lambda: "deletionTimestamp" in shop.pod()["metadata"], 30)
    kubectl("delete", "pod", f"{shop.name}-0", "--force", "--grace-period=0", namespace=shop.namespace)
    must_be_as_the_status_says(shop, restore, copies)
    restore.must_have("Succeeded")
