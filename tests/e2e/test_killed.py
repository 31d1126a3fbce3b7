"""Operator and agent are killed in the middle. The data is then all new or all old, as the status says."""

import pytest

import restores
from processes import catch_agent
from restores import must_be_as_the_status_says
from support.kubectl import kubectl


def kill_with_the_pod(shop, restore, step, agent):
    pod = restore.agent_pod(step)
    kubectl("delete", "pod", pod, "--force", "--grace-period=0", namespace=shop.namespace)


def kill_the_process(shop, restore, step, agent):
    agent.kill()


# `beside`: what runs already when the agent is killed: nothing as a step begins, the private server later.
@pytest.mark.parametrize(
    "step, kill, beside",
    [
        ("prepare", kill_with_the_pod, "postgres"),
        ("prepare", kill_the_process, "pg_restore"),
        ("commit", kill_with_the_pod, None),
        ("commit", kill_the_process, "postgres"),
    ],
    ids=lambda value: value.__name__ if callable(value) else str(value),
)
def test_the_agent_is_killed(shop, step, kill, beside):
    copies = shop.dump_and_change()
    restore = restores.of_shop(shop, copies.path)
    agent = catch_agent(restore.uid, step, beside)
    kill(shop, restore, step, agent)
    must_be_as_the_status_says(shop, restore, copies)
    restore.must_have("Succeeded")


def test_the_agent_is_killed_on_every_attempt_to_prepare(shop):
    copies = shop.dump_and_change()
    restore = restores.of_shop(shop, copies.path, maxAttempts=2)
    for _ in range(2):
        agent = catch_agent(restore.uid, "prepare", "postgres")
        agent.kill()
        agent.wait_until_ended()  # or it would be caught once more
    must_be_as_the_status_says(shop, restore, copies)
    restore.must_have("Failed")
    assert "after 2 attempts" in restore.message()


def test_the_operator_is_killed_while_preparing_and_while_committing(operator, shop):
    copies = shop.dump_and_change()
    restore = restores.of_shop(shop, copies.path)
    for step, phase in (("prepare", "Preparing"), ("commit", "Committing")):
        agent = catch_agent(restore.uid, step)
        restore.wait_for_phase(phase)
        operator.kill()
        assert restore.phase == phase
        agent.resume()
    must_be_as_the_status_says(shop, restore, copies)
    restore.must_have("Succeeded")
    names = [job["metadata"]["name"] for job in restore.jobs()]
    assert not [name for name in names if not name.endswith("-1")], f"a step ran twice: {names}"


def test_operator_and_agent_are_killed_together(operator, shop):
    copies = shop.dump_and_change()
    restore = restores.of_shop(shop, copies.path)
    agent = catch_agent(restore.uid, "commit", "postgres")
    agent.kill()
    operator.kill()
    must_be_as_the_status_says(shop, restore, copies)
