"""In every phase the API server is killed, and comes back some seconds later."""

import time

import pytest

import restores
from bad_days import PATIENCE_SECONDS, must_have_restored, must_have_run_each_step_once, step_by_step, without
from every_step import ENGINES, PHASES, STEPS, shops_for
from processes import Traps

pytestmark = pytest.mark.alone
AWAY_SECONDS = 3
FORWARD = [step for step in STEPS if step != "rollback"]


@pytest.fixture(scope="module", params=ENGINES)
def shared_shop(namespace, request):
    with shops_for(request.param, namespace, ["shop"]) as databases:
        yield databases[0]


def strike(agent):
    """The step ends while nobody can be told."""
    with without("kube-apiserver"):
        agent.resume()
        time.sleep(AWAY_SECONDS)


def test_in_every_phase_of_one_restore(shop):
    copies = shop.remember_and_change()
    restore = restores.back_to(shop, copies)
    for _, agent in step_by_step(restore, FORWARD):
        strike(agent)
    must_have_restored(shop, restore, copies)


def test_while_rolling_back(shop):
    copies = shop.remember_and_change()
    restore = restores.back_to(shop, copies)
    with Traps() as traps:
        traps.set(restore.uid, "prepare")
        traps.set(restore.uid, "rollback")
        agent = traps.wait(restore.uid, "prepare", PATIENCE_SECONDS)
        restore.cancel()
        agent.resume()
        agent = traps.wait(restore.uid, "rollback", PATIENCE_SECONDS)
    restore.wait_for_phase(PHASES["rollback"])
    strike(agent)
    restore.wait_until_ended(PATIENCE_SECONDS)
    restores.must_be_as_the_status_says(shop, restore, copies)
    restore.must_have("Cancelled")
    must_have_run_each_step_once(restore)
