"""The CRDs on the real API server: what it accepts, fills in and refuses, and what it says then."""

import copy
import json

import pytest

from support.kubectl import ROOT, CommandError, kubectl, kubectl_json, refusal

SAMPLES = sorted((ROOT / "crds" / "samples").glob("*.yaml"))
ACKNOWLEDGED = {"serverRef": {"name": "shop"}, "acknowledgeDataLoss": True}
CLAIM = {"persistentVolumeClaim": {"claimName": "shop-dumps", "path": "shop.dump"}}
DUMP = {**ACKNOWLEDGED, "type": "Dump", "dump": CLAIM}
TO_TIME = {**ACKNOWLEDGED, "type": "PointInTime", "pointInTime": {"time": "2026-11-22T10:00:00Z"}}
SCHEDULED = {
    **ACKNOWLEDGED,
    "type": "ScheduledBackup",
    "scheduledBackup": {"store": "nightly", "latest": True},
}
MANUAL = {**ACKNOWLEDGED, "type": "ManualBackup", "manualBackup": {"store": "manual", "name": "one"}}
UNDO = {**ACKNOWLEDGED, "type": "Undo", "undo": {"restoreRef": {"name": "first"}}}
WORKLOAD = {"workloadRef": {"kind": "StatefulSet", "name": "shop"}}
CONTINUOUS = {"pgBackRest": {"stanza": "shop", "configSecretRef": {"name": "shop-pgbackrest"}}}


def restore(spec, name="shop-1"):
    return {
        "apiVersion": "dbrestore.dev/v1alpha1",
        "kind": "DatabaseRestore",
        "metadata": {"name": name},
        "spec": spec,
    }


def server(spec, name="shop"):
    return {
        "apiVersion": "dbrestore.dev/v1alpha1",
        "kind": "PostgresServer",
        "metadata": {"name": name},
        "spec": spec,
    }


def without(spec, key):
    return {name: value for name, value in spec.items() if name != key}


def to(**target):
    return {**TO_TIME, "pointInTime": target}


def dump_at(path):
    return {**DUMP, "dump": {"persistentVolumeClaim": {"claimName": "shop-dumps", "path": path}}}


def with_store(**store):
    return {**WORKLOAD, "stores": [{"name": "one", "kind": "Dump", **store}]}


def case(name, spec, *texts):
    return pytest.param(spec, texts, id=name.replace(" ", "-"))


def dry_create(manifest, namespace):
    return kubectl_json("create", "--dry-run=server", objects=manifest, namespace=namespace)


REFUSED_RESTORES = [
    case("no acknowledgement", without(DUMP, "acknowledgeDataLoss"), "`acknowledgeDataLoss` must be true"),
    case(
        "acknowledgement false", {**DUMP, "acknowledgeDataLoss": False}, "`acknowledgeDataLoss` must be true"
    ),
    case("no server", without(DUMP, "serverRef"), "spec.serverRef: Required value"),
    case("no type", without(DUMP, "type"), "spec.type: Required value"),
    case(
        "unknown type",
        {**DUMP, "type": "Snapshot"},
        "spec.type: Unsupported value",
        '"PointInTime", "ScheduledBackup"',
    ),
    case("type without its member", {**DUMP, "type": "Undo"}, "`undo` must be set if `type` is Undo"),
    case(
        "two sources", {**DUMP, "undo": UNDO["undo"]}, "`undo` must be set if `type` is Undo, and only then"
    ),
    case("dump missing", without(DUMP, "dump"), "`dump` must be set if `type` is Dump"),
    case("backup missing", without(SCHEDULED, "scheduledBackup"), "`scheduledBackup` must be set"),
    case("manual backup missing", without(MANUAL, "manualBackup"), "`manualBackup` must be set"),
    case("point in time missing", without(TO_TIME, "pointInTime"), "`pointInTime` must be set"),
    case(
        "dump in two places",
        {**DUMP, "dump": {**CLAIM, "store": "dumps", "path": "a"}},
        "exactly one of",
        "must be set",
    ),
    case(
        "dump nowhere", {**DUMP, "dump": {}}, "exactly one of `persistentVolumeClaim` and `store` must be set"
    ),
    case("store without path", {**DUMP, "dump": {"store": "dumps"}}, "`path` must be set if `store` is set"),
    case(
        "claim with path beside it",
        {**DUMP, "dump": {**CLAIM, "path": "a"}},
        "`path` must be set if `store` is set",
    ),
    case("absolute path", dump_at("/etc/passwd"), "`path` must be relative"),
    case("path that climbs", dump_at("a/../../b"), "`path` must be relative, without `..`"),
    case("path with NUL", dump_at("a\0b"), "`path` must be relative", "without NUL"),
    case(
        "path in store that climbs",
        {**DUMP, "dump": {"store": "dumps", "path": ".."}},
        "`path` must be relative",
    ),
    case("time without zone", to(time="2026-11-22T10:00:00"), "`time` must be RFC 3339 with a zone"),
    case("time with comma", to(time="2026-11-22T10:00:00,5Z"), "`time` must be RFC 3339 with a zone"),
    case("time with nanoseconds", to(time="2026-11-22T10:00:00.1234567Z"), "at most microseconds"),
    case("time with a blank", to(time="2026-11-22 10:00:00Z"), "`time` must be RFC 3339 with a zone"),
    case("hour that does not exist", to(time="2026-11-22T24:00:00Z"), "`time` must be RFC 3339 with a zone"),
    case("day that does not exist", to(time="2026-02-30T10:00:00Z"), "`time` must be RFC 3339 with a zone"),
    case(
        "before without zone",
        {**SCHEDULED, "scheduledBackup": {"store": "a", "before": "2026-11-22T10:00:00"}},
        "`before` must be RFC 3339 with a zone",
    ),
    case(
        "no target",
        to(timeline=2),
        "exactly one of `time`, `lsn`, `xid`, `name`, `immediate` and `latest` must be set",
    ),
    case("two targets", to(time="2026-11-22T10:00:00Z", latest=True), "exactly one of `time`", "must be set"),
    case("immediate false", to(immediate=False), "spec.pointInTime.immediate: Unsupported value"),
    case("bad lsn", to(lsn="16B3748"), "`lsn` must be two hexadecimal numbers"),
    case("bad xid", to(xid="0x1"), "`xid` must be a decimal number"),
    case("exclusive without a point", to(latest=True, exclusive=True), "`exclusive` must be set only with"),
    case(
        "backup by name and latest",
        {**SCHEDULED, "scheduledBackup": {"store": "a", "name": "b", "latest": True}},
        "exactly one of `name`, `latest` and `before` must be set",
    ),
    case(
        "manual backup by nothing",
        {**MANUAL, "manualBackup": {"store": "a"}},
        "exactly one of `name`",
        "must be set",
    ),
    case(
        "logical for a point in time",
        {**TO_TIME, "logical": {"jobs": 2}},
        "`logical` must be set only if `type` is",
    ),
    case("logical for an undo", {**UNDO, "logical": {}}, "`logical` must be set only if `type` is"),
    case(
        "approval while stopped",
        {**DUMP, "approval": "Manual"},
        "`strategy` must be StageFirst if `approval` is Manual",
    ),
    case(
        "rehearsal while stopped",
        {**DUMP, "dryRun": "Rehearse"},
        "`strategy` must be StageFirst if `dryRun` is Rehearse",
    ),
    case(
        "staged clean",
        {**DUMP, "strategy": "StageFirst", "logical": {"mode": "Clean"}},
        "`strategy` must be StopFirst if `logical.mode` is Clean",
    ),
    case(
        "staged latest",
        {**to(latest=True), "strategy": "StageFirst"},
        "`strategy` must be StopFirst if `pointInTime.latest` is set",
    ),
    case(
        "approved from the start",
        {**DUMP, "strategy": "StageFirst", "approval": "Manual", "approved": True},
        "`approved` must not be true on creation",
    ),
    case("no attempt", {**DUMP, "maxAttempts": 0}, "spec.maxAttempts"),
    case(
        "negative retention",
        {**DUMP, "previousData": {"retainSeconds": -1}},
        "spec.previousData.retainSeconds",
    ),
    case(
        "secret in a restore",
        {**DUMP, "dump": {**CLAIM, "http": {"url": "https://evil"}}},
        'unknown field "spec.dump.http"',
    ),
]


@pytest.mark.parametrize("spec, texts", REFUSED_RESTORES)
def test_bad_restore_is_refused_and_told_what_must_be(spec, texts, namespace):
    said = refusal("create", "--dry-run=server", objects=restore(spec), namespace=namespace)
    for text in texts:
        assert text in said


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(DUMP, id="dump"),
        pytest.param({**DUMP, "dump": {"store": "dumps", "path": "a/b..c.dump"}}, id="dump-in-a-store"),
        pytest.param(
            without({**DUMP, "dryRun": "Plan"}, "acknowledgeDataLoss"), id="plan-without-acknowledgement"
        ),
        pytest.param(
            without({**DUMP, "dryRun": "Rehearse", "strategy": "StageFirst"}, "acknowledgeDataLoss"),
            id="rehearsal-without-acknowledgement",
        ),
        pytest.param(
            {**DUMP, "strategy": "StageFirst", "approval": "Manual", "approved": False}, id="not-yet-approved"
        ),
        pytest.param(to(time="2026-11-22T10:00:00.123456+05:30"), id="time-with-microseconds-and-offset"),
        pytest.param(
            to(time="2024-02-29T10:00:00Z", exclusive=True, timeline=3), id="leap-day-exclusive-on-a-timeline"
        ),
        pytest.param(to(lsn="0/16B3748"), id="lsn"),
        pytest.param(to(immediate=True), id="immediate"),
        pytest.param(SCHEDULED, id="scheduled-backup"),
        pytest.param(MANUAL, id="manual-backup"),
        pytest.param(UNDO, id="undo"),
    ],
)
def test_good_restore_is_accepted(spec, namespace):
    assert dry_create(restore(spec), namespace)["spec"]["type"] == spec["type"]


REFUSED_SERVERS = [
    case("no workload", {}, "spec.workloadRef: Required value"),
    case(
        "workload of another kind",
        {"workloadRef": {"kind": "DaemonSet", "name": "a"}},
        "spec.workloadRef.kind: Unsupported value",
    ),
    case("image named", {**WORKLOAD, "postgres": {"image": "evil"}}, 'unknown field "spec.postgres.image"'),
    case(
        "relative data directory",
        {**WORKLOAD, "postgres": {"dataDirectory": "data"}},
        "`dataDirectory` must be an absolute path",
    ),
    case("run as root", {**WORKLOAD, "postgres": {"uid": 0}}, "spec.postgres.uid"),
    case(
        "store nowhere", with_store(), "exactly one of `s3`, `http` and `persistentVolumeClaim` must be set"
    ),
    case(
        "store in two places",
        with_store(http={"url": "https://a"}, persistentVolumeClaim={"claimName": "b"}),
        "exactly one of `s3`, `http` and `persistentVolumeClaim` must be set",
    ),
    case(
        "two stores of one name",
        {**WORKLOAD, "stores": 2 * with_store(http={"url": "https://a"})["stores"]},
        "each store must have a `name` of its own",
    ),
    case(
        "password in url",
        with_store(http={"url": "https://me:secret@host/"}),
        "`url` must be an http or https URL without user",
    ),
    case(
        "token in url",
        with_store(http={"url": "https://host/?token=a"}),
        "`url` must be an http or https URL without user",
    ),
    case("file url", with_store(http={"url": "file:///etc/passwd"}), "`url` must be an http or https URL"),
    case(
        "endpoint without scheme",
        with_store(s3={"endpoint": "s3.example.com", "bucket": "abc"}),
        "`endpoint` must be",
    ),
    case(
        "claim path that climbs",
        with_store(persistentVolumeClaim={"claimName": "a", "path": "../b"}),
        "`path` must be relative",
    ),
    case(
        "absolute prefix",
        with_store(s3={"endpoint": "https://a", "bucket": "abc", "prefix": "/b"}),
        "`prefix` must be relative",
    ),
    case("suspend a pod", {**WORKLOAD, "suspend": [{"kind": "Pod", "name": "a"}]}, "kind: Unsupported value"),
    case(
        "no stanza",
        {**WORKLOAD, "pointInTimeRecovery": {"pgBackRest": without(CONTINUOUS["pgBackRest"], "stanza")}},
        "spec.pointInTimeRecovery.pgBackRest.stanza: Required value",
    ),
]


@pytest.mark.parametrize("spec, texts", REFUSED_SERVERS)
def test_bad_server_is_refused_and_told_what_must_be(spec, texts, namespace):
    said = refusal("create", "--dry-run=server", objects=server(spec), namespace=namespace)
    for text in texts:
        assert text in said


@pytest.mark.parametrize(
    "manifest", [restore(DUMP, "a" * 64), server(WORKLOAD, "a" * 64)], ids=["restore", "server"]
)
def test_name_that_does_not_fit_a_label_is_refused(manifest, namespace):
    said = refusal("create", "--dry-run=server", objects=manifest, namespace=namespace)
    assert "`metadata.name` must be at most 63 characters long" in said


@pytest.mark.parametrize("sample", SAMPLES, ids=[sample.stem for sample in SAMPLES])
def test_sample_is_accepted(sample, namespace):
    kubectl("apply", "--dry-run=server", "-f", str(sample), namespace=namespace)


def test_there_is_a_sample_for_each_type(namespace):
    names = {sample.stem for sample in SAMPLES}
    types = ["dump", "pointintime", "scheduledbackup", "manualbackup", "undo"]
    assert {"postgresserver", *(f"databaserestore-{kind}" for kind in types)} <= names


def test_restore_gets_its_defaults(namespace):
    created = dry_create(restore({**DUMP, "logical": {}}), namespace)
    expected = {
        **DUMP,
        "logical": {"mode": "Replace", "jobs": 0, "runAs": "Owner"},
        "strategy": "StopFirst",
        "approval": "Automatic",
        "previousData": {"retainSeconds": 86400},
        "dryRun": "None",
        "startingDeadlineSeconds": 3600,
        "activeDeadlineSeconds": 86400,
        "approvalDeadlineSeconds": 86400,
        "maxAttempts": 3,
        "maxSwapSeconds": 30,
    }
    assert created["spec"] == expected


def test_server_gets_its_defaults(namespace):
    assert dry_create(server(WORKLOAD), namespace)["spec"] == {**WORKLOAD, "catalogIntervalSeconds": 600}


@pytest.mark.parametrize("manifest", [restore(DUMP), server(WORKLOAD)], ids=["restore", "server"])
def test_object_that_no_operator_saw_does_not_look_current(manifest, namespace):
    assert dry_create(manifest, namespace)["status"] == {"observedGeneration": -1}


@pytest.fixture(scope="module")
def existing(namespace):
    """One restore of every kind of field, waiting for approval, and a server."""
    full = {
        **DUMP,
        "strategy": "StageFirst",
        "approval": "Manual",
        "logical": {"mode": "Replace"},
        "verification": {"query": "SELECT true"},
        "maxSwapSeconds": 20,
    }
    objects = [
        restore(full, "full"),
        restore(DUMP, "plain"),
        restore(TO_TIME, "to-time"),
        restore({**DUMP, "serverRef": {"name": "other"}}, "elsewhere"),
        server(WORKLOAD, "shop"),
    ]
    kubectl("create", objects=objects, namespace=namespace)
    return namespace


CHANGES = [
    ("plain", {"serverRef": {"name": "other"}}, "`serverRef` must not change"),
    (
        "plain",
        {"type": "Undo", "dump": None, "undo": {"restoreRef": {"name": "a"}}},
        "`type` must not change",
    ),
    ("plain", {"dump": {"persistentVolumeClaim": {"path": "b"}}}, "`dump` must not change"),
    ("plain", {"logical": {"jobs": 4}}, "`logical` must not change"),
    ("plain", {"verification": {"query": "SELECT 1"}}, "`verification` must not change"),
    ("plain", {"strategy": "StageFirst"}, "`strategy` must not change"),
    ("plain", {"dryRun": "Plan"}, "`dryRun` must not change"),
    ("plain", {"dryRun": "Plan", "acknowledgeDataLoss": None}, "`acknowledgeDataLoss` must not change"),
    ("plain", {"previousData": {"retainSeconds": 0}}, "`previousData` must not change"),
    ("plain", {"startingDeadlineSeconds": 1}, "`startingDeadlineSeconds` must not change"),
    ("plain", {"activeDeadlineSeconds": 1}, "`activeDeadlineSeconds` must not change"),
    ("plain", {"approvalDeadlineSeconds": 1}, "`approvalDeadlineSeconds` must not change"),
    ("plain", {"maxAttempts": 1}, "`maxAttempts` must not change"),
    ("full", {"approval": "Automatic"}, "`approval` must not change"),
    ("full", {"maxSwapSeconds": None}, "`maxSwapSeconds` must not change"),
    ("full", {"logical": None}, "`logical` must not change"),
    ("full", {"logical": {"database": "other"}}, "`logical` must not change"),
    ("full", {"verification": None}, "`verification` must not change"),
    ("full", {"verification": {"expect": "t"}}, "`verification` must not change"),
    ("to-time", {"pointInTime": {"time": "2026-11-22T11:00:00Z"}}, "`pointInTime` must not change"),
    ("to-time", {"pointInTime": {"exclusive": True}}, "`pointInTime` must not change"),
]


def patch(name, spec, kind="dbr"):
    return ["patch", kind, name, "--type=merge", f"--patch={json.dumps({'spec': spec})}"]


@pytest.mark.parametrize(
    "name, spec, text", CHANGES, ids=[f"{name}-{'-'.join(spec)}" for name, spec, _ in CHANGES]
)
def test_restore_does_not_change(name, spec, text, existing):
    assert text in refusal(*patch(name, spec), "--dry-run=server", namespace=existing)


def test_server_keeps_its_workload(existing):
    change = patch("shop", {"workloadRef": {"name": "other"}}, "pgs")
    assert "`workloadRef` must not change" in refusal(*change, namespace=existing)


@pytest.mark.parametrize("flag", ["approved", "cancelRequested"])
def test_flag_goes_one_way(flag, existing):
    kubectl(*patch("full", {flag: True}), namespace=existing)
    for withdrawn in (False, None):
        said = refusal(*patch("full", {flag: withdrawn}), namespace=existing)
        assert f"`{flag}` must not be withdrawn" in said


def test_labels_and_annotations_of_a_restore_stay_free(existing):
    kubectl("annotate", "dbr", "plain", "dbrestore.dev/executed-uid=1", namespace=existing)
    kubectl("label", "dbr", "plain", "team=a", namespace=existing)


def test_restores_are_selected_by_server_and_type(existing):
    def names(selector):
        found = kubectl_json("get", "dbr", f"--field-selector={selector}", namespace=existing)
        return sorted(item["metadata"]["name"] for item in found["items"])

    assert names("spec.serverRef.name=other") == ["elsewhere"]
    assert names("spec.type=PointInTime") == ["to-time"]


def test_status_shows_in_the_columns(existing):
    condition = {
        "type": "Succeeded",
        "status": "Unknown",
        "reason": "Preparing",
        "message": "restoring the dump",
        "lastTransitionTime": "2026-11-22T10:00:00Z",
        "observedGeneration": 1,
    }
    status = {
        "observedGeneration": 1,
        "phase": "Preparing",
        "target": "dump shop.dump",
        "conditions": [condition],
        "progress": {"percent": 40, "summary": "40 %, 2 min left"},
        "preflight": [{"check": "DumpReadable", "result": "Passed"}],
    }
    update_status("dbr", "plain", status, existing)
    header, row = kubectl("get", "dbr", "plain", "-o", "wide", namespace=existing).splitlines()
    assert header.split() == ["NAME", "TYPE", "SERVER", "STATUS", "PROGRESS", "TARGET", "AGE", "MESSAGE"]
    for text in (
        "plain",
        "Dump",
        "shop",
        "Preparing",
        "40 %, 2 min left",
        "dump shop.dump",
        "restoring the dump",
    ):
        assert text in row
    assert "MESSAGE" not in kubectl("get", "dbr", "plain", namespace=existing)


def update_status(kind, name, status, namespace):
    patch_text = json.dumps({"status": status})
    kubectl(
        "patch",
        kind,
        name,
        "--subresource=status",
        "--type=merge",
        f"--patch={patch_text}",
        namespace=namespace,
    )


def apply_status(manager, status, existing):
    """As the controller writes: server-side apply of a part of the status, by one field manager."""
    current = kubectl_json("get", "pgs", "shop", namespace=existing)
    version = current["metadata"]["resourceVersion"]
    manifest = {
        "apiVersion": "dbrestore.dev/v1alpha1",
        "kind": "PostgresServer",
        "metadata": {"name": "shop", "resourceVersion": version},
        "status": status,
    }
    arguments = ["apply", "--server-side", "--subresource=status", f"--field-manager={manager}"]
    return kubectl_json(*arguments, objects=manifest, namespace=existing)["status"]


def test_lock_and_catalog_do_not_erase_each_other(existing):
    lock = {
        "activeRestore": {"name": "full", "uid": "u1"},
        "originalReplicas": 1,
        "fence": {"restoreUID": "u1", "restoreName": "full", "claimNames": ["data-shop-0"]},
    }
    inferred = {
        "container": "postgres",
        "claimName": "data-shop-0",
        "user": {"value": "shop"},
        "password": {"secretKey": "password"},
    }
    found = {"observedGeneration": 1, "inferred": inferred}
    apply_status("dbrestore-lock", lock, existing)
    apply_status("dbrestore", found, existing)
    both = apply_status("dbrestore", copy.deepcopy(found), existing)
    assert both == {**lock, **found}
    assert apply_status("dbrestore-lock", {}, existing) == found


def test_status_has_no_place_for_a_password(existing):
    with pytest.raises(CommandError, match="password.value: field not declared in schema"):
        apply_status("dbrestore", {"inferred": {"password": {"value": "secret"}}}, existing)


def test_short_names_and_category_are_known(existing):
    listed = kubectl("get", "dbrestore", "-o", "name", namespace=existing)
    assert "databaserestore.dbrestore.dev/plain" in listed and "postgresserver.dbrestore.dev/shop" in listed


@pytest.mark.parametrize(
    "path, text",
    [
        ("dbr.spec.strategy", "prepare the new data beside the running"),
        ("dbr.spec.dump.persistentVolumeClaim.path", "relative to the root"),
        ("dbr.status.previousData", "The data that was replaced"),
        ("pgs.spec.stores", "Where backups of the server lie"),
    ],
)
def test_kubectl_explains(path, text, crds):
    assert text in " ".join(kubectl("explain", path).split())
