"""What needs no database to be refused: by the API server, or by the operator as soon as it sees it."""

import pytest

import restores
from support.kubectl import ROOT, kubectl, refusal

SAMPLES = sorted((ROOT / "crds" / "samples").glob("*.yaml"))
POINT_IN_TIME = {"dump": None, "type": "PointInTime"}


@pytest.mark.parametrize(
    "spec, must",
    [
        ({"acknowledgeDataLoss": None}, "`acknowledgeDataLoss` must be true"),
        ({"undo": {"restoreRef": {"name": "other"}}}, "`undo` must be set if `type` is Undo, and only then"),
        ({"type": "Backup"}, 'Unsupported value: "Backup": supported values: "PointInTime"'),
        (
            POINT_IN_TIME | {"pointInTime": {"time": "2026-11-22T10:00:00"}},
            "`time` must be RFC 3339 with a zone",
        ),
    ],
    ids=["no acknowledgement", "two sources", "unknown type", "zone-less time"],
)
def test_the_api_server_refuses_it_and_says_what_must_be(namespace, spec, must):
    said = refusal("create", objects=restores.manifest("refused", **spec), namespace=namespace)
    assert must in said


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_every_sample_is_accepted_by_the_api_server(namespace, sample):
    kubectl("create", "--dry-run=server", "-f", str(sample), namespace=namespace)


@pytest.mark.parametrize(
    "spec, field",
    [
        ({"strategy": "StageFirst"}, "strategy"),
        ({"strategy": "StageFirst", "approval": "Manual"}, "strategy"),
        ({"strategy": "StageFirst", "dryRun": "Rehearse"}, "strategy"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_later_version_brings_is_refused_as_not_supported_yet(namespace, spec, field):
    restore = restores.begin(namespace, **spec).wait_until_ended(20)
    assert restore.phase == "Failed"
    status, reason, message = restore.condition("Validated")
    assert (status, reason) == ("False", "NotSupportedYet")
    assert f"`spec.{field}` must be" in message


def test_a_restore_that_waited_too_long_never_starts(namespace):
    restore = restores.begin(namespace, server="never-comes", startingDeadlineSeconds=3)
    restore.wait_until_ended(15).must_have("Failed", "StartDeadlineExceeded")
    assert 'PostgresServer "never-comes" does not exist' in restore.message()


def test_a_restore_that_waits_is_cancelled_at_once(namespace):
    restore = restores.begin(namespace, server="never-comes")
    restore.wait_for_reason("Validated", "ServerNotFound")
    restore.cancel()
    restore.wait_until_ended(15).must_have("Cancelled", "Cancelled")


def test_a_restore_that_waits_is_deleted_at_once(namespace):
    restore = restores.begin(namespace, server="never-comes")
    restore.wait_for_reason("Validated", "ServerNotFound")
    restore.delete()


@pytest.mark.parametrize("field", ["approved", "cancelRequested"])
def test_a_flag_once_given_cannot_be_withdrawn(namespace, field):
    restore = restores.begin(namespace, server="never-comes")
    patch = ["patch", "databaserestore", restore.name, "--type=merge"]
    kubectl(*patch, f'--patch={{"spec":{{"{field}":true}}}}', namespace=namespace)
    said = refusal(*patch, f'--patch={{"spec":{{"{field}":false}}}}', namespace=namespace)
    assert f"`{field}` must not be withdrawn" in said
