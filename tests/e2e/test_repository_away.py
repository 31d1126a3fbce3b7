"""The S3 server with the repository goes away in the middle of a restore to a point in time, and comes back only after its end."""

import contextlib

import pytest

import restores
from pgbackrest_repository import archive_all, archiving_shop
from processes import catch_pgbackrest

# By default the agent has pgBackRest wait for five; all waits are as many times as long then.
WAITS = "io-timeout=1\n"


@pytest.fixture(scope="module")
def shared_shop(namespace):
    with archiving_shop(namespace, settings=WAITS) as shop:
        yield shop


@contextlib.contextmanager
def taken_away(s3):
    s3.take_away()
    try:
        yield
    finally:
        s3.bring_back()


def begin(shop):
    """A restore that has a segment of WAL to fetch, what the database holds meanwhile, and the point."""
    point = shop.pass_a_point()
    shop.change()
    archive_all(shop)
    before = shop.fingerprint()
    return restores.to_point_in_time(shop, point.time), before, point


@pytest.mark.parametrize("does", ["copies", "replays"])
def test_it_gives_up_after_two_attempts_and_the_old_data_is_served_again(shop, does):
    timeline = shop.timeline()
    restore, before, _ = begin(shop)
    pgbackrest = catch_pgbackrest(restore.uid, does)
    with taken_away(shop.s3):
        pgbackrest.resume()
        restore.wait_until_ended().must_have("Failed", "RepositoryUnreadable")
        shop.wait_ready()
        shop.must_hold(before, but_unlogged=True)
        assert shop.timeline() == timeline
        assert not shop.kept_files(restore.uid)[1].exists()
        shop.must_be_clean()
    assert restore.condition("DatabaseReady")[0] == "True"
    assert "unable to connect" in restore.message()
    attempts = [job for job in restore.jobs() if job["metadata"]["labels"]["dbrestore.dev/step"] == "prepare"]
    assert len(attempts) == 2


def test_once_it_is_back_the_next_restore_works(shop):
    restore, _, point = begin(shop)
    restore.must_succeed()
    shop.must_be_at(point)
    shop.must_archive()
