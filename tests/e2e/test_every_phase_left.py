"""In every phase somebody changes their mind: asks to cancel, deletes the restore, deletes the PostgresServer."""

import pytest

from every_step import STEPS, databases_for, hold_one_in_each
from support.kubectl import kubectl, kubectl_json


@pytest.fixture(scope="module")
def shops(namespace):
    return databases_for(namespace)


def go_on(held):
    for one in held.values():
        one.agent.resume()


@pytest.fixture(scope="module")
def cancelled(shops):
    held = hold_one_in_each(shops)
    for one in held.values():
        one.restore.cancel()
    go_on(held)
    return held


# In Starting clients may have written already: nothing is taken from them.
TOO_LATE = {"verify-live"}


@pytest.mark.parametrize("step", STEPS)
def test_a_cancelled_restore_ends_on_the_old_data(cancelled, step):
    cancelled[step].must_have_ended("Succeeded" if step in TOO_LATE else "Cancelled")


@pytest.fixture(scope="module")
def deleted(shops, cancelled):
    held = hold_one_in_each(shops)
    for one in held.values():
        one.restore.delete(wait=False)
    go_on(held)
    return held


@pytest.mark.parametrize("step", STEPS)
def test_a_deleted_restore_goes_and_leaves_the_old_data(deleted, step):
    deleted[step].must_be_gone(restored=step in TOO_LATE)


SERVER_STEPS = ["preflight", "prepare", "commit", "verify-live"]


@pytest.fixture(scope="module")
def server_deleted(shops, deleted):
    held = hold_one_in_each({step: shops[step] for step in SERVER_STEPS})
    for one in held.values():
        kubectl("delete", "postgresserver", one.shop.name, "--wait=false", namespace=one.shop.namespace)
    go_on(held)
    return held


def servers_in(namespace):
    return {s["metadata"]["name"] for s in kubectl_json("get", "postgresservers", namespace=namespace)["items"]}


@pytest.mark.parametrize("step", SERVER_STEPS)
def test_a_deleted_server_cancels_its_restore_and_then_goes(server_deleted, step):
    one = server_deleted[step]
    one.restore.wait_until_ended(240).must_have("Succeeded" if step in TOO_LATE else "Cancelled")
    one.restore.wait_until("the server goes", lambda: one.shop.name not in servers_in(one.shop.namespace))
    one.shop.wait_ready()
    expected = one.copies.of_the_dump if step in TOO_LATE else one.copies.before
    one.shop.must_hold(expected, but_unlogged=True)
    one.shop.register()
    one.shop.must_be_clean()
