"""Two restores at once, each of a database of its own and each held in another step, so that one bad day meets both.
More at once would mostly meet a machine that is too busy. All of it with dumps, and all with points in time."""

import contextlib

import pytest

import restores
from pgbackrest_repository import archiving_shops
from processes import Held, Traps, at_once
from shop import Shop
from support.kubectl import kubectl, wait_for

# In life order, with the phase that each belongs to.
PHASES = {
    "probe": "Validating",
    "preflight": "Validating",
    "quiesce": "Stopping",
    "prepare": "Preparing",
    "verify": "Verifying",
    "commit": "Committing",
    "verify-live": "Starting",
    "rollback": "RollingBack",
}
STEPS = list(PHASES)
# Their pods may live for a minute only, so the others are held first.
QUICK = {"probe", "preflight", "quiesce"}
PAIRS = (("prepare", "probe"), ("verify", "preflight"), ("commit", "quiesce"), ("verify-live", "rollback"))
ENGINES = ("dump", "point-in-time")


@contextlib.contextmanager
def shops_for(engine, namespace, names):
    """Databases that are restored in this way."""
    if engine == "dump":
        yield at_once(lambda name: Shop(namespace, name).deploy().fill().register(), names)
        return
    # Each restore keeps the files that it replaces.
    with archiving_shops(namespace, [f"archiving-{name}" for name in names], data_mb=8000) as shops:
        yield shops


class HeldRestore:
    """A restore, the database that it restores, what that held before, and the agent that is held."""

    def __init__(self, step, shop):
        self.step = step
        self.shop = shop
        self.copies = None
        self.restore = None
        self.uid = None
        self.agent = None

    def begin(self, traps):
        self.restore = restores.back_to(self.shop, self.copies)
        self.uid = self.restore.uid
        traps.set(self.uid, "prepare" if self.step == "rollback" else self.step)

    def catch(self, traps):
        if self.step == "rollback":
            agent = traps.wait(self.uid, "prepare")
            traps.set(self.uid, "rollback")
            self.restore.cancel()
            agent.resume()
        self.agent = traps.wait(self.uid, self.step)
        self.restore.wait_for_phase(PHASES[self.step])

    def must_have_ended(self, outcome):
        """With that outcome, with the data that belongs to it, and with nothing left behind."""
        self.restore.wait_until_ended(240)
        restores.must_be_as_the_status_says(self.shop, self.restore, self.copies)
        self.restore.must_have(outcome)
        restores.must_have_run_each_job_once(self.restore)

    def must_be_gone(self, restored):
        """Deleted, with the new data or with the old."""
        self.restore.wait_until_gone(240)
        self.shop.wait_ready()
        expected = self.copies.of_the_dump if restored else self.copies.before
        self.shop.must_hold(expected, but_unlogged=True)
        self.shop.must_be_clean()


def each_pair(pairs=PAIRS):
    return pytest.mark.parametrize("steps", pairs, ids=" and ".join)


def make_ready(shops):
    """Whatever the scenario before left."""
    Held.resume_all()
    kubectl("delete", "databaserestores", "--all", "--timeout=120s", namespace=shops[0].namespace)

    def ready(shop):
        shop.scale(1)
        shop.wait_ready()
        wait_for("the lock is free", lambda: "activeRestore" not in shop.server_status())

    at_once(ready, shops)


def hold_one_in_each(shops, steps):
    """Begins a restore of each database and returns when each is held in its step."""
    make_ready(shops)
    held = [HeldRestore(step, shop) for step, shop in zip(steps, shops, strict=True)]

    def fill(one):
        one.copies = one.shop.remember_and_change()

    at_once(fill, held)
    with Traps() as traps:
        for wave in ([one for one in held if one.step not in QUICK], [one for one in held if one.step in QUICK]):
            for one in wave:
                one.begin(traps)
            at_once(lambda one: one.catch(traps), wave)
    return held


def go_on(held):
    for one in held:
        one.agent.resume()
