"""How a dump is restored: mode Clean keeps what the dump lacks; a superuser restores what nobody else can."""

import restores
from shop import Shop


def test_mode_clean_keeps_what_the_dump_lacks_and_can_be_undone(namespace):
    shop = Shop(namespace, "cleaned").deploy().fill().register()
    copies = shop.dump_and_change()
    shop.sql("CREATE TABLE shop.kept AS SELECT 42 AS answer; ALTER TABLE shop.kept OWNER TO shop_reader")
    before = shop.fingerprint()
    restore = restores.of_shop(shop, copies.path, logical={"mode": "Clean"}).must_succeed()
    shop.wait_ready()
    assert shop.value("SELECT answer FROM shop.kept") == "42"
    owner = "SELECT relowner::regrole FROM pg_class WHERE oid = 'shop.kept'::regclass"
    assert shop.value(owner) == "shop_reader"
    kept = [f["message"] for f in restore.status["preflight"] if f["check"] == "LeftOutOfTheDump"]
    assert "shop.kept" in kept[0] and "stay as they are" in kept[0]
    changed = "SELECT count(*) FROM shop.events WHERE payload LIKE 'changed by test%'"
    assert shop.value(changed) == "0"

    restores.undo(restore, shop.name).must_succeed()
    shop.wait_ready()
    shop.must_hold(before, but_unlogged=True)
    shop.must_be_clean()


def test_what_depends_on_the_dump_stops_mode_clean_before_the_database(namespace):
    shop = Shop(namespace, "depended").deploy().fill().register()
    copies = shop.dump_and_change()
    shop.sql("CREATE VIEW shop.later AS SELECT id FROM shop.customers")
    life = shop.life()
    restore = restores.of_shop(shop, copies.path, logical={"mode": "Clean"}).wait_until_ended()
    restore.must_have("Failed", "DependsOnTheDump")
    assert '"shop.later" reads "shop.customers"' in restore.message()
    assert shop.life() == life


def test_a_superuser_restores_what_an_ordinary_role_cannot(namespace):
    shop = Shop(namespace, "trusted").deploy().fill().register()
    shop.sql(
        "CREATE FUNCTION shop.watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
        "CREATE EVENT TRIGGER watched ON ddl_command_end EXECUTE FUNCTION shop.watch();"
    )
    copies = shop.dump_and_change()
    refused = restores.of_shop(shop, copies.path).wait_until_ended()
    refused.must_have("Failed", "NeedsSuperuser")
    assert "`logical.runAs`" in refused.message()
    restore = restores.of_shop(shop, copies.path, logical={"runAs": "Superuser"}).must_succeed()
    shop.wait_ready()
    shop.must_hold(copies.of_the_dump)
    shop.must_be_clean()
    warnings = [f["check"] for f in restore.status["preflight"] if f["result"] == "Warning"]
    assert "RunsAsSuperuser" in warnings
