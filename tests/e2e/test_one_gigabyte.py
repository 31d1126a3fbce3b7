"""The whole way with more than a gigabyte: one restore, and many looks at it. Each test is one of them."""

import json
import subprocess
import time

import pytest

import restores
from release import agent_log
from shop import Shop, numbers
from support import api
from support.kubectl import environment, kubectl

ORDERS = 30_000
# The sample database is rich and slow to make, so most of the gigabyte is plain rows in a few more tables.
BULK = """
DO $$
BEGIN
    FOR year IN 2019..2024 LOOP
        EXECUTE format('CREATE TABLE shop.archive_%s (id integer PRIMARY KEY, body text)', year);
        EXECUTE format('INSERT INTO shop.archive_%s SELECT n, repeat(md5(n::text), 31)
                        FROM generate_series(1, 160000) AS n', year);
    END LOOP;
END $$;
"""
DAMAGE = '''
DELETE FROM shop.order_lines WHERE order_id % 2 = 0;
UPDATE shop.customers SET name = 'ruined by test {number}';
TRUNCATE shop.events, shop.archive_2020;
DROP TABLE "Größe & ""Co""".child_of_old;
CREATE TABLE shop.made_after_the_dump (id integer);
SELECT lo_put(500002, 0, 'ruined');
'''


class Story:
    """What was seen of the one restore."""


@pytest.fixture(scope="module")
def story(operator):
    seen = Story()
    seen.shop = shop = Shop(operator.namespace, data_mb=9000, dumps_mb=2000).deploy().fill(ORDERS).register()
    shop.sql(BULK)
    seen.size_bytes = int(shop.value("SELECT pg_database_size(current_database())"))
    seen.of_the_dump = shop.fingerprint()
    shop.dump("shop.dump")
    shop.sql(DAMAGE.format(number=next(numbers)))
    seen.damaged = shop.fingerprint()
    seen.life_before = shop.life()
    seen.restore = restore = restores.of_shop(shop, "shop.dump", name="big")
    begun = time.monotonic()
    words = [
        "kubectl",
        "wait",
        "databaserestore/big",
        "--for=condition=Complete",
        "--timeout=600s",
        "-n",
        shop.namespace,
    ]
    with subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, text=True) as waiting:
        with restores.sampled(restore) as seen.samples:
            restore.wait_until_ended(600)
        seen.said_by_kubectl_wait, _ = waiting.communicate(timeout=30)
    seen.seconds = time.monotonic() - begun
    restore.must_have("Succeeded")
    seen.status = restore.status
    return seen


def test_it_is_a_gigabyte(story):
    assert story.size_bytes >= 1 << 30


def test_the_data_is_the_dumps_again(story):
    assert story.damaged != story.of_the_dump
    found, expected = (text.splitlines() for text in (story.shop.fingerprint(), story.of_the_dump))
    assert sorted(set(expected) ^ set(found)) == []
    assert found == expected


def test_owners_rights_and_settings_are_as_before(story):
    settings = (
        "SELECT setrole::regrole, setconfig FROM pg_db_role_setting s"
        " JOIN pg_database d ON d.oid = setdatabase WHERE datname = 'shop'"
    )
    shop = story.shop
    of_the_shop = "relnamespace = 'shop'::regnamespace"
    owners = shop.value(f"SELECT DISTINCT relowner::regrole FROM pg_class WHERE {of_the_shop}")
    assert set(owners.splitlines()) >= {"shop_owner", "shopkeeper"}
    assert "TimeZone=Europe/Paris" in shop.value(settings)
    assert "shop_reader|{statement_timeout=15s}" in shop.value(settings)
    rights = shop.value("SELECT datacl, datconnlimit FROM pg_database WHERE datname = current_database()")
    assert "shop_owner=C*c*" in rights and rights.endswith("|90")
    assert shop.value("SELECT count(*) > 0 FROM pg_stats WHERE schemaname = 'shop'") == "t", "it was analyzed"


def test_kubectl_wait_for_complete_returns(story):
    assert story.said_by_kubectl_wait == "databaserestore.dbrestore.dev/big condition met\n"


def test_the_conditions_tell_the_outcome(story):
    found = {c["type"]: c["status"] for c in story.status["conditions"]}
    expected = {"Succeeded", "Complete", "Validated", "DatabaseStopped", "DataRestored", "DatabaseReady"}
    assert {name for name, status in found.items() if status == "True"} == expected
    assert {name for name, status in found.items() if status == "False"} == {
        "Failed",
        "Reconciling",
        "Stalled",
    }
    assert all(c["observedGeneration"] == 1 and c["reason"] for c in story.status["conditions"])


def test_the_phases_were_passed_in_order(story):
    phases = [
        "Queued",
        "Validating",
        "Stopping",
        "Preparing",
        "Verifying",
        "Committing",
        "Starting",
        "Succeeded",
    ]
    told = sorted(story.restore.events(), key=lambda event: event["eventTime"])
    assert [event["reason"] for event in told] == phases
    assert {event["type"] for event in told} == {"Normal"}
    assert {event["reportingController"] for event in told} == {"dbrestore.dev/controller"}
    seen = [sample.get("phase") for sample in story.samples if sample.get("phase") in phases]
    assert seen == sorted(seen, key=phases.index), "a phase came back"


def test_kubectl_describe_shows_the_events(story):
    described = kubectl("describe", "databaserestore", "big", namespace=story.shop.namespace)
    assert "the dump is restored, and the database serves" in described.partition("Events:")[2]


def test_progress_moved_while_it_ran(story):
    preparing = [s["progress"] for s in story.samples if s.get("progress", {}).get("step") == "prepare"]
    percents = [progress.get("percent", 0) for progress in preparing]
    assert len(set(percents)) >= 5, percents
    assert percents == sorted(percents), "progress went back"
    assert max(percents) <= 100
    assert len({progress.get("bytesDone") for progress in preparing}) >= 5
    assert any(progress.get("entriesDone") for progress in preparing)
    assert all(progress["summary"] for progress in preparing)


def test_the_plan_was_told_before_the_stop(story):
    planned = next(s for s in story.samples if "plan" in s)
    assert planned["plan"]["bytes"] >= 1 << 29
    assert planned["plan"]["estimatedDowntimeSeconds"] > 0
    assert any("since the dump" in loss for loss in planned["plan"]["whatIsLost"])
    assert {finding["result"] for finding in planned["preflight"]} <= {"Passed", "Warning"}
    assert "SuperuserOwner" in {f["check"] for f in planned["preflight"] if f["result"] == "Warning"}


def test_downtime_is_told_in_seconds(story):
    assert 1 <= story.status["downtimeSeconds"] <= story.seconds
    assert story.status["originalReplicas"] == 1 == story.shop.replicas()
    assert story.shop.life()[0] != story.life_before[0], "the pod is another one"


def test_the_old_database_is_kept_and_closed(story):
    kept = story.status["previousData"]
    assert kept["available"] and kept["sizeBytes"] > 1 << 28
    assert kept["expirationTime"] > story.status["completionTime"]
    assert kept["database"] in story.shop.databases()
    closed = f"SELECT datallowconn FROM pg_database WHERE datname = '{kept['database']}'"
    assert story.shop.value(closed) == "f"


def test_the_columns_of_kubectl_get(story):
    header, row = kubectl("get", "dbr", "big", namespace=story.shop.namespace).splitlines()
    assert header.split() == ["NAME", "TYPE", "SERVER", "STATUS", "PROGRESS", "TARGET", "AGE"]
    assert row.split()[:6] == ["big", "Dump", "shop", "Succeeded", "done", "shop-dumps/shop.dump"]
    assert "shop" in kubectl(
        "get", "dbrestore", namespace=story.shop.namespace
    ), "the category shows servers as well"
    chosen = kubectl(
        "get",
        "dbr",
        "--field-selector=spec.serverRef.name=shop",
        "-o",
        "name",
        namespace=story.shop.namespace,
    )
    assert chosen == "databaserestore.dbrestore.dev/big\n"


def test_the_server_remembers_the_restore_and_is_free(story):
    status = story.shop.server_status()
    assert [(e["restore"], e["result"]) for e in status["history"]] == [("big", "Succeeded")]
    story.shop.must_be_clean()
    executed = story.restore.get()["metadata"]["annotations"]["dbrestore.dev/executed-uid"]
    assert executed == story.restore.uid


def test_metrics_are_scraped(story, operator):
    namespace = story.shop.namespace
    assert (
        operator.metric("dbrestore_restores_total", namespace=namespace, type="Dump", result="Succeeded") == 1
    )
    assert operator.metric("dbrestore_status_condition", name="big", condition="Complete", status="True") == 1
    assert operator.metric("dbrestore_last_success_timestamp_seconds", server="shop") > 1.7e9
    assert (
        operator.metric("dbrestore_database_downtime_seconds_sum", server="shop")
        == story.status["downtimeSeconds"]
    )
    assert operator.metric("dbrestore_restore_duration_seconds_count", phase="Preparing") == 1
    assert operator.metric("dbrestore_restores_in_progress") == 0
    assert operator.metric("controller_runtime_reconcile_total", controller="restore", result="success") > 1
    assert operator.metric("workqueue_depth", name="restore") == 0
    promtool = ["promtool", "check", "metrics"]
    checked = subprocess.run(promtool, input=operator.metrics(), capture_output=True, text=True, timeout=30)
    assert checked.returncode == 0, checked.stderr + checked.stdout


def test_each_line_of_the_log_names_the_restore_and_the_step(story, operator):
    lines = [json.loads(line) for line in operator.log().splitlines()]
    of_restores = [line for line in lines if "restore" in line]
    assert len(of_restores) > 8
    assert {line["restore"] for line in of_restores} == {f"{story.shop.namespace}/big"}
    assert all(line.get("step") and line["level"] and line["time"] for line in of_restores)


def test_no_password_is_in_logs_status_events_metrics_or_manifests(story, operator):
    namespace = story.shop.namespace
    texts = {"operator's log": operator.log(), "metrics": operator.metrics()}
    for kind in ("databaserestores", "postgresservers", "events", "jobs", "pods"):
        texts[kind] = json.dumps(api.items(kind, namespace))
    pods = api.items("pods", namespace, labels="dbrestore.dev/restore-uid")
    assert pods
    for name in (pod["metadata"]["name"] for pod in pods):
        texts[name] = agent_log(name, namespace)
    assert [where for where, text in texts.items() if story.shop.password in text] == []
