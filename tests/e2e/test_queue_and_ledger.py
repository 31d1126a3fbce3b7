"""One restore at a time on a server, a name that succeeded never again, and old data that expires."""

import pytest

import restores
from processes import catch_agent
from support.kubectl import wait_for


def test_a_second_restore_waits_its_turn_and_then_runs(shop):
    first_copies = shop.dump_and_change()
    second_copies = shop.dump_and_change()
    first = restores.of_shop(shop, first_copies.path)
    agent = catch_agent(first.uid, "preflight")
    second = restores.of_shop(shop, second_copies.path).wait_for_phase("Queued")
    second.wait_until("the first is named", lambda: f'DatabaseRestore "{first.name}"' in second.message())
    impatient = restores.of_shop(shop, second_copies.path, startingDeadlineSeconds=4)
    impatient.wait_until_ended(15).must_have("Failed", "StartDeadlineExceeded")
    assert first.name in impatient.message()
    assert shop.server_status()["activeRestore"]["name"] == first.name
    agent.resume()
    first.must_succeed()
    second.must_succeed()
    assert second.status["startTime"] >= first.status["completionTime"]
    shop.must_hold(second_copies.of_the_dump)


@pytest.fixture(scope="module")
def succeeded(shared_shop):
    """A restore that keeps the old data for seconds only."""
    copies = shared_shop.dump_and_change()
    restore = restores.of_shop(
        shared_shop, copies.path, name="once", previousData={"retainSeconds": 15}
    ).must_succeed()
    return restore, restore.status


def test_the_old_database_is_kept_closed_until_it_expires_and_then_dropped(shop, succeeded):
    _, status = succeeded
    kept = status["previousData"]
    assert kept["available"] and kept["expirationTime"] > status["completionTime"]
    wait_for("the old database is dropped", lambda: kept["database"] not in shop.databases(), 90)
    wait_for("the history forgets it", lambda: history_forgot(shop))


def history_forgot(shop):
    entry = next(e for e in shop.server_status()["history"] if e["restore"] == "once")
    return not entry.get("previousData")


def test_a_name_that_succeeded_never_runs_again(shop, succeeded):
    life = shop.life()
    again = restores.of_shop(shop, "whatever.dump", name="once").wait_until_ended(30)
    again.must_have("Failed", "AlreadyExecuted")
    assert "`metadata.name` must be another name" in again.message()
    assert shop.life() == life


def test_nothing_is_kept_where_nothing_is_to_be_kept(shop):
    copies = shop.dump_and_change()
    before = shop.databases()
    restore = restores.of_shop(shop, copies.path, previousData={"retainSeconds": 0}).must_succeed()
    shop.must_hold(copies.of_the_dump)
    wait_for("nothing is left", lambda: shop.databases() <= before, 30)
    wait_for("the status says so", lambda: not restore.status.get("previousData", {}).get("available"), 30)
