"""The operator as a process, a release and a tenant."""

import os
import signal
import subprocess

import pytest

from processes import Held
from support import api
from support.kubectl import environment, kubectl, run, wait_for


def container_of(pod, namespace):
    return api.get("pod", pod, namespace)["status"]["containerStatuses"][0]


def test_sigterm_ends_it_within_seconds_and_without_an_error(operator):
    pod, namespace = operator.leader()["metadata"]["name"], operator.namespace
    restarts = container_of(pod, namespace)["restartCount"]
    held = Held(operator.process())
    held.send(signal.SIGTERM)
    wait_for("the container ended", lambda: container_of(pod, namespace)["restartCount"] > restarts, 20)
    ended = container_of(pod, namespace)["lastState"]["terminated"]
    assert ended["exitCode"] == 0
    last_words = kubectl("logs", pod, "--previous", "--tail=2", namespace=namespace)
    begun, done = (line.partition('"time":"')[2][11:26] for line in last_words.splitlines())
    assert seconds_of(done) - seconds_of(begun) < 5, last_words
    operator.wait_ready()


def seconds_of(clock):
    hours, minutes, seconds = clock.rstrip("Z").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


@pytest.mark.parametrize("path", ["healthz", "readyz"])
def test_it_says_that_it_is_well(operator, path):
    pod = operator.leader()["metadata"]["name"]
    answer = kubectl("get", "--raw", f"/api/v1/namespaces/{operator.namespace}/pods/{pod}:8081/proxy/{path}")
    assert answer == "ok\n"


@pytest.mark.parametrize(
    "verb, resource",
    [
        ("get", "secrets"),
        ("list", "secrets"),
        ("patch", "statefulsets"),
        ("patch", "deployments"),
        ("list", "replicasets"),
        ("create", "pods"),
        ("delete", "pods"),
        ("create", "pods/exec"),
        ("get", "configmaps"),
    ],
)
def test_it_has_no_right_that_it_does_not_need(operator, verb, resource):
    account = f"system:serviceaccount:{operator.namespace}:dbrestore"
    words = ["auth", "can-i", verb, resource, f"--as={account}", f"--namespace={operator.namespace}"]
    assert answer_of(words) == "no"


def answer_of(words):
    return subprocess.run(
        ["kubectl", *words], env=environment(), capture_output=True, text=True
    ).stdout.strip()


def test_it_sees_nothing_of_other_namespaces(operator):
    account = f"system:serviceaccount:{operator.namespace}:dbrestore"
    words = ["auth", "can-i", "list", "databaserestores", f"--as={account}", "--namespace=default"]
    assert answer_of(words) == "no"


def test_it_runs_without_root_and_without_a_writable_file_system(operator):
    pod = operator.leader()
    context = pod["spec"]["containers"][0]["securityContext"]
    assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"]
    assert pod["spec"]["securityContext"]["runAsNonRoot"]
    assert os.stat(f"/proc/{operator.process()}").st_uid == 65532


def test_helm_upgrades_it_in_place(operator):
    before = {pod["metadata"]["uid"] for pod in operator.pods()}
    values = ["--reuse-values", "--set=logLevel=debug", "--wait", "--timeout=60s"]
    run("helm", "upgrade", "dbrestore", "charts/dbrestore", f"--namespace={operator.namespace}", *values)
    operator.wait_ready()
    assert operator.leader()["metadata"]["uid"] not in before
    assert '"message":"starting"' in operator.log()
    assert api.get("deployment", "dbrestore", operator.namespace)["status"]["readyReplicas"] == 2
