"""Restores from stores: a bucket of a real S3 server, and a folder of a claim."""

import json
import subprocess

import pytest

import restores
from release import told
from s3 import S3, SECRET_KEY
from shop import Shop
from support.kubectl import kubectl


@pytest.fixture(scope="module")
def s3(namespace):
    return S3(namespace).deploy()


@pytest.fixture(scope="module")
def shop(namespace, s3):
    shop = Shop(namespace).deploy().fill().register()
    stores = [
        s3.store("nightly", "Scheduled", "nightly"),
        {"name": "by-hand", "kind": "Manual", "persistentVolumeClaim": {"claimName": "shop-dumps", "path": "kept"}},
    ]
    patch = {"spec": {"stores": stores, "catalogIntervalSeconds": 30}}
    kubectl("patch", "pgs/shop", "--type=merge", f"--patch={json.dumps(patch)}", namespace=namespace)
    return shop


def packed(shop, path, into):
    """The seed's archive: a .tar.gz of one dump."""
    subprocess.run(["tar", "-C", shop.dumps_on_host, "-czf", into, path], check=True, timeout=60)
    return into


def listed(shop):
    return [(b["store"], b["name"]) for b in shop.server_status().get("backups", [])]


def test_the_newest_scheduled_backup_is_restored_from_s3(shop, s3, tmp_path):
    older = shop.dump_and_change()
    s3.put(packed(shop, older.path, tmp_path / "older.tar.gz"), "nightly/shop-monday.tar.gz")
    copies = shop.dump_and_change()
    s3.put(packed(shop, copies.path, tmp_path / "newer.tar.gz"), "nightly/shop-tuesday.tar.gz")
    restore = restores.begin(
        shop.namespace, type="ScheduledBackup", dump=None, scheduledBackup={"store": "nightly", "latest": True}
    )
    restore.must_succeed()
    shop.must_hold(copies.of_the_dump)
    shop.must_be_clean()
    source = restore.status["source"]
    assert (source["store"], source["name"]) == ("nightly", "shop-tuesday.tar.gz")
    assert restore.status["target"] == "nightly: the newest backup"
    for pod in restore.pods():
        log = kubectl("logs", pod["metadata"]["name"], namespace=shop.namespace)
        assert SECRET_KEY not in log
    assert SECRET_KEY not in kubectl("get", "dbr,pgs,jobs,events", "-o", "yaml", namespace=shop.namespace)


def test_a_manual_backup_is_restored_from_a_folder_of_a_claim(shop):
    (shop.dumps_on_host / "kept").mkdir(exist_ok=True)
    copies = shop.dump_and_change()
    packed(shop, copies.path, shop.dumps_on_host / "kept" / "before-the-move.tar.gz")
    restore = restores.begin(
        shop.namespace,
        type="ManualBackup",
        dump=None,
        manualBackup={"store": "by-hand", "name": "before-the-move.tar.gz"},
    )
    restore.must_succeed()
    shop.must_hold(copies.of_the_dump)
    shop.must_be_clean()


def test_the_server_lists_what_lies_in_its_stores(shop, s3, tmp_path):
    (tmp_path / "dump").write_text("any")
    s3.put(tmp_path / "dump", "nightly/shop-wednesday.tar.gz")
    (shop.dumps_on_host / "kept").mkdir(exist_ok=True)
    (shop.dumps_on_host / "kept" / "note.dump").write_text("any")
    expected = {("nightly", "shop-wednesday.tar.gz"), ("by-hand", "note.dump")}
    told(shop.namespace, f"backups {expected}", lambda: expected <= set(listed(shop)), 120)
    conditions = {c["type"]: c["status"] for c in shop.server_status()["conditions"]}
    assert conditions["BackupsListed"] == "True"

    def formats():
        return {b["name"]: b.get("format") for b in shop.server_status()["backups"]}

    # What is no dump has no format, whatever lay there under its name before.
    told(shop.namespace, "no format", lambda: formats()["shop-wednesday.tar.gz"] == formats()["note.dump"] is None, 120)
    (shop.dumps_on_host / "kept" / "note.dump").unlink()


def test_wrong_keys_are_named_before_anything_is_stopped(shop, s3):
    life = shop.life()
    wrong = S3.secret("s3-keys", {"AWS_SECRET_ACCESS_KEY": "wrong"})
    right = S3.secret("s3-keys", {"AWS_SECRET_ACCESS_KEY": SECRET_KEY})
    kubectl("apply", "--server-side", "--force-conflicts", objects=wrong, namespace=shop.namespace)
    restore = restores.begin(
        shop.namespace, type="ScheduledBackup", dump=None, scheduledBackup={"store": "nightly", "latest": True}
    )
    restore.wait_until_ended()
    assert restore.condition("Validated")[:2] == ("False", "StoreAccessDenied")
    assert shop.life() == life
    kubectl("apply", "--server-side", "--force-conflicts", objects=right, namespace=shop.namespace)
