"""What the operator works out from a StatefulSet, and what it says where it cannot. No pod runs here."""

import copy
import re

import pytest
import yaml

from release import told
from shop import HERE
from support import api
from support.kubectl import kubectl

SHOP = {
    document["kind"]: document
    for document in yaml.safe_load_all((HERE / "manifests" / "shop.yaml").read_text())
}
counter = iter(range(1000))


def container_of(workload):
    return workload["spec"]["template"]["spec"]["containers"][0]


def environment(workload, name, value):
    container = container_of(workload)
    container["env"] = [entry for entry in container["env"] if entry["name"] != name]
    if value is not None:
        container["env"].append({"name": name} | (value if isinstance(value, dict) else {"value": value}))


def from_secret(key, secret="shop-connection"):
    return {"valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def registered(namespace, change, postgres=None):
    """The PostgresServer of a changed StatefulSet, once the operator has looked at it."""
    name = f"server-{next(counter)}"
    workload = copy.deepcopy(SHOP["StatefulSet"])
    workload["metadata"]["name"] = name
    workload["spec"]["replicas"] = 0
    change(workload)
    server = {
        "apiVersion": "dbrestore.dev/v1alpha1",
        "kind": "PostgresServer",
        "metadata": {"name": name},
        "spec": {"workloadRef": {"kind": "StatefulSet", "name": name}, "postgres": postgres or {}},
    }
    kubectl("create", objects=[workload, server], namespace=namespace)

    def seen():
        # The operator may hear of the server before it hears of the workload.
        status = looked_at(namespace, name)
        ready = next(c for c in status["conditions"] if c["type"] == "Ready")
        return None if ready["reason"] == "WorkloadNotFound" else (name, ready, status.get("inferred"))

    return told(namespace, f"PostgresServer {name} and its workload were looked at", seen, 20)


def looked_at(namespace, name):
    def status():
        found = api.get("postgresserver", name, namespace).get("status", {})
        return found if found.get("observedGeneration", -1) >= 1 and "conditions" in found else None

    return told(namespace, f"PostgresServer {name} was looked at", status, 20)


def nothing(_):
    pass


def root_of_the_volume(workload):
    environment(workload, "PGDATA", None)


def sub_path(workload):
    container_of(workload)["volumeMounts"][0] |= {"mountPath": "/srv/data", "subPath": "postgres"}
    environment(workload, "PGDATA", "/srv/data/15")


def non_root(workload):
    workload["spec"]["template"]["spec"]["securityContext"] = {"runAsUser": 70, "runAsGroup": 71}


def plain_user(workload):
    environment(workload, "POSTGRES_USER", None)
    environment(workload, "POSTGRES_DB", "orders")


def own_port(workload):
    environment(workload, "PGPORT", "6543")


def two_containers(workload):
    helper = {"name": "backup", "image": "example.org/tool:1", "command": ["sleep", "1d"]}
    workload["spec"]["template"]["spec"]["containers"].insert(0, helper)


@pytest.mark.parametrize(
    "change, expected",
    [
        (
            nothing,
            {
                "container": "postgres",
                "image": "localhost/dbrestore-test-postgres:15",
                "dataDirectory": "/var/lib/postgresql/data/pgdata",
                "mountPath": "/var/lib/postgresql/data",
                "volume": "data",
                "secretName": "shop-connection",
                "port": 5432,
            },
        ),
        (
            root_of_the_volume,
            {"dataDirectory": "/var/lib/postgresql/data", "mountPath": "/var/lib/postgresql/data"},
        ),
        (sub_path, {"dataDirectory": "/srv/data/15", "mountPath": "/srv/data", "subPath": "postgres"}),
        (non_root, {"uid": 70}),
        (plain_user, {"user": {"value": "postgres"}, "database": {"value": "orders"}}),
        (own_port, {"port": 6543}),
        (two_containers, {"container": "postgres"}),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_it_is_inferred_from_the_stateful_set(namespace, change, expected):
    name, ready, inferred = registered(namespace, change)
    assert (ready["status"], ready["reason"]) == ("True", "Inferred"), ready
    assert inferred["claimName"] == f"data-{name}-0"
    for field, value in expected.items():
        assert value in (inferred[field], str(inferred[field])) or matches(inferred[field], value), (
            field,
            inferred,
        )


def matches(found, expected):
    """A user or a database is shown as a value or as the key of a Secret."""
    return isinstance(expected, dict) and expected.get("value") in re.split(
        r'[":{}, ]+', str(found).replace("'", '"')
    )


def unknown_data_directory(workload):
    environment(workload, "PGDATA", from_secret("directory"))


def referring_data_directory(workload):
    environment(workload, "PGDATA", "$(BASE)/data")


def not_on_a_volume(workload):
    environment(workload, "PGDATA", "/srv/elsewhere")


def on_an_empty_dir(workload):
    workload["spec"]["volumeClaimTemplates"] = []
    workload["spec"]["template"]["spec"]["volumes"].append({"name": "data", "emptyDir": {}})


def two_servers(workload):
    container_of(workload)["name"] = "first"
    second = copy.deepcopy(container_of(workload)) | {"name": "second"}
    workload["spec"]["template"]["spec"]["containers"].append(second)


def open_password(workload):
    environment(workload, "POSTGRES_PASSWORD", "in the open")


def several_secrets(workload):
    environment(workload, "POSTGRES_DB", from_secret("database", "another-secret"))


@pytest.mark.parametrize(
    "change, reason, must",
    [
        (unknown_data_directory, "DataDirectoryUnknown", "`spec.postgres.dataDirectory` must be set"),
        (referring_data_directory, "DataDirectoryUnknown", "`spec.postgres.dataDirectory` must be set"),
        (not_on_a_volume, "VolumeNotFound", "must lie on a PersistentVolumeClaim"),
        (on_an_empty_dir, "ClaimNotFound", "must be a PersistentVolumeClaim"),
        (two_servers, "ContainerUnknown", "`spec.postgres.container` must name"),
        (open_password, "CredentialsUnknown", "`spec.postgres.connectionSecret` must name"),
        (several_secrets, "CredentialsUnknown", "`spec.postgres.connectionSecret` must name"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_ready_is_false_with_the_reason_where_it_cannot_be_inferred(namespace, change, reason, must):
    _, ready, inferred = registered(namespace, change)
    assert (ready["status"], ready["reason"]) == ("False", reason)
    assert must in ready["message"]
    assert inferred is None


@pytest.mark.parametrize(
    "change, postgres, expected",
    [
        (
            unknown_data_directory,
            {"dataDirectory": "/var/lib/postgresql/data/x"},
            ("dataDirectory", "/var/lib/postgresql/data/x"),
        ),
        (two_servers, {"container": "second"}, ("container", "second")),
        (
            open_password,
            {"connectionSecret": {"name": "other", "databaseKey": "database"}},
            ("secretName", "other"),
        ),
        (nothing, {"uid": 26}, ("uid", 26)),
        (nothing, {"port": 5433}, ("port", 5433)),
    ],
    ids=["data directory", "container", "secret", "uid", "port"],
)
def test_what_the_owner_states_goes_before_inference(namespace, change, postgres, expected):
    _, ready, inferred = registered(namespace, change, postgres)
    assert ready["status"] == "True", ready
    assert inferred[expected[0]] == expected[1]


def test_the_server_becomes_ready_by_itself_when_its_stateful_set_appears(namespace):
    server = {
        "apiVersion": "dbrestore.dev/v1alpha1",
        "kind": "PostgresServer",
        "metadata": {"name": "early"},
        "spec": {"workloadRef": {"kind": "StatefulSet", "name": "early"}},
    }
    kubectl("create", objects=server, namespace=namespace)
    assert looked_at(namespace, "early")["conditions"][0]["reason"] == "WorkloadNotFound"
    workload = copy.deepcopy(SHOP["StatefulSet"])
    workload["metadata"]["name"] = "early"
    workload["spec"]["replicas"] = 0
    kubectl("create", objects=workload, namespace=namespace)
    kubectl("wait", "--for=condition=Ready", "postgresserver/early", "--timeout=15s", namespace=namespace)


def test_of_two_servers_for_one_stateful_set_the_second_is_refused(namespace):
    name, ready, _ = registered(namespace, nothing)
    assert ready["status"] == "True"
    second = {
        "apiVersion": "dbrestore.dev/v1alpha1",
        "kind": "PostgresServer",
        "metadata": {"name": f"{name}-again"},
        "spec": {"workloadRef": {"kind": "StatefulSet", "name": name}},
    }
    kubectl("create", objects=second, namespace=namespace)
    status = looked_at(namespace, f"{name}-again")
    assert [c["reason"] for c in status["conditions"] if c["type"] == "Ready"] == ["WorkloadClaimedTwice"]
    kubectl("delete", "postgresserver", name, namespace=namespace)
    kubectl(
        "wait", "--for=condition=Ready", f"postgresserver/{name}-again", "--timeout=15s", namespace=namespace
    )
