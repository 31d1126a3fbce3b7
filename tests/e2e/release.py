"""The operator, installed by Helm into a namespace of its own, and what it says about itself."""

import contextlib
import json
import os
import time

from processes import Held, environment_of, find_process
from support import api
from support.kubectl import ROOT, CommandError, kubectl, run, temporary_namespace, wait_for

OPERATOR_IMAGE = "localhost/dbrestore-operator"
AGENT_IMAGE = "localhost/dbrestore-agent"
NAME = "dbrestore"
SELECTOR = f"app.kubernetes.io/instance={NAME}"


class Operator:
    """The operator of one namespace."""

    def __init__(self, namespace):
        self.namespace = namespace

    def pods(self):
        """Those that are there and not being deleted."""
        pods = api.items("pods", self.namespace, labels=SELECTOR)
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def lease(self):
        return api.get("lease", "dbrestore-leader", self.namespace)["spec"]

    def pod(self):
        """The leader's, or None."""
        with contextlib.suppress(CommandError):
            holder = self.lease().get("holderIdentity") or ""
            return next((p for p in self.pods() if holder.startswith(p["metadata"]["name"] + "_")), None)
        return None

    def leader(self):
        """The leader's pod, once there is one."""
        return wait_for("a leader", self.pod, 60)

    def wait_ready(self):
        kubectl("rollout", "status", f"deployment/{NAME}", "--timeout=60s", namespace=self.namespace)

    def kill(self):
        """Ends its pod without a warning, and waits for the next one."""
        killed = self.leader()["metadata"]
        kubectl("delete", "pod", killed["name"], "--force", "--grace-period=0", namespace=self.namespace)
        wait_for(
            "another leader",
            lambda: (pod := self.pod()) is not None and pod["metadata"]["uid"] != killed["uid"],
        )
        self.wait_ready()

    def process(self):
        """The leader's process as the host sees it."""
        name = self.leader()["metadata"]["name"]
        return find_process(
            lambda words, pid: os.path.basename(words[0]) == "dbrestore-operator"
            and environment_of(pid).get("POD_NAME") == name
        )

    def log(self, lines=-1):
        return kubectl("logs", self.leader()["metadata"]["name"], f"--tail={lines}", namespace=self.namespace)

    def metrics(self):
        pod = self.leader()["metadata"]["name"]
        return kubectl("get", "--raw", f"/api/v1/namespaces/{self.namespace}/pods/{pod}:8080/proxy/metrics")

    def metric(self, metric, /, **labels):
        """The value of the one series of that name that carries these labels."""
        found = []
        for line in self.metrics().splitlines():
            series, _, value = line.rpartition(" ")
            if series.partition("{")[0] == metric and all(f'{k}="{v}"' in series for k, v in labels.items()):
                found.append(float(value))
        assert len(found) == 1, f"{len(found)} series {metric} with {labels}"
        return found[0]


def agent_log(pod, namespace, lines=-1):
    """The agent's log without its frames' contents, which are for the operator."""
    try:
        return kubectl("logs", pod, "-c", "agent", f"--tail={lines}", namespace=namespace)
    except CommandError as error:
        return str(error)


def tell_story(namespace, parts):
    for restore in api.items("databaserestores", namespace):
        status = restore.get("status", {})
        shown = {k: status[k] for k in ("phase", "step", "progress", "failure", "preflight") if k in status}
        parts.append(f"DatabaseRestore {restore['metadata']['name']}: {json.dumps(shown)}")
        for c in status.get("conditions", []):
            parts.append(f"  {c['type']}={c['status']} {c['reason']}: {c.get('message', '')}")
    parts.append(kubectl("get", "pods,statefulsets,deployments,postgresservers", "-o", "wide", namespace=namespace))
    events = kubectl(
        "get", "events", "--sort-by=.metadata.creationTimestamp", "--no-headers", namespace=namespace
    )
    parts += ["Events:", *events.splitlines()[-25:]]
    if leader := Operator(namespace).pod():
        parts += ["Operator:", kubectl("logs", leader["metadata"]["name"], "--tail=30", namespace=namespace)]
    agents = api.items("pods", namespace, labels="dbrestore.dev/restore-uid")
    for pod in sorted(agents, key=lambda pod: pod["metadata"]["creationTimestamp"])[-3:]:
        name = pod["metadata"]["name"]
        parts += [f"Agent {name}:", agent_log(name, namespace, 12)[-4000:]]


def story(namespace):
    """What a person would look at first when a restore did not do what it should, as far as it can be told: an error
    here would hide the failure that it is about."""
    parts = []
    try:
        tell_story(namespace, parts)
    except Exception as error:
        parts.append(f"(no more can be told: {error})")
    return "\n".join(parts)


def told(namespace, what, check, timeout_seconds):
    """wait_for, which tells the whole story when it fails."""
    try:
        return wait_for(what, check, timeout_seconds)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{story(namespace)}") from None


def remove_finalizers(namespace):
    """Nothing of a test may outlive it, whatever state a failure left it in."""
    for kind in ("databaserestores", "postgresservers"):
        for item in api.items(kind, namespace):
            patch = '{"metadata":{"finalizers":null}}'
            with contextlib.suppress(CommandError):
                name = item["metadata"]["name"]
                kubectl("patch", kind, name, "--type=merge", f"--patch={patch}", namespace=namespace)


def delete_volumes_of(namespace):
    for name in (volume["metadata"]["name"] for volume in api.items("persistentvolumes")):
        if name.startswith(namespace + "-"):
            run("hack/cluster", "volume", "--delete", name)


def tear_down(namespace):
    """Uninstalls the operator and takes everything away, the volumes after the namespace that uses them."""
    with contextlib.suppress(CommandError):
        uninstall(namespace)
    kubectl("delete", "namespace", namespace, "--wait=false", "--ignore-not-found")
    deadline = time.monotonic() + 90
    with contextlib.suppress(CommandError):
        while time.monotonic() < deadline:
            remove_finalizers(namespace)
            api.get("namespace", namespace)
            time.sleep(0.5)
    delete_volumes_of(namespace)


def install(namespace):
    values = [
        "crds.install=false,userRoles.create=false,image.pullPolicy=Never",
        f"image.repository={OPERATOR_IMAGE},image.tag=dev",
        f"agentImage.repository={AGENT_IMAGE},agentImage.tag=dev",
    ]
    options = [f"--namespace={namespace}", *(f"--set={value}" for value in values), "--wait", "--timeout=60s"]
    run("helm", "install", NAME, str(ROOT / "charts" / "dbrestore"), *options)


def uninstall(namespace):
    run("helm", "uninstall", NAME, f"--namespace={namespace}", "--wait", "--timeout=30s")


@contextlib.contextmanager
def installed_operator(prefix, labels=None):
    """A namespace with an operator that watches it and nothing else."""
    with temporary_namespace(prefix, labels) as namespace:
        try:
            install(namespace)
            yield Operator(namespace)
        finally:
            Held.resume_all()
            tear_down(namespace)
