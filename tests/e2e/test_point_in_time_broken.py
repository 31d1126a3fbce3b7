"""A server that does not start any more is taken to a point in time, and nobody scales anything for it; one that runs where
Kubernetes knows of none keeps its files."""

import contextlib

import pytest

import restores
from pgbackrest_repository import AS_POSTGRES, archive_all, archiving_shop
from processes import catch_agent
from support.kubectl import CommandError, kubectl, run, wait_for


@pytest.fixture(scope="module")
def shared_shop(namespace):
    with archiving_shop(namespace) as shop:
        yield shop


def remove_wal(data_directory):
    """As somebody does it whose volume is full."""
    for segment in (data_directory / "pg_wal").glob("0*"):
        segment.unlink()


def is_crash_looping(shop):
    statuses = shop.pod()["status"].get("containerStatuses", [])
    return any(one.get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff" for one in statuses)


def stop_and_archive_all(shop):
    archive_all(shop)
    shop.scale(0)
    shop.wait_stopped()


def test_a_server_that_keeps_crashing(shop):
    point = shop.pass_a_point()
    stop_and_archive_all(shop)
    remove_wal(shop.data_on_host / "pgdata")
    shop.scale(1)
    wait_for("it keeps crashing", lambda: is_crash_looping(shop), 60)
    restore = restores.to_point_in_time(shop, point.time).must_succeed()
    assert restore.condition("DatabaseReady")[0] == "True"
    assert shop.replicas() == 1
    shop.must_be_at(point)
    shop.must_archive()
    shop.must_be_clean()


@contextlib.contextmanager
def zombie_of(shop):
    """A server on the same files in a pod that mounts no claim. Yields a function that runs SQL on it."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "zombie"},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "volumes": [{"name": "files", "hostPath": {"path": str(shop.data_on_host)}}],
            "containers": [
                {
                    "name": "postgres",
                    "image": shop.container["image"],
                    "command": [*AS_POSTGRES, "postgres", "-D", "/files/pgdata"],
                    "volumeMounts": [{"name": "files", "mountPath": "/files"}],
                }
            ],
        },
    }
    psql = ["psql", "-X", "-q", "-A", "-t", "-U", shop.user(), "-d", shop.name, "-c"]

    def sql(text):
        return run("kubectl", "exec", "zombie", f"--namespace={shop.namespace}", "--", *psql, text).strip()

    def answers():
        with contextlib.suppress(CommandError):
            return sql("SELECT 1") == "1"

    kubectl("create", objects=pod, namespace=shop.namespace)
    try:
        wait_for("the zombie answers", answers, 60)
        yield sql
    finally:
        kubectl("delete", "pod", "zombie", "--grace-period=0", "--force", namespace=shop.namespace)


def test_nothing_is_exchanged_below_a_server_that_kubernetes_does_not_know(shop):
    point = shop.pass_a_point()
    shop.change()
    stop_and_archive_all(shop)
    restore = restores.to_point_in_time(shop, point.time, maxAttempts=1)
    agent = catch_agent(restore.uid, "commit")
    with zombie_of(shop) as sql:
        sql("UPDATE shop.written SET number = number + 1000")
        agent.resume()
        restore.wait_until_ended().must_have("Failed", "DatabaseStillRunning")
        sql("CHECKPOINT")
        assert int(sql("SELECT min(number) FROM shop.written")) > 1000
    assert shop.replicas() == 0
    restores.to_point_in_time(shop, point.time).must_succeed()
    assert shop.replicas() == 0, "as it was"
    shop.scale(1)
    shop.wait_ready()
    shop.must_be_at(point)
    shop.must_be_clean()
