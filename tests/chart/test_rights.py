"""What the operator and people may do, as the real API server's authorizer sees it."""

import pytest

from support.kubectl import kubectl, kubectl_json, refusal, run, wait_for

from conftest import CHART

READ = ["get", "list", "watch"]
WRITE = ["create", "update", "patch", "delete"]

ALLOWED = {
    "databaserestores.dbrestore.dev": [*READ, "patch"],
    "postgresservers.dbrestore.dev": [*READ, "patch"],
    "databaserestores.dbrestore.dev/status": ["get", "patch"],
    "postgresservers.dbrestore.dev/status": ["get", "patch"],
    "statefulsets.apps": READ,
    "statefulsets.apps/scale": ["get", "patch"],
    "deployments.apps": READ,
    "deployments.apps/scale": ["get", "patch"],
    "jobs.batch": [*READ, "create", "delete"],
    "cronjobs.batch": ["get", "patch"],
    "pods": READ,
    "pods/log": ["get"],
    "persistentvolumeclaims": READ,
    "events": READ,
    "events.events.k8s.io": ["create", "patch"],
    "leases.coordination.k8s.io": ["create"],
    "leases.coordination.k8s.io#dbrestore-leader": ["get", "patch"],
}
DENIED = {
    "secrets": [*READ, *WRITE],
    "configmaps": [*READ, *WRITE],
    "databaserestores.dbrestore.dev": ["create", "update", "delete", "deletecollection"],
    "postgresservers.dbrestore.dev": ["create", "update", "delete", "deletecollection"],
    "statefulsets.apps": WRITE,
    "deployments.apps": WRITE,
    "replicasets.apps": [*READ, *WRITE],
    "jobs.batch": ["update", "patch", "deletecollection"],
    "cronjobs.batch": ["list", "watch", "create", "update", "delete"],
    "pods": [*WRITE, "deletecollection"],
    "pods/exec": ["create", "get"],
    "pods/ephemeralcontainers": ["patch"],
    "pods/eviction": ["create"],
    "persistentvolumeclaims": WRITE,
    "serviceaccounts": ["impersonate"],
    "serviceaccounts/token": ["create"],
    "leases.coordination.k8s.io": [*READ, "update", "patch", "delete"],
    "leases.coordination.k8s.io#dbrestore-leader": ["update", "delete"],
    "leases.coordination.k8s.io#another": ["get", "patch"],
    "roles.rbac.authorization.k8s.io": ["bind", "escalate", "create"],
}


def reviews(user, namespace, table):
    """Asks for every row of the table at once, and returns the answers by resource and verb.

    A resource is PLURAL.GROUP/SUBRESOURCE#NAME, of which all but the first may be missing.
    """
    rows = [(resource, verb) for resource, verbs in table.items() for verb in verbs]
    objects = []
    for resource, verb in rows:
        kind, _, name = resource.partition("#")
        kind, _, subresource = kind.partition("/")
        plural, _, group = kind.partition(".")
        attributes = {
            "namespace": namespace,
            "verb": verb,
            "group": group,
            "resource": plural,
            "subresource": subresource,
            "name": name,
        }
        spec = {"user": user, "groups": ["system:authenticated"], "resourceAttributes": attributes}
        objects.append({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec})
    answers = kubectl("create", "--output=jsonpath={.status.allowed}{'\\n'}", objects=objects).split()
    return {row: answer == "true" for row, answer in zip(rows, answers, strict=True)}


def test_operator_may_do_what_it_needs(release, operator):
    answers = reviews(operator, release, ALLOWED)
    assert [row for row, allowed in answers.items() if not allowed] == []


def test_operator_may_do_nothing_else(release, operator):
    answers = reviews(operator, release, DENIED)
    assert [row for row, allowed in answers.items() if allowed] == []


def test_operator_may_do_nothing_in_another_namespace(operator, namespace):
    answers = reviews(operator, namespace, {**ALLOWED, **DENIED})
    assert [row for row, allowed in answers.items() if allowed] == []


def test_operator_sees_whether_its_own_namespace_is_being_deleted(release, operator):
    assert kubectl_json("get", "namespace", release, user=operator)["status"]["phase"] == "Active"
    assert "forbidden" in refusal("get", "namespace", "default", user=operator)


def test_operators_pod_is_admitted_under_the_restricted_standard(release):
    pods = wait_for(
        "the operator's pod",
        lambda: kubectl_json("get", "pods", "--selector=app.kubernetes.io/name=dbrestore", namespace=release)[
            "items"
        ],
        timeout_seconds=30,
    )
    assert pods[0]["spec"]["serviceAccountName"] == "dbrestore"


@pytest.fixture(scope="module")
def people(namespace):
    """The roles for people as the chart renders them, under a test's own names, each bound to somebody."""
    rendered = run(
        "helm", "template", "dbrestore", CHART, "--kube-version=1.34", "--show-only=templates/user-roles.yaml"
    )
    suffix = namespace.rsplit("-", 1)[1]
    for role in ("viewer", "restorer"):
        rendered = rendered.replace(f"name: dbrestore-{role}", f"name: dbrestore-{role}-{suffix}")
    run("kubectl", "apply", "--filename=-", stdin=rendered)
    roles = {"restorer": f"dbrestore-restorer-{suffix}", "reader": "view", "editor": "edit"}
    try:
        for user, role in roles.items():
            kubectl(
                "create", "rolebinding", user, f"--clusterrole={role}", f"--user={user}", namespace=namespace
            )
        yield namespace
    finally:
        run("kubectl", "delete", "--filename=-", stdin=rendered)


def test_restorer_may_restore_and_cancel_but_not_change_servers(people):
    may = reviews(
        "restorer",
        people,
        {"databaserestores.dbrestore.dev": [*READ, *WRITE], "postgresservers.dbrestore.dev": READ},
    )
    may_not = reviews(
        "restorer",
        people,
        {"postgresservers.dbrestore.dev": WRITE, "databaserestores.dbrestore.dev/status": ["patch"]},
    )
    assert all(may.values()) and not any(may_not.values())


@pytest.mark.parametrize("user", ["reader", "editor"])
def test_who_may_view_or_edit_a_namespace_sees_restores_but_does_not_make_them(user, people):
    kinds = ["databaserestores.dbrestore.dev", "postgresservers.dbrestore.dev"]
    wait_for(
        "the aggregation",
        lambda: all(reviews(user, people, dict.fromkeys(kinds, READ)).values()),
        timeout_seconds=30,
    )
    assert not any(reviews(user, people, dict.fromkeys(kinds, WRITE)).values())
