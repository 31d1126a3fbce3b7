"""In every phase somebody changes their mind: asks to cancel, deletes the restore, deletes the PostgresServer."""

from every_step import each_pair, go_on, hold_one_in_each
from support import api
from support.kubectl import kubectl

# In Starting clients may have written already: nothing is taken from them.
TOO_LATE = {"verify-live"}


@each_pair()
def test_a_cancelled_restore_ends_on_the_old_data(shops, steps):
    held = hold_one_in_each(shops, steps)
    for one in held:
        one.restore.cancel()
    go_on(held)
    for one in held:
        one.must_have_ended("Succeeded" if one.step in TOO_LATE else "Cancelled")


@each_pair()
def test_a_deleted_restore_goes_and_leaves_the_old_data(shops, steps):
    held = hold_one_in_each(shops, steps)
    for one in held:
        one.restore.delete(wait=False)
    go_on(held)
    for one in held:
        one.must_be_gone(restored=one.step in TOO_LATE)


def servers_in(namespace):
    return {s["metadata"]["name"] for s in api.items("postgresservers", namespace)}


@each_pair([("prepare", "preflight"), ("commit", "verify-live")])
def test_a_deleted_server_cancels_its_restore_and_then_goes(shops, steps):
    held = hold_one_in_each(shops, steps)
    for one in held:
        kubectl("delete", "postgresserver", one.shop.name, "--wait=false", namespace=one.shop.namespace)
    go_on(held)
    for one in held:
        restored = one.step in TOO_LATE
        one.restore.wait_until_ended(240).must_have("Succeeded" if restored else "Cancelled")
        one.restore.wait_until("the server goes", lambda: one.shop.name not in servers_in(one.shop.namespace))
        one.shop.wait_ready()
        one.shop.must_hold(one.copies.of_the_dump if restored else one.copies.before, but_unlogged=True)
        one.shop.register()
        one.shop.must_be_clean()
