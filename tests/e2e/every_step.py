"""Several restores at once, each of a database of its own and each held in another step, so that one bad day meets
them all."""

import restores
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
        self.restore = restores.of_shop(self.shop, self.copies.path)
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


def database_for(namespace, step):
    return Shop(namespace, step.replace("-", "")).deploy().fill().register()


def databases_for(namespace, steps=STEPS):
    """One database for each step."""
    shops = at_once(lambda step: database_for(namespace, step), steps)
    return dict(zip(steps, shops))


def make_ready(shops):
    """Whatever the scenario before left."""
    Held.resume_all()
    namespace = next(iter(shops.values())).namespace
    kubectl("delete", "databaserestores", "--all", "--timeout=120s", namespace=namespace)

    def ready(shop):
        shop.scale(1)
        shop.wait_ready()
        wait_for("the lock is free", lambda: "activeRestore" not in shop.server_status())

    at_once(ready, shops.values())


def hold_one_in_each(shops):
    """Begins a restore of each database and returns when each is held in its step: {step: HeldRestore}."""
    make_ready(shops)
    held = {step: HeldRestore(step, shop) for step, shop in shops.items()}

    def fill(one):
        one.copies = one.shop.dump_and_change()

    at_once(fill, held.values())
    with Traps() as traps:
        for wave in ([s for s in held if s not in QUICK], [s for s in held if s in QUICK]):
            for step in wave:
                held[step].begin(traps)
            at_once(lambda step: held[step].catch(traps), wave)
    return held
