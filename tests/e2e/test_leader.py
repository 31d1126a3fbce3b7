"""Two replicas, of which one leads; the other takes over."""

import datetime
import time

import restores
from processes import Held, catch_agent
from support.kubectl import kubectl, wait_for


def seconds_until_another_leads(operator, identity, timeout_seconds=40):
    """From now until another process has taken the Lease."""
    begun = datetime.datetime.now(datetime.timezone.utc)

    def taken():
        lease = operator.lease()
        return lease if lease.get("holderIdentity") not in (None, "", identity) else None

    lease = wait_for("another leader", taken, timeout_seconds)
    acquired = datetime.datetime.fromisoformat(lease["acquireTime"].replace("Z", "+00:00"))
    return (acquired - begun).total_seconds()


def finish(shop, restore, copies):
    restore.must_succeed()
    shop.must_hold(copies.of_the_dump)
    names = [job["metadata"]["name"] for job in restore.jobs()]
    assert not [name for name in names if not name.endswith("-1")], f"a step ran twice: {names}"


def test_a_leader_that_ends_hands_over_within_three_seconds(operator, shop):
    operator.wait_ready()
    copies = shop.dump_and_change()
    restore = restores.of_shop(shop, copies.path)
    agent = catch_agent(restore.uid, "prepare", "postgres")
    leader, identity = operator.leader()["metadata"]["name"], operator.lease()["holderIdentity"]
    kubectl("delete", "pod", leader, "--wait=false", namespace=operator.namespace)
    assert seconds_until_another_leads(operator, identity) <= 3
    agent.resume()
    finish(shop, restore, copies)


def test_a_leader_that_is_paused_loses_its_place_within_twenty_seconds_and_does_no_harm(operator, shop):
    operator.wait_ready()
    copies = shop.dump_and_change()
    restore = restores.of_shop(shop, copies.path)
    agent = catch_agent(restore.uid, "prepare", "postgres")
    identity, paused = operator.lease()["holderIdentity"], Held(operator.process())
    paused.stop()
    assert seconds_until_another_leads(operator, identity) <= 20
    paused.resume()
    agent.resume()
    finish(shop, restore, copies)
    assert operator.lease()["holderIdentity"] != identity


def test_an_update_in_the_middle_of_a_restore_changes_nothing(operator, shop):
    operator.wait_ready()
    copies = shop.dump_and_change()
    restore = restores.of_shop(shop, copies.path)
    agent = catch_agent(restore.uid, "commit", "postgres")
    kubectl("rollout", "restart", "deployment/dbrestore", namespace=operator.namespace)
    time.sleep(1)
    operator.wait_ready()
    assert restore.phase == "Committing"
    agent.resume()
    finish(shop, restore, copies)
