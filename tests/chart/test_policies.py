"""The admission policies on the real API server: who mounts fenced claims, what Jobs the operator makes."""

import copy
import json

import pytest

from support.kubectl import CommandError, kubectl, kubectl_json, refusal, wait_for

from conftest import AGENT_IMAGE

JOB_CONTROLLER = "system:serviceaccount:kube-system:job-controller"
RESTORE_UID = "5f0c1a52-0000-4000-8000-000000000001"
CLAIM = "data-shop-0"
LABELS = {
    "app.kubernetes.io/managed-by": "dbrestore",
    "dbrestore.dev/restore-uid": RESTORE_UID,
    "dbrestore.dev/restore-name": "shop-1",
    "dbrestore.dev/server": "shop",
    "dbrestore.dev/step": "prepare",
    "dbrestore.dev/attempt": "1",
}
UNPRIVILEGED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def agent_job(name="dbr-5f0c1a52-prepare-1", claim=CLAIM):
    """A Job as the operator makes it."""
    field = {"fieldRef": {"fieldPath": "metadata.uid"}}
    install = {
        "name": "install",
        "image": AGENT_IMAGE,
        "command": ["/dbrestore/dbrestore-agent", "install", "/bundle"],
        "securityContext": UNPRIVILEGED,
        "volumeMounts": [{"name": "bundle", "mountPath": "/bundle"}],
    }
    agent = {
        "name": "agent",
        "image": "postgres.invalid/postgres:15",
        "imagePullPolicy": "Never",
        "command": ["/dbrestore/dbrestore-agent", "prepare"],
        "env": [
            {"name": "DBRESTORE_REQUEST", "value": "{}"},
            {"name": "DBRESTORE_POD_UID", "valueFrom": field},
        ],
        "securityContext": UNPRIVILEGED,
        "volumeMounts": [
            {"name": "bundle", "mountPath": "/dbrestore"},
            {"name": "data", "mountPath": "/data"},
        ],
    }
    pod = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": 600,
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 999,
            "runAsGroup": 999,
            "supplementalGroups": [999],
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": [install],
        "containers": [agent],
        "volumes": [
            {"name": "bundle", "emptyDir": {}},
            {"name": "shm", "emptyDir": {"medium": "Memory"}},
            {"name": "data", "persistentVolumeClaim": {"claimName": claim}},
            {"name": "source", "persistentVolumeClaim": {"claimName": "shop-dumps", "readOnly": True}},
            {"name": "secret", "secret": {"secretName": "shop", "optional": True}},
            {"name": "configuration", "configMap": {"name": "shop", "optional": True}},
        ],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": dict(LABELS)},
        "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": dict(LABELS)}, "spec": pod}},
    }


def plain_job(name="backup", suspend=False):
    pod = copy.deepcopy(agent_job()["spec"]["template"]["spec"])
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"suspend": suspend, "template": {"spec": pod}},
    }


def pod_mounting(claim, labels=None, owner_kind=None):
    template = agent_job(claim=claim)["spec"]["template"]
    metadata = {"name": "pod", "labels": labels or {}}
    if owner_kind:
        owner = {"apiVersion": "batch/v1", "kind": owner_kind, "name": "a", "uid": "b", "controller": True}
        metadata["ownerReferences"] = [owner]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def dry_create(manifest, namespace, user=None):
    kubectl("create", "--dry-run=server", objects=manifest, namespace=namespace, user=user)


def set_fence(namespace, fence):
    manifest = {
        "apiVersion": "dbrestore.dev/v1alpha1",
        "kind": "PostgresServer",
        "metadata": {"name": "shop"},
        "status": {"fence": fence} if fence else {},
    }
    arguments = ["apply", "--server-side", "--subresource=status", "--field-manager=dbrestore-lock"]
    kubectl(*arguments, objects=manifest, namespace=namespace)


@pytest.fixture(scope="module")
def fenced(release):
    """A namespace with a server whose claim is fenced for one restore, once the policy is in force."""
    spec = {"workloadRef": {"kind": "StatefulSet", "name": "shop"}}
    manifest = {
        "apiVersion": "dbrestore.dev/v1alpha1",
        "kind": "PostgresServer",
        "metadata": {"name": "shop"},
        "spec": spec,
    }
    kubectl("create", objects=manifest, namespace=release)
    set_fence(release, {"restoreUID": RESTORE_UID, "restoreName": "shop-1", "claimNames": [CLAIM]})

    def is_refused():
        try:
            dry_create(pod_mounting(CLAIM), release)
            return False
        except CommandError as error:
            return "shop-1 works on its data" in error.stderr

    wait_for("the fence", is_refused, timeout_seconds=30)
    yield release
    set_fence(release, None)


@pytest.fixture(scope="module")
def policed(release, operator):
    """A namespace in which the API server has seen the policy for Jobs."""

    def is_refused():
        try:
            dry_create(agent_job("evil"), release, operator)
            return False
        except CommandError as error:
            return "must begin with dbr-" in error.stderr

    wait_for("the policy for Jobs", is_refused, timeout_seconds=30)
    return release


def test_fence_refuses_a_foreign_pod_and_names_the_restore(fenced):
    said = refusal("create", "--dry-run=server", objects=pod_mounting(CLAIM), namespace=fenced)
    assert "claim data-shop-0 must not be mounted now: DatabaseRestore shop-1 works on its data" in said


@pytest.mark.parametrize(
    "labels, user, owner_kind",
    [
        pytest.param(LABELS, None, None, id="label-set-by-anybody"),
        pytest.param(LABELS, None, "Job", id="label-and-owner-set-by-anybody"),
        pytest.param(
            LABELS,
            "system:serviceaccount:kube-system:statefulset-controller",
            "StatefulSet",
            id="stateful-set",
        ),
        pytest.param({}, JOB_CONTROLLER, "Job", id="job-without-label"),
        pytest.param(
            {**LABELS, "dbrestore.dev/restore-uid": "other"},
            JOB_CONTROLLER,
            "Job",
            id="job-of-another-restore",
        ),
        pytest.param(
            {**LABELS, "dbrestore.dev/restore-uid": ""}, JOB_CONTROLLER, "Job", id="job-with-empty-label"
        ),
        pytest.param(
            LABELS, "system:kube-controller-manager", "StatefulSet", id="stateful-set-of-a-shared-account"
        ),
    ],
)
def test_fence_refuses_what_only_looks_like_its_restore(labels, user, owner_kind, fenced):
    # Impersonated as cluster admin: what is tested is the policy, not who may make pods.
    manifest = pod_mounting(CLAIM, labels, owner_kind)
    said = refusal(
        "create",
        "--dry-run=server",
        "--as-group=system:masters",
        objects=manifest,
        namespace=fenced,
        user=user or "me",
    )
    assert "must not be mounted now" in said


@pytest.mark.parametrize("user", [JOB_CONTROLLER, "system:kube-controller-manager"])
def test_fence_lets_the_pod_of_its_restore_pass(user, fenced):
    manifest = pod_mounting(CLAIM, LABELS, "Job")
    kubectl(
        "create",
        "--dry-run=server",
        "--as-group=system:masters",
        objects=manifest,
        namespace=fenced,
        user=user,
    )


def infer_claim(namespace, claim):
    manifest = {
        "apiVersion": "dbrestore.dev/v1alpha1",
        "kind": "PostgresServer",
        "metadata": {"name": "shop"},
        "status": {"inferred": {"claimName": claim}},
    }
    arguments = ["apply", "--server-side", "--subresource=status", "--field-manager=dbrestore"]
    kubectl(*arguments, objects=manifest, namespace=namespace)


def test_fence_refuses_a_writer_of_a_restore_that_has_none(fenced):
    """A paused operator may make a Job long after its restore has ended."""
    infer_claim(fenced, "data-late-0")
    late = pod_mounting("data-late-0", LABELS | {"dbrestore.dev/restore-uid": "ended"}, "Job")

    def said():
        try:
            dry_create(late, fenced)
            return ""
        except CommandError as error:
            return error.stderr

    wait_for("the refusal", lambda: "has no fence of the restore that the pod belongs to" in said(), 10)
    assert "claim data-late-0 must not be mounted for writing: PostgresServer shop" in said()
    for volume in late["spec"]["volumes"]:
        if "persistentVolumeClaim" in volume:
            volume["persistentVolumeClaim"]["readOnly"] = True
    dry_create(late, fenced)
    dry_create(pod_mounting("data-late-0"), fenced)


def test_fence_lets_what_removes_expired_files_write_unless_another_restore_works_there(fenced):
    labels = LABELS | {"dbrestore.dev/restore-uid": "ended", "dbrestore.dev/step": "cleanup"}
    infer_claim(fenced, "data-kept-0")
    dry_create(pod_mounting("data-kept-0", labels, "Job"), fenced)
    said = refusal("create", "--dry-run=server", objects=pod_mounting(CLAIM, labels, "Job"), namespace=fenced)
    assert "shop-1 works on its data" in said


def test_fence_leaves_other_claims_alone(fenced):
    dry_create(pod_mounting("data-other-0"), fenced)


def test_fence_leaves_other_namespaces_alone(fenced, namespace):
    dry_create(pod_mounting(CLAIM), namespace)


@pytest.mark.parametrize(
    "kind, maker, extra",
    [("StatefulSet", "StatefulSet", {"serviceName": "shop"}), ("Deployment", "ReplicaSet", {})],
    ids=["stateful-set", "deployment"],
)
def test_workload_scaled_up_meanwhile_is_told_which_restore_works(kind, maker, extra, fenced, operator):
    """With the real controllers: the operator's Job gets its pod, the workload gets none."""
    template = {
        "metadata": {"labels": {"app": "shop"}},
        "spec": {**agent_job()["spec"]["template"]["spec"], "restartPolicy": "Always"},
    }
    del template["spec"]["activeDeadlineSeconds"]
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": {"app": "shop"}},
        "template": template,
        **extra,
    }
    workload = {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "shop"}, "spec": spec}
    kubectl("create", objects=agent_job(), namespace=fenced, user=operator)
    kubectl("create", objects=workload, namespace=fenced)

    def pods(selector):
        return kubectl_json("get", "pods", f"--selector={selector}", namespace=fenced)["items"]

    def refusal_events():
        events = kubectl_json("get", "events", "--field-selector=reason=FailedCreate", namespace=fenced)[
            "items"
        ]
        return [
            event
            for event in events
            if "DatabaseRestore shop-1 works on its data" in event["message"]
            and event["involvedObject"]["kind"] == maker
        ]

    try:
        wait_for(
            "the pod of the operator's Job",
            lambda: pods(f"dbrestore.dev/restore-uid={RESTORE_UID}"),
            timeout_seconds=30,
        )
        wait_for("the FailedCreate event of the workload", refusal_events, timeout_seconds=30)
        assert pods("app=shop") == []
    finally:
        kubectl("delete", kind.lower(), "shop", namespace=fenced)
        kubectl("delete", "job", agent_job()["metadata"]["name"], namespace=fenced, user=operator)


def test_operator_may_make_the_jobs_it_needs(policed, operator):
    dry_create(agent_job(), policed, operator)


def in_job(change):
    return lambda job: change(job)


def in_pod(change):
    return lambda job: change(job["spec"]["template"]["spec"])


def in_agent(change):
    return lambda job: change(job["spec"]["template"]["spec"]["containers"][0])


def in_install(change):
    return lambda job: change(job["spec"]["template"]["spec"]["initContainers"][0])


def secure(**fields):
    return in_agent(lambda c: c.update(securityContext={**UNPRIVILEGED, **fields}))


OWNER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "b"}
FROM_SECRET = {"name": "A", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}
HOST_PATH = {"name": "host", "hostPath": {"path": "/"}}
TOKEN = {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}

EVIL_JOBS = {
    "another name": (in_job(lambda j: j["metadata"].update(name="evil")), "must begin with dbr-"),
    "a label missing": (
        in_job(lambda j: j["metadata"]["labels"].pop("dbrestore.dev/step")),
        "labels app.kubernetes.io/managed-by and dbrestore.dev/* must be set",
    ),
    "labels that differ": (
        in_job(lambda j: j["metadata"]["labels"].update({"dbrestore.dev/restore-uid": "other"})),
        "must be set, and be the same on the Job and its pod",
    ),
    "managed by another": (
        in_job(
            lambda j: [
                m["labels"].update({"app.kubernetes.io/managed-by": "a"})
                for m in (j["metadata"], j["spec"]["template"]["metadata"])
            ]
        ),
        "managed-by must be dbrestore",
    ),
    "an owner": (
        in_job(lambda j: j["metadata"].update(ownerReferences=[OWNER])),
        "`metadata.ownerReferences` must not be set",
    ),
    "retries of its own": (in_job(lambda j: j["spec"].update(backoffLimit=3)), "`backoffLimit` must be 0"),
    "two pods": (
        in_job(lambda j: j["spec"].update(parallelism=2)),
        "`parallelism` and `completions` must be 1",
    ),
    "no deadline": (
        in_pod(lambda p: p.pop("activeDeadlineSeconds")),
        "`activeDeadlineSeconds` of the pod must be set",
    ),
    "a token": (
        in_pod(lambda p: p.pop("automountServiceAccountToken")),
        "`automountServiceAccountToken` must be false",
    ),
    "another account": (
        in_pod(lambda p: p.update(serviceAccountName="dbrestore")),
        "`serviceAccountName` must not be set",
    ),
    "the host's network": (
        in_pod(lambda p: p.update(hostNetwork=True)),
        "namespaces of the host must not be used",
    ),
    "the host's processes": (
        in_pod(lambda p: p.update(hostPID=True)),
        "namespaces of the host must not be used",
    ),
    "a host path": (
        in_pod(lambda p: p["volumes"].append(HOST_PATH)),
        "volumes must be claims, emptyDirs, Secrets or ConfigMaps",
    ),
    "a projected token": (
        in_pod(lambda p: p["volumes"].append(TOKEN)),
        "volumes must be claims, emptyDirs, Secrets or ConfigMaps",
    ),
    "an fsGroup": (in_pod(lambda p: p["securityContext"].update(fsGroup=999)), "`fsGroup` must not be set"),
    "another agent": (
        in_install(lambda c: c.update(image="evil")),
        "the only init container must be install, of the image",
    ),
    "no agent": (in_pod(lambda p: p.pop("initContainers")), "the only init container must be install"),
    "another init container": (
        in_pod(lambda p: p["initContainers"].append({**p["initContainers"][0], "name": "b"})),
        "the only init container",
    ),
    "another container": (
        in_pod(lambda p: p["containers"].append({**p["containers"][0], "name": "b"})),
        "the only container must be agent",
    ),
    "a shell": (
        in_agent(lambda c: c.update(command=["sh", "-c", "cat /dbrestore-secret/*"])),
        "its command must be /dbrestore/dbrestore-agent",
    ),
    "no command": (in_agent(lambda c: c.pop("command")), "its command must be /dbrestore/dbrestore-agent"),
    "a Secret in the environment": (
        in_agent(lambda c: c["env"].append(FROM_SECRET)),
        "environment variables must not come from Secrets",
    ),
    "a Secret as environment": (
        in_agent(lambda c: c.update(envFrom=[{"secretRef": {"name": "a"}}])),
        "environment variables must not come from",
    ),
    "perhaps root": (
        in_pod(lambda p: p["securityContext"].pop("runAsNonRoot")),
        "`runAsNonRoot` must be true",
    ),
    "root": (secure(runAsUser=0), "`runAsUser` must not be 0"),
    "no seccomp": (
        in_pod(lambda p: p["securityContext"].pop("seccompProfile")),
        "`seccompProfile.type` must be RuntimeDefault",
    ),
    "capabilities kept": (secure(capabilities={}), "`capabilities` must drop ALL"),
    "a capability added": (
        secure(capabilities={"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}),
        "`capabilities` must drop ALL and add none",
    ),
    "escalation": (secure(allowPrivilegeEscalation=True), "`allowPrivilegeEscalation` must be false"),
    "a writable root": (secure(readOnlyRootFilesystem=False), "`readOnlyRootFilesystem` must be true"),
}


@pytest.mark.parametrize(
    "change, text", EVIL_JOBS.values(), ids=[name.replace(" ", "-") for name in EVIL_JOBS]
)
def test_operator_may_not_make_a_job_with(change, text, policed, operator):
    job = copy.deepcopy(agent_job())  # a change must not reach the constants above
    change(job)
    said = refusal("create", "--dry-run=server", objects=job, namespace=policed, user=operator)
    assert "ValidatingAdmissionPolicy" in said and text in said


def test_nobody_else_may_make_jobs_that_look_like_the_operators(policed):
    said = refusal("create", "--dry-run=server", objects=agent_job(), namespace=policed)
    assert "`dbrestore.dev/restore-uid` of a Job's pods must be set only by the dbrestore operator" in said


def test_others_may_make_other_jobs_but_not_label_them_later(policed):
    kubectl("create", objects=plain_job("suspended", suspend=True), namespace=policed)
    label = '{"spec":{"template":{"metadata":{"labels":{"dbrestore.dev/restore-uid":"a"}}}}}'
    said = refusal("patch", "job", "suspended", "--type=merge", f"--patch={label}", namespace=policed)
    assert "must be set only by the dbrestore operator" in said
    kubectl("label", "job", "suspended", "team=a", namespace=policed)


def test_job_of_an_older_release_can_still_be_changed_by_others(policed, operator):
    job = agent_job("dbr-5f0c1a52-cleanup-1", claim="data-other-0")
    kubectl("create", objects=job, namespace=policed, user=operator)
    kubectl("annotate", "job", job["metadata"]["name"], "seen=yes", namespace=policed)
    kubectl(
        "delete", "job", job["metadata"]["name"], "--cascade=foreground", namespace=policed, user=operator
    )


@pytest.fixture
def cron_job(policed):
    manifest = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "backup"},
        "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": plain_job()["spec"]}},
    }
    kubectl("create", objects=manifest, namespace=policed)
    yield "cronjob/backup"
    kubectl("delete", "cronjob", "backup", namespace=policed)


def test_operator_pauses_and_resumes_a_cron_job(policed, operator, cron_job):
    for suspend in (True, False):
        changes = json.dumps({"spec": {"suspend": suspend}})
        kubectl("patch", cron_job, "--type=merge", f"--patch={changes}", namespace=policed, user=operator)
        assert kubectl_json("get", cron_job, namespace=policed)["spec"]["suspend"] is suspend


@pytest.mark.parametrize(
    "changes",
    [
        {"spec": {"schedule": "* * * * *"}},
        {"spec": {"timeZone": "Europe/Paris"}},
        {"spec": {"concurrencyPolicy": "Replace"}},
        {"spec": {"startingDeadlineSeconds": 5}},
        {"spec": {"successfulJobsHistoryLimit": 9}},
        {"spec": {"failedJobsHistoryLimit": 9}},
        {"spec": {"jobTemplate": {"spec": {"template": {"spec": {"serviceAccountName": "admin"}}}}}},
        {"spec": {"suspend": True, "schedule": "* * * * *"}},
        {"metadata": {"labels": {"a": "b"}}},
        {"metadata": {"annotations": {"a": "b"}}},
        {"metadata": {"finalizers": ["a.example/b"]}},
    ],
    ids=str,
)
def test_operator_changes_nothing_else_of_a_cron_job(policed, operator, cron_job, changes):
    arguments = ["patch", cron_job, "--type=merge", f"--patch={json.dumps(changes)}"]
    said = refusal(*arguments, namespace=policed, user=operator)
    assert "of a CronJob only `spec.suspend` must change" in said
