"""DatabaseRestores as a person makes and watches them."""

import collections
import contextlib
import itertools
import threading
import time
from pathlib import Path

import yaml

from release import told
from support import api
from support.kubectl import ROOT, CommandError, kubectl

SAMPLE = yaml.safe_load((ROOT / "crds" / "samples" / "databaserestore-dump.yaml").read_text())
ENDED = {"Succeeded", "Failed", "Cancelled"}
numbers = itertools.count(1)


def manifest(name, path="shop.dump", server="shop", claim=None, **spec):
    """The sample of this repository, changed."""
    merged = SAMPLE["spec"] | {
        "serverRef": {"name": server},
        "dump": {"persistentVolumeClaim": {"claimName": claim or f"{server}-dumps", "path": path}},
    }
    merged |= spec
    without_none = {key: value for key, value in merged.items() if value is not None}
    return SAMPLE | {"metadata": {"name": name}, "spec": without_none}


class Restore:
    """One DatabaseRestore."""

    def __init__(self, namespace, name):
        self.namespace = namespace
        self.name = name

    def get(self):
        return api.get("databaserestore", self.name, self.namespace)

    @property
    def uid(self):
        return self.get()["metadata"]["uid"]

    @property
    def status(self):
        return self.get().get("status", {})

    @property
    def phase(self):
        return self.status.get("phase")

    def condition(self, kind):
        """(status, reason, message) of one condition."""
        for c in self.status.get("conditions", []):
            if c["type"] == kind:
                return c["status"], c["reason"], c.get("message", "")
        return None, None, ""

    def message(self):
        return self.condition("Succeeded")[2]

    def events(self):
        return api.items("events.events.k8s.io", self.namespace, fields=f"regarding.name={self.name}")

    def jobs(self):
        selector = f"dbrestore.dev/restore-name={self.name}"
        return api.items("jobs", self.namespace, labels=selector)

    def pods(self, step=None):
        selector = f"dbrestore.dev/restore-name={self.name}"
        selector += f",dbrestore.dev/step={step}" if step else ""
        return api.items("pods", self.namespace, labels=selector)

    def agent_pod(self, step):
        """The pod of the newest attempt of a step."""
        pods = self.pods(step)
        return max(pods, key=lambda pod: pod["metadata"]["creationTimestamp"])["metadata"]["name"]

    def wait_until(self, what, check, timeout_seconds=60):
        told(self.namespace, f"DatabaseRestore {self.name}: {what}", check, timeout_seconds)
        return self

    def wait_for_phase(self, *phases, timeout_seconds=60):
        return self.wait_until(f"phase {' or '.join(phases)}", lambda: self.phase in phases, timeout_seconds)

    def wait_for_reason(self, kind, reason, timeout_seconds=60):
        return self.wait_until(f"{kind}/{reason}", lambda: self.condition(kind)[1] == reason, timeout_seconds)

    def wait_until_ended(self, timeout_seconds=150):
        """Until it has an outcome and holds nothing any more."""

        def has_ended():
            restore = self.get()
            ended = restore.get("status", {}).get("phase") in ENDED
            return ended and not restore["metadata"].get("finalizers")

        return self.wait_until("the end", has_ended, timeout_seconds)

    def wait_until_gone(self, timeout_seconds=120):
        def is_gone():
            return not api.exists("databaserestore", self.name, self.namespace)

        return self.wait_until("it is gone", is_gone, timeout_seconds)

    def must_have(self, outcome, reason=None):
        found = self.phase, self.condition("Succeeded")[1]
        wanted = outcome, reason or found[1]
        self.wait_until(f"ended as {wanted}, not as {found}: {self.message()}", lambda: found == wanted, 0)
        return self

    def must_succeed(self, timeout_seconds=150):
        return self.wait_until_ended(timeout_seconds).must_have("Succeeded")

    def cancel(self):
        kubectl(
            "patch",
            "databaserestore",
            self.name,
            "--type=merge",
            '--patch={"spec":{"cancelRequested":true}}',
            namespace=self.namespace,
        )

    def delete(self, wait=True):
        kubectl("delete", "databaserestore", self.name, f"--wait={wait}".lower(), namespace=self.namespace)


def begin(namespace, *, name=None, **options):
    """Applies a DatabaseRestore and returns it. Options are those of `manifest`."""
    name = name or f"restore-{next(numbers)}"
    kubectl("apply", objects=manifest(name, **options), namespace=namespace)
    return Restore(namespace, name)


def of_shop(shop, path, **options):
    return begin(shop.namespace, server=shop.name, path=path, **options)


def undo(restore, server="shop"):
    reference = {"restoreRef": {"name": restore.name}}
    return begin(restore.namespace, server=server, type="Undo", undo=reference, dump=None, logical=None)


def to_point_in_time(shop, time, reset_password=None, **options):
    point = {"time": time} | ({"resetPassword": reset_password} if reset_password else {})
    options |= {"type": "PointInTime", "pointInTime": point, "dump": None}
    return begin(shop.namespace, server=shop.name, **options)


def back_to(shop, copies, **options):
    """To what the dump holds, or to the point in time."""
    if copies.time:
        return to_point_in_time(shop, copies.time, **options)
    return of_shop(shop, copies.path, **options)


def must_be_as_the_status_says(shop, restore, copies):
    """All new or all old, served, and no trace of the restore."""
    restore.wait_until_ended()
    shop.wait_ready()
    if restore.phase == "Succeeded":
        shop.must_hold(copies.of_the_dump, but_unlogged=True)
        assert restore.condition("DataRestored")[0] == "True"
    else:
        shop.must_hold(copies.before, but_unlogged=True)
        assert restore.condition("DataRestored")[0] != "True"
    assert shop.replicas() == 1
    shop.must_be_clean()


def must_have_outlived_a_scaling(shop, restore, copies):
    """Somebody scaled the workload up meanwhile, and it succeeds all the same."""
    restore.must_succeed()
    shop.wait_ready()
    shop.must_hold(copies.of_the_dump)
    assert "ScaledDuringRestore" in {event["reason"] for event in restore.events()}
    shop.must_be_clean()


def must_have_run_each_job_once(restore):
    """A Job that was deleted and made again would have the same name and another pod."""
    jobs = collections.Counter(
        pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] for pod in restore.pods()
    )
    # One that is cancelled in its first step may have none left.
    assert set(jobs.values()) <= {1}, jobs


@contextlib.contextmanager
def sampled(restore, interval_seconds=0.5):
    """Looks at the status again and again while the block runs; yields the list of what was seen."""
    seen, done = [], threading.Event()

    def look():
        while not done.wait(interval_seconds):
            with contextlib.suppress(CommandError):
                seen.append(restore.status)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def damaged_copy(shop, path, damage):
    """Writes a damaged copy of a dump beside it and returns its path. `damage` turns bytes into bytes."""
    original = Path(shop.dumps_on_host / path).read_bytes()
    copy = f"damaged-{time.monotonic_ns()}.dump"
    (shop.dumps_on_host / copy).write_bytes(damage(original))
    return copy
