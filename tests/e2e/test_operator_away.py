"""The operator is uninstalled in the middle of a restore, and comes back later."""

import pytest

import release
import restores
from processes import catch_agent
from restores import must_be_as_the_status_says, must_have_run_each_job_once


@pytest.mark.parametrize("step", ["preflight", "prepare", "commit"])
def test_it_is_uninstalled_and_goes_on_where_it_was_when_it_is_back(operator, shop, step):
    copies = shop.dump_and_change()
    restore = restores.of_shop(shop, copies.path)
    agent = catch_agent(restore.uid, step)
    release.uninstall(shop.namespace)
    agent.resume()
    agent.wait_until_ended()
    release.install(shop.namespace)
    must_be_as_the_status_says(shop, restore, copies)
    restore.must_have("Succeeded")
    must_have_run_each_job_once(restore)


def test_a_cancel_while_nobody_listens_is_heard_later(operator, shop):
    copies = shop.dump_and_change()
    restore = restores.of_shop(shop, copies.path)
    agent = catch_agent(restore.uid, "prepare")
    release.uninstall(shop.namespace)
    restore.cancel()
    agent.resume()
    release.install(shop.namespace)
    must_be_as_the_status_says(shop, restore, copies)
    restore.must_have("Cancelled")


def test_what_succeeded_does_not_run_again_for_an_operator_that_was_installed_anew(operator, shop):
    copies = shop.dump_and_change()
    restore = restores.of_shop(shop, copies.path, name="once").must_succeed()
    restore.delete()
    release.uninstall(shop.namespace)
    life = shop.life()
    release.install(shop.namespace)
    restores.of_shop(shop, copies.path, name="once").wait_until_ended().must_have("Failed", "AlreadyExecuted")
    assert shop.life() == life
