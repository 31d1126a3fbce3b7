"""In every phase the operator is killed, and in every phase the agent. The API server: test_bad_days.py."""

import pytest

from every_step import STEPS, databases_for, hold_one_in_each


@pytest.fixture(scope="module")
def shops(namespace):
    return databases_for(namespace)


def the_operator_is_killed(operator, held):
    operator.kill()
    for one in held.values():
        one.agent.resume()


def the_agent_is_killed(operator, held):
    for one in held.values():
        one.agent.kill()


@pytest.fixture(
    scope="module", params=[the_operator_is_killed, the_agent_is_killed], ids=lambda kill: kill.__name__
)
def struck(request, operator, shops):
    held = hold_one_in_each(shops)
    request.param(operator, held)
    return held


@pytest.mark.parametrize("step", STEPS)
def test_and_the_restore_ends_as_it_should(struck, step):
    # The one in RollingBack had been cancelled.
    struck[step].must_have_ended("Cancelled" if step == "rollback" else "Succeeded")
