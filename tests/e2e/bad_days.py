"""Takes parts of the cluster away and gives them back. A test that does so runs alone: pytest.mark.alone."""

import base64
import contextlib
import json
import ssl
import urllib.request

import restores
from every_step import PHASES
from processes import Traps
from support.kubectl import kubectl, run, wait_for

NODE_ADDRESS = "10.231.0.1"
API_SERVER_PORT = 6443
# After a bad day the cluster itself needs minutes until it starts pods again.
PATIENCE_SECONDS = 240


def wait_for_api_server():
    wait_for("the API server is ready", lambda: kubectl("get", "--raw", "/readyz") == "ok", 90)


@contextlib.contextmanager
def without(process):
    """Kills a process of the cluster, and starts it again at the end of the block, whatever happens in it."""
    run("hack/cluster", "kill", process)
    try:
        yield
    finally:
        run("hack/cluster", "start", process)
        wait_for_api_server()


def step_by_step(restore, steps):
    """Yields (step, agent) of each of these steps, in life order, with the agent held as it begins the step."""
    with Traps() as traps:
        uid = restore.uid
        for step in steps:
            traps.set(uid, step)
        for step in steps:
            agent = traps.wait(uid, step, PATIENCE_SECONDS)
            restore.wait_for_phase(PHASES[step])
            yield step, agent


def must_have_run_each_step_once(restore):
    restores.must_have_run_each_job_once(restore)
    names = [job["metadata"]["name"] for job in restore.jobs()]
    assert not [name for name in names if not name.endswith("-1")], f"a step ran twice: {names}"


def must_have_restored(shop, restore, copies):
    """Whatever happened: it has succeeded, by running each step once, and nothing of it is left."""
    restore.wait_until_ended(PATIENCE_SECONDS)
    restores.must_be_as_the_status_says(shop, restore, copies)
    restore.must_have("Succeeded")
    must_have_run_each_step_once(restore)


def compact_etcd():
    """etcd forgets every revision but the present one. Returns that."""

    def call(what, body):
        request = urllib.request.Request(
            f"http://127.0.0.1:2379/v3/kv/{what}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    any_key = base64.b64encode(b"/").decode()
    revision = call("range", {"key": any_key})["header"]["revision"]
    call("compaction", {"revision": revision, "physical": True})
    return int(revision)


def rules_between(addresses):
    """Drops what these pods send to the API server, and what it sends to them: connections are half open then."""
    for address in addresses:
        yield f"INPUT -p tcp -s {address} -d {NODE_ADDRESS} --dport {API_SERVER_PORT} -j DROP".split()
        yield f"OUTPUT -p tcp -s {NODE_ADDRESS} --sport {API_SERVER_PORT} -d {address} -j DROP".split()


@contextlib.contextmanager
def partitioned(pods):
    """Nothing passes between these pods and the API server while the block lasts."""
    with contextlib.ExitStack() as undone:
        for rule in rules_between([pod["status"]["podIP"] for pod in pods]):
            run("iptables", "--wait", "--insert", *rule)
            undone.callback(run, "iptables", "--wait", "--delete", *rule)
        yield


def serving_certificate():
    return ssl.get_server_certificate((NODE_ADDRESS, API_SERVER_PORT))
