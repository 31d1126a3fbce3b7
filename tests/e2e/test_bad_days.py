"""The cluster's bad days, while a restore runs: API server, etcd, network, credentials."""

import datetime
import time

import pytest

import restores
from bad_days import (
    compact_etcd,
    must_have_restored,
    partitioned,
    serving_certificate,
    step_by_step,
    without,
)
from processes import Held, catch_agent
from support import api
from support.kubectl import kubectl, run, wait_for

pytestmark = pytest.mark.alone
AWAY_SECONDS = 3
PARTITION_SECONDS = 60


@pytest.fixture
def preparing(operator, shop):
    """A restore that is held in Preparing, with everything else well."""
    operator.wait_ready()
    copies = shop.dump_and_change()
    restore = restores.of_shop(shop, copies.path)
    agent = catch_agent(restore.uid, "prepare", "postgres")
    restore.wait_for_phase("Preparing")
    return restore, agent, copies


def uids_of(pods):
    return {pod["metadata"]["uid"] for pod in pods}


def log_since(pod, when):
    """What the pod's operator has said since then, whether or not its container was started again meanwhile."""
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    said = kubectl("logs", name, f"--since-time={when}", namespace=namespace)
    status = api.get("pod", name, namespace)["status"]
    if status["containerStatuses"][0]["restartCount"]:
        said = kubectl("logs", name, "--previous", f"--since-time={when}", namespace=namespace) + said
    return said


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_etcd_is_killed_and_then_the_api_server_which_comes_back_with_another_certificate(shop):
    copies, certificate = shop.dump_and_change(), serving_certificate()
    restore = restores.of_shop(shop, copies.path)
    processes = {"prepare": "etcd", "verify": "kube-apiserver"}
    for step, agent in step_by_step(restore, processes):
        if step == "verify":
            run("hack/cluster", "renew-certificate")
        with without(processes[step]):
            agent.resume()  # so the step ends while nobody can be told
            time.sleep(AWAY_SECONDS)
    must_have_restored(shop, restore, copies)
    assert serving_certificate() != certificate


def test_what_happened_before_a_compaction_is_seen_by_listing_again(operator, shop, preparing):
    restore, agent, copies = preparing
    pods, leader, begun = operator.pods(), Held(operator.process()), now()
    queued = restores.of_shop(shop, copies.path).wait_for_phase("Queued")
    leader.stop()
    queued.delete(wait=False)
    unsupported = restores.of_shop(shop, copies.path, strategy="StageFirst")
    compact_etcd()
    with without("kube-apiserver"):
        pass  # what it still knew of the past is gone as well
    leader.resume()
    agent.resume()
    for pod in pods:
        wait_for("410 in the log", lambda: " 410 " in log_since(pod, begun), 30)
    unsupported.wait_for_reason("Validated", "NotSupportedYet")
    queued.wait_until_gone()
    must_have_restored(shop, restore, copies)
    assert not queued.jobs()


def test_a_partition_of_a_minute_is_got_over_without_help(operator, shop, preparing):
    restore, agent, copies = preparing
    pods, begun = operator.pods(), datetime.datetime.now(datetime.timezone.utc)
    with partitioned(pods):
        agent.resume()
        time.sleep(PARTITION_SECONDS)
        renewed = datetime.datetime.fromisoformat(operator.lease()["renewTime"].replace("Z", "+00:00"))
        assert renewed < begun + datetime.timedelta(seconds=2), "the partition let something through"
        assert restore.phase == "Preparing"
    restore.wait_for_phase("Verifying", "Committing", "Starting", "Succeeded", timeout_seconds=60)
    must_have_restored(shop, restore, copies)
    assert uids_of(operator.pods()) == uids_of(pods)


def make_account_anew(namespace):
    """As a reinstallation does it. Every token of the account that was is refused from then on."""
    old = api.get("serviceaccount", "dbrestore", namespace)
    kept = {key: old["metadata"][key] for key in ("name", "labels", "annotations") if key in old["metadata"]}
    kubectl("delete", "serviceaccount", "dbrestore", namespace=namespace)
    kubectl("create", objects=old | {"metadata": kept}, namespace=namespace)


def test_with_a_token_that_is_refused_it_says_so_and_goes_on_with_the_next_one(operator, shop, preparing):
    restore, agent, copies = preparing
    pods, begun = operator.pods(), now()
    make_account_anew(operator.namespace)
    for pod in pods:
        wait_for("it says why", lambda: "check token" in log_since(pod, begun), 40)
    agent.resume()
    wait_for("the step has ended", lambda: restore.pods("prepare")[0]["status"]["phase"] == "Succeeded")
    assert restore.phase == "Preparing"
    # By itself the kubelet would ask for another token after eight minutes only. A new one does not know the old token.
    with without("kubelet"):
        pass
    must_have_restored(shop, restore, copies)
    assert uids_of(operator.pods()) == uids_of(pods)
