"""kubectl and helm against the cluster of hack/cluster: objects in, objects out.

Never uses the caller's own kubeconfig, so that no test reaches a cluster that people use. Without the test
cluster every call fails.
"""

import contextlib
import functools
import json
import subprocess
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class CommandError(Exception):
    """A command failed. The text holds what it was and what it said."""

    def __init__(self, command, returncode, stdout, stderr):
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr
        super().__init__(f"`{' '.join(command)}` ended with {returncode}: {stderr.strip() or stdout.strip()}")


@functools.lru_cache
def environment():
    """The environment in which kubectl, helm and KUBECONFIG are those of the test cluster."""
    script = (
        'set -e; settings=$(hack/cluster env); eval "$settings"; KUBECONFIG=$(hack/cluster kubeconfig) env -0'
    )
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise RuntimeError(f"hack/cluster cannot tell where the test cluster is: {done.stderr.strip()}")
    settings = dict(line.split("=", 1) for line in done.stdout.split("\0") if "=" in line)
    if not Path(settings["KUBECONFIG"]).exists():
        raise RuntimeError("the test cluster is not there, run `hack/cluster up`")
    return settings


def run(*command, stdin="", timeout_seconds=120):
    """Runs a program of the cluster and returns what it printed. Raises CommandError if it fails."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment(),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
    )
    if done.returncode != 0:
        raise CommandError(command, done.returncode, done.stdout, done.stderr)
    return done.stdout


def kubectl(*arguments, namespace=None, user=None, objects=None, timeout_seconds=120):
    """Runs kubectl, as `user` if given, with `objects` (one or a list) on its standard input if given."""
    options = []
    if namespace:
        options.append(f"--namespace={namespace}")
    if user:
        options.append(f"--as={user}")
    stdin = ""
    if objects is not None:
        options.append("--filename=-")
        listed = objects if isinstance(objects, list) else [objects]
        stdin = json.dumps(
            {"apiVersion": "v1", "kind": "List", "items": listed} if len(listed) != 1 else listed[0]
        )
    return run("kubectl", *arguments, *options, stdin=stdin, timeout_seconds=timeout_seconds)


def kubectl_json(*arguments, **options):
    """The same, with the answer as an object."""
    return json.loads(kubectl(*arguments, "--output=json", **options))


def refusal(*arguments, **options):
    """Runs kubectl, which must fail, and returns what it said."""
    try:
        printed = kubectl(*arguments, **options)
    except CommandError as error:
        return error.stderr
    raise AssertionError(
        f"kubectl {' '.join(arguments)} should have been refused, but said: {printed.strip()}"
    )


def wait_for(what, check, timeout_seconds=60, interval_seconds=0.3):
    """Calls `check` until it returns something true, and returns that. A CommandError counts as not yet."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            last = check()
            if last:
                return last
        except CommandError as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {timeout_seconds} s; last seen: {last}")
        time.sleep(interval_seconds)


@contextlib.contextmanager
def temporary_namespace(prefix, labels=None):
    """A namespace of its own, deleted at the end. Its deletion goes on in the background."""
    name = f"{prefix}-{uuid.uuid4().hex[:8]}"
    kubectl(
        "create",
        objects={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels or {}}},
    )
    try:
        yield name
    finally:
        kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")
