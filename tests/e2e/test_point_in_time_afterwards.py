"""What a restore to a point in time leaves: old files that expire or come back, and the passwords of then."""

import uuid

import pytest

import release
import restores
from pgbackrest_repository import archiving_shop
from support.kubectl import wait_for


@pytest.fixture(scope="module")
def shared_shop(namespace):
    with archiving_shop(namespace) as shop:
        yield shop


def test_the_old_files_are_removed_when_they_expire_and_the_database_runs_on(shop):
    point = shop.pass_a_point()
    restore = restores.to_point_in_time(shop, point.time, previousData={"retainSeconds": 5}).must_succeed()
    _, files = shop.kept_files(restore.uid)
    assert files.exists()
    life = shop.life()
    wait_for("the old files are removed", lambda: not files.exists(), 60)
    wait_for("the history forgets them", lambda: not shop.history_of(restore).get("previousData"))
    assert shop.life() == life
    shop.must_be_at(point)
    shop.must_be_clean()


def test_passwords_are_those_of_then_until_an_undo_brings_all_that_was_back(shop):
    point = shop.pass_a_point()
    shop.change_password(f"secret-{uuid.uuid4().hex}")
    before, timeline = shop.fingerprint(), shop.timeline()
    restore = restores.to_point_in_time(shop, point.time).must_succeed()
    shop.must_be_at(point)
    status, _, message = restore.condition("CredentialsMatch")
    assert status == "False"
    assert "the connection Secret opens no database" in message
    back = restores.undo(restore).must_succeed()
    shop.must_hold(before, but_unlogged=True)
    assert back.condition("CredentialsMatch")[0] == "True"
    assert back.status["previousData"]["available"]
    assert not restore.status["previousData"]["available"]
    assert shop.timeline() == timeline + 2, "no timeline is gone on with after another was archived"
    shop.must_archive()


def test_all_that_was_comes_back_also_where_the_operator_was_installed_anew_since(operator, shop):
    point = shop.pass_a_point()
    before = shop.fingerprint()
    restore = restores.to_point_in_time(shop, point.time).must_succeed()
    shop.must_be_at(point)
    release.uninstall(shop.namespace)
    back = restores.undo(restore)
    release.install(shop.namespace)
    back.must_succeed()
    shop.must_hold(before, but_unlogged=True)
    shop.must_archive()


def test_the_password_is_set_to_that_of_the_secret_where_it_is_asked_for(shop):
    point = shop.pass_a_point()
    shop.change_password(f"secret-{uuid.uuid4().hex}")
    restore = restores.to_point_in_time(shop, point.time, reset_password="FromSecret").must_succeed()
    shop.must_be_at(point)
    assert restore.condition("CredentialsMatch")[0] == "True"
