"""What is missing is waited for, and the restore goes on by itself when it appears."""

import restores
from shop import SAMPLE_OF_A_SERVER, Shop, claim, make_volume
from support.kubectl import kubectl


def test_a_restore_waits_for_server_then_claim_then_file_and_then_runs(namespace):
    shop = Shop(namespace).deploy().fill()
    late = make_volume(f"{namespace}-late", 100)
    life = shop.life()
    restore = restores.begin(namespace, path="in/shop.dump", claim="late")

    restore.wait_for_reason("Validated", "ServerNotFound")
    assert restore.phase == "Pending"
    assert 'PostgresServer "shop" does not exist' in restore.message()

    shop.register()
    restore.wait_for_reason("Validated", "ClaimNotFound", 15)
    assert 'PersistentVolumeClaim "late" does not exist' in restore.message()

    kubectl("create", objects=claim("late", f"{namespace}-late"), namespace=namespace)
    restore.wait_for_reason("Validated", "BackupNotFound", 90)
    assert restore.phase == "Pending"
    assert '"in/shop.dump" does not exist on the volume' in restore.message()
    assert "activeRestore" not in shop.server_status(), "one that waits must not keep others from running"
    assert shop.life() == life, "nothing is stopped while something is missing"

    copies = shop.dump_and_change()
    (late / "in").mkdir()
    (late / "in" / "shop.dump").write_bytes((shop.dumps_on_host / copies.path).read_bytes())
    restore.must_succeed()
    shop.must_hold(copies.of_the_dump)


def test_a_missing_secret_is_waited_for(namespace):
    shop = Shop(namespace, "guarded").deploy().fill()
    shop.dump("shop.dump")
    shop.register()
    kubectl("delete", "secret", "guarded-connection", namespace=namespace)
    restore = restores.of_shop(shop, "shop.dump")
    restore.wait_for_reason("Validated", "CredentialsMissing")
    assert "username" in restore.message(), "the key is named"
    assert shop.value("SELECT 1") == "1"
    kubectl("create", objects=shop.objects["Secret"], namespace=namespace)
    restore.wait_until("it goes on", lambda: restore.condition("Validated")[0] == "True", 60)
    restore.cancel()
    restore.wait_until_ended()


def test_a_server_that_is_not_ready_is_waited_for_with_its_reason(namespace):
    server = SAMPLE_OF_A_SERVER | {"metadata": {"name": "no-workload"}}
    server["spec"] = {"workloadRef": {"kind": "StatefulSet", "name": "no-workload"}}
    kubectl("create", objects=server, namespace=namespace)
    restore = restores.begin(namespace, server="no-workload")
    restore.wait_for_reason("Validated", "ServerNotReady")
    assert 'StatefulSet "no-workload" does not exist' in restore.message()
    restore.delete()
