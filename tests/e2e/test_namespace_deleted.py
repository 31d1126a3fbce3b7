"""The namespace is deleted in the middle of a restore, and the operator with it: nothing stays behind for ever."""

import pytest

import restores
from release import installed_operator
from processes import catch_agent
from shop import Shop
from support import api
from support.kubectl import kubectl, wait_for


@pytest.mark.parametrize("step", ["preflight", "prepare"])
def test_a_namespace_goes_with_its_operator_and_a_restore_at_work(cluster, step):
    with installed_operator(f"e2e-namespace-{step}") as operator:
        shop = Shop(operator.namespace).deploy().fill(20).register()
        restore = restores.of_shop(shop, shop.dump_and_change().path)
        agent = catch_agent(restore.uid, step)
        kubectl("delete", "namespace", operator.namespace, "--wait=false")
        agent.resume()
        wait_for("the namespace is gone", lambda: not api.exists("namespace", operator.namespace), 60)
