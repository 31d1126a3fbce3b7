"""What a restore does beside restoring: plans, pauses CronJobs, asks a question."""

import json

import restores
from shop import Shop
from support import api
from support.kubectl import kubectl


def cron_job(name, suspend):
    pod = {"restartPolicy": "Never", "containers": [{"name": "a", "image": "localhost/dbrestore-test-postgres:15"}]}
    spec = {"schedule": "0 3 1 1 *", "suspend": suspend, "jobTemplate": {"spec": {"template": {"spec": pod}}}}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name}, "spec": spec}


def suspended(shop, name):
    return api.get("cronjob", name, shop.namespace)["spec"]["suspend"]


def test_cron_jobs_are_paused_and_run_again_whatever_happens(namespace):
    shop = Shop(namespace).deploy().fill().register()
    kubectl("create", objects=[cron_job("backup", False), cron_job("report", True)], namespace=namespace)
    kinds = [{"kind": "CronJob", "name": name} for name in ("backup", "report", "gone")]
    patch = json.dumps({"spec": {"suspend": kinds}})
    kubectl("patch", "pgs/shop", "--type=merge", f"--patch={patch}", namespace=namespace)

    copies = shop.dump_and_change()
    restore = restores.of_shop(shop, copies.path)
    restore.wait_until("the backup is paused", lambda: suspended(shop, "backup"))
    restore.must_succeed()
    assert not suspended(shop, "backup")
    assert suspended(shop, "report"), "its owner had suspended it"
    warnings = [f["check"] for f in restore.status["preflight"] if f["result"] == "Warning"]
    assert "CronJobNotFound" in warnings

    second = restores.of_shop(shop, copies.path)
    second.wait_until("the backup is paused", lambda: suspended(shop, "backup"))
    second.cancel()
    second.wait_until_ended()
    assert not suspended(shop, "backup")

    third = restores.of_shop(shop, copies.path)
    third.wait_until("the backup is paused", lambda: suspended(shop, "backup"))
    kubectl("patch", "dbr", third.name, "--type=merge", '--patch={"metadata":{"finalizers":null}}', namespace=namespace)
    third.delete(wait=False)
    third.wait_until("the server has taken over", lambda: "activeRestore" not in shop.server_status(), 150)
    shop.wait_ready()
    assert not suspended(shop, "backup")


def test_a_plan_stops_nothing_and_keeps_its_name_free(namespace):
    shop = Shop(namespace, "planned").deploy().fill().register()
    copies = shop.dump_and_change()
    life = shop.life()
    plan = restores.of_shop(shop, copies.path, name="planned-1", dryRun="Plan", acknowledgeDataLoss=None)
    plan.wait_until_ended()
    assert plan.condition("Succeeded")[:2] == ("True", "Planned")
    assert plan.status["plan"]["bytes"] > 0
    assert plan.status["plan"]["estimatedDowntimeSeconds"] > 0
    assert shop.life() == life
    shop.must_hold(copies.before)
    plan.delete()
    question = {"query": "SELECT count(*) > 0 FROM shop.orders", "expect": "t"}
    restore = restores.of_shop(shop, copies.path, name="planned-1", verification=question)
    restore.must_succeed()
    shop.must_hold(copies.of_the_dump)


def test_a_wrong_answer_brings_the_old_data_back(namespace):
    shop = Shop(namespace, "asked").deploy().fill().register()
    copies = shop.dump_and_change()
    question = {"query": "SELECT count(*) FROM shop.orders", "expect": "-1"}
    restore = restores.of_shop(shop, copies.path, verification=question)
    restore.wait_until_ended().must_have("Failed", "VerificationFailed")
    assert 'must give "-1", and gives' in restore.message()
    shop.wait_ready()
    shop.must_hold(copies.before, but_unlogged=True)
    shop.must_be_clean()


def test_another_database_of_the_server_is_restored_and_undone(namespace):
    shop = Shop(namespace, "two").deploy().fill().register()
    shop.sql("CREATE DATABASE other", database="postgres")
    shop.sql("CREATE TABLE kept (id integer); INSERT INTO kept VALUES (1), (2)", database="other")
    shop.execute("pg_dump", "-Fc", "-U", shop.user(), "-d", "other", "-f", "/dumps/other.dump")
    shop.sql("DELETE FROM kept; CREATE TABLE made_later ()", database="other")
    before = shop.fingerprint()
    restore = restores.of_shop(shop, "other.dump", logical={"database": "other"}).must_succeed()
    assert shop.value("SELECT count(*) FROM kept", database="other") == "2"
    shop.must_hold(before)
    lacking = [f["message"] for f in restore.status["preflight"] if f["check"] == "LeftOutOfTheDump"]
    assert "public.made_later" in lacking[0]
    restores.undo(restore, shop.name).must_succeed()
    assert shop.value("SELECT count(*) FROM made_later", database="other") == "0"
    shop.must_hold(before)
