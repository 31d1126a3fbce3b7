"""A whole restore of each shape of layouts.py, with next to nothing said but the workload's name."""

import pytest

import layouts
import restores
from shop import Shop

# Its contents can be made only where the library is loaded: also by the private server, whose pod has not the
# configuration that says so.
COUNTED = """
CREATE EXTENSION pg_stat_statements SCHEMA public;
CREATE MATERIALIZED VIEW shop.counted AS SELECT count(*) >= 0 AS has_counted FROM public.pg_stat_statements;
"""

SHAPES = {
    "from-18": (
        layouts.official_from_18,
        {"dataDirectory": "/var/lib/postgresql/18/docker", "mountPath": "/var/lib/postgresql"},
    ),
    "sub-path": (
        layouts.on_a_sub_path,
        {"dataDirectory": "/var/lib/postgresql/data/pgdata", "subPath": "databases/shop"},
    ),
    "existing-claim": (layouts.on_an_existing_claim, {"claimName": "existing-claim-disk"}),
    "bitnami": (
        layouts.bitnami_style,
        {"dataDirectory": "/bitnami/postgresql/data", "container": "postgresql", "uid": 1001},
    ),
    "bitnami-chart": (
        layouts.bitnami_chart_style,
        {"dataDirectory": "/bitnami/postgresql/data", "container": "postgresql", "uid": 1001},
    ),
    "cloudpirates": (
        layouts.cloudpirates_style,
        {"dataDirectory": "/var/lib/postgresql/data/pgdata", "uid": 999},
    ),
    "cloudpirates-18": (
        layouts.cloudpirates_style_from_18,
        {"dataDirectory": "/var/lib/postgresql/18/docker", "uid": 999},
    ),
}
PRELOADED = {"bitnami", "bitnami-chart", "cloudpirates", "cloudpirates-18"}


@pytest.mark.parametrize("name", SHAPES)
def test_it_is_inferred_and_restored(namespace, name):
    adapt, expected = SHAPES[name]
    shop = Shop(namespace, name, adapt=adapt).deploy().fill(50)
    if name in PRELOADED:
        shop.sql(COUNTED)
    copies = shop.register().dump_and_change()
    restore = restores.of_shop(shop, copies.path).must_succeed()
    inferred = shop.server_status()["inferred"]
    assert expected.items() <= inferred.items(), inferred
    assert inferred["claimName"] == shop.data_claim
    assert not [f for f in restore.status["preflight"] if f["check"] == "OldDatabaseStays"]
    shop.wait_ready()
    shop.must_hold(copies.of_the_dump)
    shop.must_be_clean()


def test_a_data_directory_that_is_stated_wrongly_is_told_before_anything_is_stopped(namespace):
    shop = Shop(namespace, "mistaken", adapt=layouts.official_from_18).deploy()
    shop.register(dataDirectory="/var/lib/postgresql/17/docker")
    life = shop.life()
    shop.dump("empty.dump")
    restore = restores.of_shop(shop, "empty.dump").wait_until_ended().must_have("Failed", "DataDirectoryNotFound")
    assert "`spec.postgres.dataDirectory`" in restore.message()
    assert "/var/lib/postgresql/18/docker" in restore.message(), "the image's own"
    assert shop.life() == life
