"""The namespace is deleted in the middle of a restore, and the operator with it: nothing stays behind for ever."""

import contextlib

import pytest

import restores
from release import installed_operator
from processes import catch_agent
from shop import Shop
from support.kubectl import CommandError, kubectl, wait_for


def is_gone(namespace):
    with contextlib.suppress(CommandError):
        return not kubectl("get", "namespace", namespace, "--ignore-not-found").strip()
    return False


@pytest.mark.parametrize("step", ["preflight", "prepare"])
def test_a_namespace_goes_with_its_operator_and_a_restore_at_work(cluster, step):
    with installed_operator(f"e2e-namespace-{step}") as operator:
        shop = Shop(operator.namespace).deploy().fill(20).register()
        restore = restores.of_shop(shop, shop.dump_and_change().path)
        agent = catch_agent(restore.uid, step)
        kubectl("delete", "namespace", operator.namespace, "--wait=false")
        agent.resume()
        wait_for("the namespace is gone", lambda: is_gone(operator.namespace), 60)
