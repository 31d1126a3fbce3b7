"""Bad input that a look at dump, volume or server shows. The database runs on through all of it."""

import contextlib
import os
import subprocess
import threading

import pytest

import restores
from shop import Shop
from support.kubectl import kubectl, wait_for

# A change of the archive's own version: the three bytes after its magic. pg_restore 15 reads up to 1.14.
NEWER_ARCHIVE = b"PGDMP" + bytes([1, 99, 0])


def replication_and_prepared_transactions(objects):
    container = objects["StatefulSet"]["spec"]["template"]["spec"]["containers"][0]
    container["args"] += ["-c", "wal_level=logical", "-c", "max_prepared_transactions=2"]


@pytest.fixture(scope="module")
def shared_shop(namespace):
    shop = Shop(namespace, data_mb=600, adapt=replication_and_prepared_transactions).deploy().fill(2000)
    shop.dump("shop.dump")
    return shop.register()


@pytest.fixture(scope="module")
def client(shared_shop):
    """Asks the database again and again through the network; a list of the answers that were errors."""
    address, failures, done = shared_shop.address(), [], threading.Event()
    command = [
        "psql",
        "-X",
        "-h",
        address,
        "-U",
        shared_shop.user(),
        "-d",
        shared_shop.name,
        "-Atc",
        "SELECT 1",
    ]
    environment = os.environ | {"PGPASSWORD": shared_shop.password, "PGCONNECT_TIMEOUT": "30"}

    def ask():
        while not done.wait(0.2):
            answer = subprocess.run(command, env=environment, capture_output=True, text=True)
            if answer.stdout != "1\n":
                failures.append(answer.stderr)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield failures
    finally:
        done.set()
        thread.join()


@pytest.fixture
def untouched(shared_shop, client):
    """The shop, whose server must neither stop nor restart nor fail to answer during the test."""
    life = shared_shop.life()
    yield shared_shop
    assert shared_shop.life() == life, "the database was stopped"
    assert client == [], "a client saw the database fail"
    assert shared_shop.replicas() == 1
    shared_shop.must_be_clean()


def refused(shop, path, *reasons):
    """The message of a restore that was refused for these reasons."""
    restore = restores.of_shop(shop, path).wait_until_ended(60).must_have("Failed")
    status, reason, message = restore.condition("Validated")
    assert status == "False"
    failed = {finding["check"] for finding in restore.status["preflight"] if finding["result"] == "Failed"}
    assert failed == set(reasons), message
    assert reason in reasons
    assert all(check in message for check in reasons), "not every reason is told"
    assert restore.condition("DatabaseStopped")[0] != "True"
    assert "downtimeSeconds" not in restore.status
    assert message in restore.message()
    return message


@pytest.mark.parametrize(
    "damage, reason, told",
    [
        (lambda dump: dump[: len(dump) * 9 // 10], "DumpTruncated", "ends too early"),
        (lambda dump: dump[:-1], "DumpTruncated", "ends too early"),
        (lambda dump: flip(dump, len(dump) // 2), "DumpDamaged", "damaged"),
        (lambda dump: b"", "BackupEmpty", "no content"),
        (
            lambda dump: b"CREATE TABLE t ();\n",
            "UnsupportedFormat",
            "no dump of one database as pg_dump writes it",
        ),
        (lambda dump: b"BZh9" + dump, "UnsupportedFormat", "bzip2"),
        (lambda dump: NEWER_ARCHIVE + dump[len(NEWER_ARCHIVE) :], "DumpTooNew", "newer pg_dump"),
    ],
    ids=["truncated", "one byte short", "bit-flipped", "empty", "SQL", "bzip2", "too new"],
)
def test_a_bad_dump_is_refused(untouched, damage, reason, told):
    path = restores.damaged_copy(untouched, "shop.dump", damage)
    assert told in refused(untouched, path, reason)


def flip(dump, position):
    return dump[:position] + bytes([dump[position] ^ 0x10]) + dump[position + 1 :]


def test_a_folder_is_refused(untouched):
    (untouched.dumps_on_host / "folder").mkdir()
    assert "folder" in refused(untouched, "folder", "UnsupportedFormat")


def test_a_link_that_leads_out_of_the_volume_is_refused(untouched):
    (untouched.dumps_on_host / "link").symlink_to("/etc/passwd")
    assert "link" in refused(untouched, "link", "UnsupportedFormat")


def test_too_little_space_is_refused_with_what_is_needed_and_what_is_there(untouched):
    with filled_up(untouched.data_on_host, leave_mb=50):
        message = refused(untouched, "shop.dump", "InsufficientSpace")
    assert "MiB" in message


@contextlib.contextmanager
def filled_up(directory, leave_mb):
    space = os.statvfs(directory)
    size = space.f_bavail * space.f_frsize - leave_mb * 1024 * 1024
    filler = directory / "filler"
    subprocess.run(["fallocate", "--length", str(size), str(filler)], check=True)
    try:
        yield
    finally:
        filler.unlink()


@contextlib.contextmanager
def deleting_when_scaled(shop):
    for policy in ("Delete", "Retain"):
        patch = f'{{"spec":{{"persistentVolumeClaimRetentionPolicy":{{"whenScaled":"{policy}"}}}}}}'
        kubectl("patch", f"statefulset/{shop.name}", f"--patch={patch}", namespace=shop.namespace)
        if policy == "Delete":
            yield


@contextlib.contextmanager
def two_replicas(shop):
    shop.scale(2)
    try:
        yield
    finally:
        shop.scale(1)


@contextlib.contextmanager
def logical_slot(shop):
    shop.sql("SELECT pg_create_logical_replication_slot('reports', 'pgoutput')")
    try:
        yield
    finally:
        shop.sql("SELECT pg_drop_replication_slot('reports')")


@contextlib.contextmanager
def subscription(shop):
    shop.sql(
        "CREATE SUBSCRIPTION prices CONNECTION 'host=elsewhere.invalid' PUBLICATION prices"
        " WITH (connect = false, slot_name = NONE)"
    )
    try:
        yield
    finally:
        shop.sql("DROP SUBSCRIPTION prices")


@contextlib.contextmanager
def prepared_transaction(shop):
    shop.sql("BEGIN; UPDATE shop.products SET price = 1 WHERE id = 1; PREPARE TRANSACTION 'half-way';")
    try:
        yield
    finally:
        shop.sql("ROLLBACK PREPARED 'half-way'")


@pytest.mark.parametrize(
    "condition, reason",
    [
        (deleting_when_scaled, "ClaimWouldBeDeleted"),
        (two_replicas, "UnsupportedTopology"),
        (logical_slot, "LogicalReplicationSlots"),
        (subscription, "Subscriptions"),
        (prepared_transaction, "PreparedTransactions"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_server_that_cannot_be_restored_is_refused(untouched, condition, reason):
    with condition(untouched):
        refused(untouched, "shop.dump", reason)


def test_all_reasons_are_told_together(untouched):
    truncated = restores.damaged_copy(untouched, "shop.dump", lambda dump: dump[: len(dump) // 2])
    with contextlib.ExitStack() as conditions:
        for condition in (deleting_when_scaled, two_replicas, logical_slot, subscription):
            conditions.enter_context(condition(untouched))
        conditions.enter_context(filled_up(untouched.data_on_host, leave_mb=20))
        everything = [
            "ClaimWouldBeDeleted",
            "UnsupportedTopology",
            "LogicalReplicationSlots",
            "Subscriptions",
        ]
        refused(untouched, truncated, "DumpTruncated", *everything)


def test_the_same_dump_is_restored_once_nothing_stands_against_it(untouched, shared_shop):
    restore = restores.of_shop(untouched, "shop.dump")
    restore.wait_until("validated", lambda: restore.condition("Validated")[0] == "True")
    restore.cancel()
    restore.wait_until_ended()
    wait_for("the database serves", lambda: shared_shop.value("SELECT 1") == "1")
