"""A database that archives to two repositories: the S3 server, and a folder on another claim that it mounts."""

import time

import pytest

import restores
from pgbackrest_repository import REPOSITORY_FOLDER, archiving_shop


@pytest.fixture(scope="module")
def shared_shop(namespace):
    with archiving_shop(namespace, settings=f"repo2-path={REPOSITORY_FOLDER}\nrepo2-retention-full=9") as shop:
        yield shop


def test_the_newest_backup_is_taken_from_the_folder_where_it_lies(shop):
    shop.pgbackrest("backup", "--type=full", "--repo=2")
    time.sleep(1.1)
    labels = shop.pgbackrest("repo-ls", "--repo=2", f"backup/{shop.name}").split()
    point = shop.pass_a_point()
    shop.change()
    restore = restores.to_point_in_time(shop, point.time).must_succeed()
    shop.must_be_at(point)
    covered = next(finding for finding in restore.status["preflight"] if finding["check"] == "TargetCovered")
    assert [label for label in labels if f"from backup {label} " in covered["message"]]
    shop.must_archive()
    shop.must_be_clean()
