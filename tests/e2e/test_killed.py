"""Operator and agent are killed in the middle. Afterwards the data is entirely new or entirely old, as the status says."""

import pytest

import restores
from processes import catch_agent
from support.kubectl import kubectl


def must_be_as_the_status_says(shop, restore, copies):
    restore.wait_until_ended()
    shop.wait_ready()
    found = shop.fingerprint()
    if restore.phase == "Succeeded":
        assert found == copies.of_the_dump, "it succeeded, but the data is not the dump's"
        assert restore.condition("DataRestored")[0] == "True"
    else:
        assert found == copies.before, f"it ended {restore.phase}, but the data is not the old one"
        assert restore.condition("DataRestored")[0] != "True"
    shop.is_made_whole()


def kill_with_the_pod(shop, restore, step, agent):
    pod = restore.agent_pod(step)
    kubectl("delete", "pod", pod, "--force", "--grace-period=0", namespace=shop.namespace)


def kill_the_process(shop, restore, step, agent):
    agent.kill()


@pytest.mark.parametrize("step", ["prepare", "commit"])
@pytest.mark.parametrize("kill", [kill_with_the_pod, kill_the_process])
# At its birth it holds nothing yet; a moment later the private server runs on the data.
@pytest.mark.parametrize("after_seconds", [0.0, 0.7])
def test_the_agent_is_killed(shop, step, kill, after_seconds):
    copies = shop.dump_and_change()
    restore = restores.of_shop(shop, copies.path)
    agent = catch_agent(restore.uid, step, after_seconds=after_seconds)
    kill(shop, restore, step, agent)
    must_be_as_the_status_says(shop, restore, copies)
    restore.must_have("Succeeded")


def test_the_agent_is_killed_on_every_attempt_to_prepare(shop):
    copies = shop.dump_and_change()
    restore = restores.of_shop(shop, copies.path, maxAttempts=2)
    for _ in range(2):
        catch_agent(restore.uid, "prepare", after_seconds=0.3).kill()
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
    agent = catch_agent(restore.uid, "commit", after_seconds=0.5)
    agent.kill()
    operator.kill()
    must_be_as_the_status_says(shop, restore, copies)
