"""A whole server is taken to a point in time, from its encrypted pgBackRest repository on a real S3 server."""

import datetime
import re

import pytest

import restores
from pgbackrest_repository import PASSPHRASE, archiving_shop
from processes import catch_agent
from release import told
from s3 import SECRET_KEY
from support.kubectl import kubectl


@pytest.fixture(scope="module")
def shared_shop(namespace):
    with archiving_shop(namespace) as shop:
        yield shop


@pytest.fixture(scope="module")
def points(shared_shop):
    """Two of the database's first life, which ends with the rows' table dropped."""
    earlier, later = shared_shop.pass_a_point(), shared_shop.pass_a_point()
    shared_shop.change()
    shared_shop.sql("DROP TABLE shop.written")
    return earlier, later


def moment(text):
    return datetime.datetime.fromisoformat(text)


def test_a_plan_finds_the_backup_and_stops_nothing(shop, points):
    life = shop.life()
    plan = restores.to_point_in_time(shop, points[1].time, dryRun="Plan", acknowledgeDataLoss=None)
    plan.wait_until_ended(60)
    assert plan.condition("Succeeded")[:2] == ("True", "Planned")
    assert "TargetCovered" in {finding["check"] for finding in plan.status["preflight"]}
    assert plan.status["plan"]["bytes"] > 0
    assert shop.life() == life


def test_a_point_before_the_first_backup_is_refused_and_nothing_is_stopped(shop):
    life = shop.life()
    restore = restores.to_point_in_time(shop, "2020-01-01T00:00:00Z").wait_until_ended(60).must_have("Failed")
    assert restore.condition("Validated")[:2] == ("False", "TargetTooEarly")
    assert "must not be earlier than" in restore.message()
    assert restore.condition("DatabaseStopped")[0] != "True"
    assert shop.life() == life


def test_a_cancelled_restore_leaves_the_old_data_on_its_timeline(shop, points):
    before, timeline = shop.fingerprint(), shop.timeline()
    restore = restores.to_point_in_time(shop, points[1].time)
    agent = catch_agent(restore.uid, "prepare", "postgres")
    restore.cancel()
    agent.resume()
    restore.wait_until_ended().must_have("Cancelled", "Cancelled")
    assert restore.condition("DatabaseReady")[0] == "True"
    shop.wait_ready()
    shop.must_hold(before)
    assert shop.timeline() == timeline
    shop.must_be_clean()


def test_the_last_row_at_the_time_is_there_and_the_next_is_not(shop, points):
    _, point = points
    timeline = shop.timeline()
    restore = restores.to_point_in_time(shop, point.time).must_succeed()
    shop.must_be_at(point)
    assert shop.timeline() > timeline
    must_tell_what_it_did(shop, restore, point)
    shop.must_archive()
    must_keep_secrets(shop, restore)


def must_tell_what_it_did(shop, restore, point):
    status = restore.status
    reached, lost, kept = status["recoveredTo"], status["lostInterval"], status["previousData"]
    assert moment(shop.read_clock_for(point.row)) <= moment(reached["time"]) <= moment(point.time)
    assert re.fullmatch("[0-9A-F]+/[0-9A-F]+", reached["lsn"])
    assert reached["timeline"] == shop.timeline()
    assert moment(lost["from"]) <= moment(point.time) < moment(lost["to"])
    assert status["downtimeSeconds"] > 0
    directory, files = shop.kept_files(restore.uid)
    assert kept["available"] and kept["directory"] == directory
    assert kept["sizeBytes"] > 1_000_000
    assert kept["expirationTime"] > status["completionTime"]
    assert (files / "PG_VERSION").exists()
    assert shop.history_of(restore)["previousData"]["directory"] == directory
    assert restore.condition("CredentialsMatch")[0] == "True"


def must_keep_secrets(shop, restore):
    told = [kubectl("logs", pod["metadata"]["name"], namespace=shop.namespace) for pod in restore.pods()]
    told.append(kubectl("get", "dbr,pgs,jobs,events", "-o", "yaml", namespace=shop.namespace))
    for secret in (SECRET_KEY, PASSPHRASE, shop.password):
        assert not [text for text in told if secret in text]


def test_points_before_and_after_an_earlier_restore_are_reached_by_their_time_alone(shop, points):
    earlier, _ = points
    timeline = shop.timeline()
    between = shop.pass_a_point()
    restores.to_point_in_time(shop, earlier.time).must_succeed()
    shop.must_be_at(earlier)
    shop.write_rows()
    restores.to_point_in_time(shop, between.time).must_succeed()
    shop.must_be_at(between)
    assert shop.timeline() == timeline + 2
    shop.must_archive()
    must_list_what_can_be_reached(shop, earlier)


def must_list_what_can_be_reached(shop, earlier):
    def listed():
        return shop.server_status().get("pointInTimeRecovery", {})

    def ids():
        return [span["id"] for span in listed().get("timelines", [])]

    told(shop.namespace, "the live timeline", lambda: ids()[-1:] == [shop.timeline()], 120)
    assert ids() == list(range(1, shop.timeline() + 1))
    spans = listed()["timelines"]
    assert all(span["parent"] < span["id"] and span["forkLSN"] for span in spans[1:])
    assert all(moment(span["liveTo"]) for span in spans[:-1]) and "liveTo" not in spans[-1]
    assert moment(listed()["earliestTime"]) <= moment(earlier.time) < moment(listed()["latestTime"])
