"""In every phase the operator is killed, and in every phase the agent. The API server: test_every_phase_api_server.py."""

from every_step import each_pair, go_on, hold_one_in_each


def must_have_ended_as_they_should(held):
    for one in held:
        # The one in RollingBack had been cancelled.
        one.must_have_ended("Cancelled" if one.step == "rollback" else "Succeeded")


@each_pair()
def test_the_operator_is_killed(operator, shops, steps):
    held = hold_one_in_each(shops, steps)
    operator.kill()
    go_on(held)
    must_have_ended_as_they_should(held)


@each_pair()
def test_the_agent_is_killed(shops, steps):
    held = hold_one_in_each(shops, steps)
    for one in held:
        one.agent.kill()
    must_have_ended_as_they_should(held)
