"""A PostgreSQL server in the cluster: deployed, filled, dumped, changed, and told apart by its content."""

import dataclasses
import itertools
import re
import uuid
from pathlib import Path

import yaml

from release import told
from support import api
from support.kubectl import ROOT, CommandError, kubectl, run, wait_for

HERE = Path(__file__).parent
SAMPLE = (ROOT / "tests" / "support" / "sample_database.sql").read_text()
FINGERPRINT = ROOT / "tests" / "support" / "fingerprint.sql"
SAMPLE_OF_A_SERVER = yaml.safe_load((ROOT / "crds" / "samples" / "postgresserver.yaml").read_text())

# Two changes never make the same data. Objects stay: a restore carries owners and rights over from what it finds.
# It fills materialized views anew, so they are filled here as well.
CHANGE = """
UPDATE shop.events SET payload = 'changed by test {number}' WHERE id % 3 = 0;
DELETE FROM shop.order_lines WHERE order_id % 5 = {number} % 5;
INSERT INTO audit.changes (what, rows) VALUES ('test', {number});
SELECT lo_put(500001, 0, decode(md5('{number}'), 'hex'));
CREATE TABLE shop.made_after_dump_{number} (id integer);
REFRESH MATERIALIZED VIEW shop.sales;
REFRESH MATERIALIZED VIEW shop.best_sales;
"""
numbers = itertools.count(1)


@dataclasses.dataclass
class Copies:
    """What a dump holds, or what the database held at a point in time; and what it held when the restore began."""

    path: str
    of_the_dump: str
    before: str
    time: str = ""


def claim(name, volume):
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "storageClassName": volume,
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "10Mi"}},
        },
    }


def make_volume(name, size_mb):
    """Makes a file system of that size and its PersistentVolume, and returns its directory on the host."""
    run("hack/cluster", "volume", name, str(size_mb))
    return Path(api.get("persistentvolume", name)["spec"]["local"]["path"])


class Shop:
    """A StatefulSet of the official image's shape, with a claim for its data and one for its dumps; `adapt` may make
    another shape of it, or a Deployment."""

    def __init__(self, namespace, name="shop", data_mb=2000, dumps_mb=500, adapt=None):
        """`adapt` gets the manifests by kind, to make another shape of them."""
        self.namespace = namespace
        self.name = name
        self.password = f"secret-{uuid.uuid4().hex}"
        self.data_on_host = make_volume(f"{namespace}-{name}-data", data_mb)
        self.dumps_on_host = make_volume(f"{namespace}-{name}-dumps", dumps_mb)
        text = (HERE / "manifests" / "shop.yaml").read_text()
        self.objects = {o["kind"]: o for o in yaml.safe_load_all(re.sub(r"\bshop\b", name, text))}
        self.objects["Secret"]["stringData"]["password"] = self.password
        self.objects["PersistentVolumeClaim"] = claim(f"{name}-dumps", f"{namespace}-{name}-dumps")
        self.kept_folders = set()
        if adapt:
            adapt(self.objects)

    @property
    def kind(self):
        return "Deployment" if "Deployment" in self.objects else "StatefulSet"

    @property
    def workload(self):
        return f"{self.kind.lower()}/{self.name}"

    @property
    def pod_spec(self):
        return self.objects[self.kind]["spec"]["template"]["spec"]

    @property
    def container(self):
        return self.pod_spec["containers"][0]

    @property
    def data_claim(self):
        """The name of the data's claim: the one that the pod template names, or the StatefulSet's own."""
        for volume in self.pod_spec["volumes"]:
            if volume["name"] == "data":
                return volume["persistentVolumeClaim"]["claimName"]
        return f"data-{self.name}-0"

    def deploy(self):
        data = claim(self.data_claim, f"{self.namespace}-{self.name}-data")
        kubectl("apply", objects=[data, *self.objects.values()], namespace=self.namespace)
        self.wait_ready()
        return self

    def register(self, **postgres):
        """Says that there is this PostgresServer; what is given is not inferred."""
        server = SAMPLE_OF_A_SERVER | {"metadata": {"name": self.name}}
        server["spec"] = {"workloadRef": {"kind": self.kind, "name": self.name}, "postgres": postgres}
        kubectl("apply", objects=server, namespace=self.namespace)
        return self

    def fill(self, orders=200):
        self.sql(SAMPLE, f"--set=scale={orders}")
        return self

    # What Kubernetes says of it

    def get(self, kind, name=None):
        return api.get(kind, name or self.name, self.namespace)

    def pods(self):
        """Its pods but for those that are being deleted."""
        pods = api.items("pods", self.namespace, labels=f"app={self.name}")
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def pod(self):
        """Its only pod."""
        if self.kind == "StatefulSet":
            return self.get("pod", f"{self.name}-0")
        pods = self.pods()
        if len(pods) != 1:
            raise CommandError(["the pod of", self.workload], 1, "", f"it has {len(pods)} pods")
        return pods[0]

    def life(self):
        """Changes when the database was stopped, restarted or replaced."""
        pod = self.pod()
        state = pod["status"]["containerStatuses"][0]
        return pod["metadata"]["uid"], state["containerID"], self.value("SELECT pg_postmaster_start_time()")

    def address(self):
        return self.pod()["status"]["podIP"]

    def scale(self, replicas):
        kubectl("scale", self.workload, f"--replicas={replicas}", namespace=self.namespace)

    def replicas(self):
        return self.get(self.kind.lower())["spec"]["replicas"]

    def wait_ready(self, timeout_seconds=90):
        told(
            self.namespace,
            f"database {self.name} ready",
            lambda: self.get(self.kind.lower())["status"].get("readyReplicas") == 1
            and self.value("SELECT 1") == "1",
            timeout_seconds,
        )

    def wait_stopped(self):
        wait_for(
            f"database {self.name} stopped",
            lambda: not api.items("pods", self.namespace, labels=f"app={self.name}"),
        )

    def server_status(self):
        return self.get("postgresserver").get("status", {})

    # What the database says

    def execute(self, *command, stdin="", timeout_seconds=300):
        """Runs a command in the database's container."""
        words = [
            "exec",
            "-i",
            self.pod()["metadata"]["name"],
            "-c",
            self.container["name"],
            f"--namespace={self.namespace}",
            "--",
            *command,
        ]
        return run("kubectl", *words, stdin=stdin, timeout_seconds=timeout_seconds)

    def user(self):
        """The superuser."""
        return self.objects["Secret"]["stringData"].get("username", "postgres")

    def environment(self):
        """By which a client in the container logs in, where it needs more than its name."""
        password = self.objects["Secret"]["stringData"].get("postgres-password")
        return ["env", "PGHOST=127.0.0.1", f"PGPASSWORD={password}"] if password else []

    def sql(self, text, *options, database=None, timeout_seconds=300):
        """Runs SQL by psql inside the pod and returns what it printed, unaligned."""
        command = [*self.environment(), "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", *options]
        command += ["-U", self.user(), "-d", database or self.name, "-f", "-"]
        return self.execute(*command, stdin=text, timeout_seconds=timeout_seconds)

    def value(self, query, **options):
        return self.sql(query, **options).strip()

    def databases(self):
        return set(self.value("SELECT datname FROM pg_database WHERE NOT datistemplate").splitlines())

    def roles(self):
        return set(self.value("SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_'").splitlines())

    def fingerprint(self, database=None):
        """Equal for equal content: data, definitions, owners, rights, settings."""
        return self.sql(FINGERPRINT.read_text(), database=database)

    def must_hold(self, expected, but_unlogged=False):
        """The database's content is this. `but_unlogged`: any crash of a server empties unlogged tables."""
        differing = sorted(set(self.fingerprint().splitlines()) ^ set(expected.splitlines()))
        if but_unlogged:
            differing = [line for line in differing if not line.startswith("data shop.sessions|")]
        assert differing == []

    def dump(self, path):
        """Dumps the database into the claim for dumps."""
        self.execute(*self.environment(), "pg_dump", "-Fc", "-U", self.user(), "-d", self.name, "-f", f"/dumps/{path}")

    def change(self):
        """Changes the database so that no other content is like it."""
        self.sql(CHANGE.format(number=next(numbers)))

    def dump_and_change(self, path=None):
        path = path or f"{uuid.uuid4().hex[:8]}.dump"
        of_the_dump = self.fingerprint()
        self.dump(path)
        self.change()
        return Copies(path, of_the_dump, self.fingerprint())

    def remember_and_change(self):
        """What a restore can bring back is another content than today's afterwards."""
        return self.dump_and_change()

    def look_what_is_kept(self):
        """The folders of old files that restores to points in time keep. A PostgresServer that is made anew may not
        know of all."""
        kept = [entry.get("previousData") or {} for entry in self.server_status().get("history", [])]
        self.kept_folders |= {f"/{data['directory']}/" for data in kept if data.get("directory")}
        return self.kept_folders

    def must_be_clean(self):
        """No restore's traces: databases, roles, fence, lock, and files that take space, but those that are kept."""
        lock = {"activeRestore", "fence", "originalReplicas"} & set(self.server_status())
        assert not lock, f"the PostgresServer still has {lock}"
        assert not [name for name in self.databases() if name.startswith("dbrestore_new")]
        assert not [name for name in self.roles() if name.startswith("dbrestore")]
        work_files = [file for file in self.data_on_host.rglob(".dbrestore/**/*") if file.is_file()]
        kept = self.look_what_is_kept()
        in_the_way = [file for file in work_files if not any(folder in str(file) for folder in kept)]
        assert sum(file.stat().st_size for file in in_the_way) < 1_000_000, in_the_way
