"""PostgreSQL 17 beside PostgreSQL 15: an older dump into a newer server works, a newer one into an older is refused."""

import shutil

import pytest

import restores
from layouts import of_version_17, variable
from processes import at_once
from shop import Shop

# How 17 can order text, and 15 cannot.
BUILTIN_LOCALE = "--locale-provider=builtin --builtin-locale=C.UTF-8"


def of_version_17_with_its_own_locale(objects):
    of_version_17(objects)
    variable(objects, "POSTGRES_INITDB_ARGS", BUILTIN_LOCALE)


@pytest.fixture(scope="module")
def servers(namespace):
    """One of 15 and one of 17, filled alike."""
    shops = Shop(namespace, "older"), Shop(namespace, "newer", adapt=of_version_17_with_its_own_locale)
    older, newer = at_once(lambda shop: shop.deploy().fill().register(), shops)
    assert older.value("SHOW server_version").startswith("15.")
    assert newer.value("SHOW server_version").startswith("17.")
    return older, newer


def dumped_for(shop, origin):
    """A dump of one server on the other's volume for dumps."""
    name = f"of-{origin.name}.dump"
    origin.dump(name)
    shutil.copy(origin.dumps_on_host / name, shop.dumps_on_host / name)
    return name


def rows(fingerprint):
    """The lines that every version writes alike: tables' rows and large objects, not definitions."""
    return {line for line in fingerprint.splitlines() if line.startswith(("data ", "sequence ", "large object "))}


def test_a_dump_of_15_is_restored_into_17(servers):
    older, newer = servers
    # The same statements filled both, so that nothing but the version makes a difference.
    filled = newer.fingerprint()
    assert rows(filled) == rows(older.fingerprint())
    path = dumped_for(newer, older)
    newer.change()
    restores.of_shop(newer, path).must_succeed()
    newer.must_hold(filled)
    newer.must_be_clean()


def test_a_dump_of_17_is_restored_into_17_and_undone(servers):
    _, newer = servers
    copies = newer.dump_and_change()
    locale = "SELECT datlocprovider, datlocale FROM pg_database WHERE datname = current_database()"
    assert newer.value(locale) == "b|C.UTF-8"
    restore = restores.of_shop(newer, copies.path).must_succeed()
    newer.must_hold(copies.of_the_dump)
    assert newer.value(locale) == "b|C.UTF-8"
    restores.undo(restore, newer.name).must_succeed()
    newer.must_hold(copies.before)
    newer.must_be_clean()


def test_plain_sql_is_restored_where_psql_is_safe(servers):
    older, newer = servers
    copies = newer.dump_and_change()
    newer.execute("pg_restore", "--file=/dumps/shop.sql", f"/dumps/{copies.path}")
    shutil.copy(newer.dumps_on_host / "shop.sql", older.dumps_on_host / "shop.sql")
    restores.of_shop(newer, "shop.sql").must_succeed()
    newer.must_hold(copies.of_the_dump)
    newer.must_be_clean()

    life = older.life()
    refused = restores.of_shop(older, "shop.sql").wait_until_ended()
    # Of 15 or of 17 too new: which of both is said first depends on what psql the image has.
    assert refused.condition("Validated")[1] in ("UnsupportedFormat", "DumpTooNew")
    assert older.life() == life


def test_a_dump_of_17_for_a_server_of_15_is_refused_before_anything_is_stopped(servers):
    older, newer = servers
    path = dumped_for(older, newer)
    life, before = older.life(), older.fingerprint()
    restore = restores.of_shop(older, path).wait_until_ended().must_have("Failed")
    status, reason, message = restore.condition("Validated")
    assert (status, reason) == ("False", "DumpTooNew")
    assert "unsupported version (1.16)" in message and "must be made by this server's pg_dump" in message
    assert older.life() == life, "the database was stopped"
    older.must_hold(before)
    older.must_be_clean()
