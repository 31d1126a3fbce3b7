"""Somebody changes their mind while the new database is being made."""

import pytest

import restores
from processes import catch_agent


@pytest.fixture
def preparing(shop):
    """A restore held at the beginning of Preparing, and what the database held before."""
    copies = shop.dump_and_change()
    restore = restores.of_shop(shop, copies.path)
    agent = catch_agent(restore.uid, "prepare", "postgres")
    yield shop, restore, agent, copies.before
    shop.wait_ready()
    shop.must_hold(copies.before, but_unlogged=True)
    assert not [name for name in shop.databases() if name.startswith("dbrestore_new")]
    shop.must_be_clean()


def test_a_cancelled_restore_leaves_the_old_data(preparing):
    shop, restore, agent, before = preparing
    restore.cancel()
    agent.resume()
    restore.wait_until_ended().must_have("Cancelled", "Cancelled")
    assert restore.condition("DatabaseReady")[0] == "True"


def test_a_deleted_restore_leaves_the_old_data_and_goes(preparing):
    shop, restore, agent, before = preparing
    restore.delete(wait=False)
    agent.resume()
    restore.wait_until_gone()
    assert shop.get("postgresserver")["metadata"].get("finalizers", []) == []


def test_a_cancel_that_comes_too_late_changes_nothing(shop):
    copies = shop.dump_and_change()
    restore = restores.of_shop(shop, copies.path).must_succeed()
    restore.cancel()
    assert restore.phase == "Succeeded"
    shop.must_hold(copies.of_the_dump)
