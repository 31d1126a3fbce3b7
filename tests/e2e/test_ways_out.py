"""Somebody changes their mind while the new database is being made."""

import pytest

import restores
from processes import catch_agent
from support import api
from support.kubectl import kubectl, wait_for


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


def entry_once_taken_away(shop, restore, agent):
    """What the history says of a restore that somebody deletes, finalizer and all, while its agent is held."""
    patch = '{"metadata":{"finalizers":null}}'
    restore.delete(wait=False)
    kubectl("patch", "databaserestore", restore.name, "--type=merge", f"--patch={patch}", namespace=shop.namespace)
    assert not api.exists("databaserestore", restore.name, shop.namespace)
    agent.resume()
    wait_for("the lock is free", lambda: "activeRestore" not in shop.server_status(), 120)
    entry = shop.server_status()["history"][-1]
    assert (entry["restore"], entry["result"]) == (restore.name, "Failed")
    return entry


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
    restore.wait_until("it is gone", lambda: not api.exists("databaserestore", restore.name, shop.namespace), 120)
    assert shop.get("postgresserver")["metadata"].get("finalizers", []) == []


def test_the_server_object_is_deleted_which_cancels_the_restore_and_then_it_goes(preparing):
    shop, restore, agent, before = preparing
    kubectl("delete", "postgresserver", shop.name, "--wait=false", namespace=shop.namespace)
    agent.resume()
    restore.wait_until_ended().must_have("Cancelled", "Cancelled")
    wait_for("the server object is gone", lambda: not api.exists("postgresserver", shop.name, shop.namespace), 30)
    shop.register()


def test_a_restore_whose_object_is_taken_away_is_rolled_back_all_the_same(preparing):
    shop, restore, agent, before = preparing
    entry = entry_once_taken_away(shop, restore, agent)
    assert "previousData" not in entry
    assert shop.get("postgresserver")["metadata"].get("finalizers", []) == []


def test_of_one_whose_object_is_taken_away_once_it_may_be_served_the_new_data_stays_and_the_old_is_kept(shop):
    copies = shop.dump_and_change()
    restore = restores.of_shop(shop, copies.path)
    agent = catch_agent(restore.uid, "verify-live")
    assert shop.server_status()["activeRestore"]["mayBeServed"]
    entry = entry_once_taken_away(shop, restore, agent)
    assert entry["previousData"]["database"] in shop.databases()
    assert "expirationTime" in entry["previousData"]
    shop.wait_ready()
    shop.must_hold(copies.of_the_dump)


def test_a_cancel_that_comes_too_late_is_told_so_and_an_undo_brings_the_old_data_back(shop):
    copies = shop.dump_and_change()
    restore = restores.of_shop(shop, copies.path).must_succeed()
    restore.cancel()
    restore.wait_for_reason("Cancelled", "CancelTooLate")
    assert restore.phase == "Succeeded"
    shop.must_hold(copies.of_the_dump)
    back = restores.undo(restore).must_succeed()
    shop.must_hold(copies.before)
    assert not restore.status["previousData"]["available"]
    forth = restores.undo(back).must_succeed()
    shop.must_hold(copies.of_the_dump)
    restores.undo(restore).wait_until_ended().must_have("Failed", "PreviousDataGone")
    assert forth.status["previousData"]["available"]


def test_what_ran_once_never_runs_again_though_all_objects_are_made_anew(operator, shop):
    copies = shop.dump_and_change()
    restore = restores.of_shop(shop, copies.path, name="from-git").must_succeed()
    restore.delete()
    kubectl("delete", "postgresserver", shop.name, namespace=shop.namespace)
    operator.kill()
    shop.register()
    life = shop.life()
    restores.of_shop(shop, copies.path, name="from-git").wait_until_ended().must_have("Failed", "AlreadyExecuted")
    assert shop.life() == life, "the database was not stopped"
