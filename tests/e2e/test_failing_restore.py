"""pg_restore fails midway: the database goes back to the data it had, and nothing of the attempt is left."""

import restores

# Rows that violate their foreign key, as a faulty replication leaves them. The dump takes them along, and only
# the restore's last part, after all data was loaded, finds out.
ORPHANS = """
CREATE TABLE shop.regions (id integer PRIMARY KEY);
CREATE TABLE shop.branches (id integer PRIMARY KEY, region integer REFERENCES shop.regions);
SET session_replication_role = replica;
INSERT INTO shop.branches VALUES (1, 4711);
"""


def test_the_old_data_is_served_again_and_the_next_restore_is_not_blocked(shop):
    shop.dump("good.dump")
    good = shop.fingerprint()
    shop.sql(ORPHANS)
    shop.dump("orphans.dump")
    shop.change()
    before = shop.fingerprint()

    failing = restores.of_shop(shop, "orphans.dump").wait_until_ended().must_have("Failed")
    shop.wait_ready()
    shop.must_hold(before)
    assert "branches_region_fkey" in failing.message(), "the message holds the first errors"
    assert 'is not present in table "regions"' in failing.message()
    assert failing.condition("DataRestored")[0] == "False"
    assert failing.condition("DatabaseReady")[0] == "True"
    assert not failing.status.get("previousData", {}).get("available")
    assert failing.status["downtimeSeconds"] >= 0
    assert shop.databases() == {"postgres", "shop"}
    shop.must_be_clean()

    again = restores.of_shop(shop, "good.dump").must_succeed()
    assert again.condition("Complete")[0] == "True"
    shop.must_hold(good)


def test_a_name_that_failed_may_run_again(shop):
    name = "second-try"
    (shop.dumps_on_host / "later-good.dump").write_bytes(b"not a dump")
    restores.of_shop(shop, "later-good.dump", name=name).wait_until_ended().must_have("Failed")
    restores.Restore(shop.namespace, name).delete()
    copies = shop.dump_and_change("later-good.dump")
    restores.of_shop(shop, "later-good.dump", name=name).must_succeed()
    shop.must_hold(copies.of_the_dump)
