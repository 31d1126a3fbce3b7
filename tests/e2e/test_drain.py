"""The node is drained in the middle of a restore: operator, agent and database have to go, and come back later."""

import pytest

import restores
from processes import catch_agent
from restores import must_be_as_the_status_says
from support.kubectl import kubectl

pytestmark = pytest.mark.alone


def test_a_drained_node_takes_the_restore_up_again(operator, shop):
    copies = shop.dump_and_change()
    restore = restores.of_shop(shop, copies.path)
    catch_agent(restore.uid, "commit")  # so it does not end by itself
    try:
        kubectl("drain", "dbrestore", "--force", "--delete-emptydir-data", "--ignore-daemonsets", "--timeout=90s")
        assert not restore.pods("commit")
    finally:
        kubectl("uncordon", "dbrestore")
    operator.wait_ready()
    must_be_as_the_status_says(shop, restore, copies)
    restore.must_have("Succeeded")
