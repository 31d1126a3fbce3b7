// Mode Clean: what the dump holds is made anew in a copy of today's database, and the rest stays. And
// restores by a superuser, where the dump is trusted.

#include <filesystem>

#include "agent/text.h"
#include "integration/agent_fixture.h"

namespace dbrestore::tests {
namespace {

using Outcome = resources::PreflightFinding::Outcome;

class AgentClean : public AgentTest {
protected:
    resources::AgentRequest clean(const std::string& step) const {
        auto asked = step == "preflight" ? request_to_server(step) : request(step);
        asked.clean = true;
        asked.backup_name = backup_;
        return asked;
    }
    resources::AgentRequest as_superuser(const std::string& step) const {
        auto asked = step == "preflight" ? request_to_server(step) : request(step);
        asked.as_superuser = true;
        asked.backup_name = backup_;
        return asked;
    }
    void run_all(const std::function<resources::AgentRequest(const std::string&)>& asked) {
        for (const char* step : {"prepare", "verify", "commit"}) {
            const AgentRun ran = run(asked(step));
            ASSERT_TRUE(ran.is_done()) << step << ": " << to_text(ran);
        }
    }
    // Made as a superuser, dumped, and gone again.
    void dump_database_of(const std::string& statements) {
        sql("CREATE DATABASE other OWNER app", "postgres");
        sql(statements, "other");
        dump(backup_, "other");
    }

    std::string backup_ = "shop.dump";
};

TEST_F(AgentClean, MakesAnewWhatTheDumpHoldsAndKeepsTheRest) {
    start_server();
    sql("COMMENT ON LARGE OBJECT 500002 IS NULL");
    const std::string good = fingerprint();
    sql("DELETE FROM shop.order_lines; DELETE FROM shop.events; UPDATE shop.products SET title = 'gone'; "
        "SELECT "
        "lo_put(500001, 0, 'gone'); ALTER FUNCTION shop.next_number() VOLATILE COST 7");
    sql("CREATE TABLE shop.made_later AS SELECT 7 AS seven; ALTER TABLE shop.made_later OWNER TO "
        "shop_reader; GRANT "
        "SELECT ON shop.made_later TO shop_writer; CREATE SCHEMA later CREATE TABLE kept (a int)");
    const AgentRun checked = run(clean("preflight"));
    ASSERT_TRUE(checked.is_done()) << to_text(checked);
    ASSERT_NE(checked.finding("LeftOutOfTheDump"), nullptr);
    EXPECT_NE(checked.finding("LeftOutOfTheDump")->message.find("stay as they are"), std::string::npos);
    ASSERT_NE(checked.finding("NothingInTheWay"), nullptr);
    stop_server();
    run_all([&](const std::string& step) { return clean(step); });
    start_server();
    EXPECT_EQ(sql("SELECT seven FROM shop.made_later"), "7");
    EXPECT_EQ(sql("SELECT relowner::regrole FROM pg_class WHERE relname = 'made_later'"), "shop_reader");
    EXPECT_EQ(sql("SELECT has_table_privilege('shop_writer', 'shop.made_later', 'SELECT')"), "t");
    EXPECT_EQ(sql("SELECT count(*) FROM later.kept"), "0");
    sql("DROP TABLE shop.made_later; DROP SCHEMA later CASCADE");
    // The seed's flags leave comments out.
    for (const auto& line : agent::lines_of(difference(good, fingerprint())))
        EXPECT_TRUE(line.starts_with("- comment ")) << line;
    EXPECT_EQ(sql("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'dbrestore%'"), "0");
}

TEST_F(AgentClean, WhatTheDumpLacksAndDependsOnItIsNamedBeforeTheStop) {
    start_server();
    sql("CREATE VIEW shop.later_view AS SELECT id FROM shop.orders; CREATE TABLE shop.later_child (id bigint "
        "REFERENCES "
        "shop.customers (id))");
    const AgentRun ran = run(clean("preflight"));
    const auto* finding = ran.finding("DependsOnTheDump");
    ASSERT_NE(finding, nullptr) << to_text(ran);
    EXPECT_EQ(finding->outcome, Outcome::failed);
    for (const char* words : {"\"shop.later_view\" reads \"shop.orders\"",
                              "\"shop.later_child\" refers to \"shop.customers\"", "logical.mode"})
        EXPECT_NE(finding->message.find(words), std::string::npos) << finding->message;
}

TEST_F(AgentClean, WhereSomethingCannotBeDroppedTheOldDataStays) {
    start_server();
    sql("CREATE FUNCTION shop.later(shop.order_state) RETURNS int LANGUAGE sql AS 'SELECT 1'");
    const std::string before = fingerprint();
    stop_server();
    const AgentRun ran = run(clean("prepare"));
    EXPECT_EQ(ran.result.reason, "RestoreFailed") << to_text(ran);
    EXPECT_NE(ran.result.message.find("cannot drop type shop.order_state"), std::string::npos)
        << ran.result.message;
    EXPECT_NE(ran.result.message.find("function shop.later"), std::string::npos) << ran.result.message;
    ASSERT_TRUE(run(clean("rollback")).is_done());
    start_server();
    EXPECT_EQ(difference(before, fingerprint()), "");
    EXPECT_EQ(sql("SELECT count(*) FROM pg_database WHERE datname LIKE 'dbrestore%'"), "0");
    EXPECT_EQ(sql("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'dbrestore%'"), "0");
}

TEST_F(AgentClean, TheDumpCannotReachTheOldDatabase) {
    start_server();
    sql("ALTER DATABASE shop OWNER TO app", "postgres");
    dump_database_of(
        "CREATE FUNCTION public.seize() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN "
        "IF current_database() <> 'other' THEN EXECUTE 'ALTER DATABASE shop RENAME TO lost'; END IF; "
        "RETURN true; END $$; CREATE TABLE bait (a int CHECK (public.seize())); INSERT INTO bait VALUES (1)");
    stop_server();
    const AgentRun ran = run(clean("prepare"));
    EXPECT_EQ(ran.result.reason, "RestoreFailed") << to_text(ran);
    EXPECT_NE(ran.result.message.find("must be owner of database shop"), std::string::npos)
        << ran.result.message;
    ASSERT_TRUE(run(clean("rollback")).is_done());
    start_server();
    EXPECT_EQ(sql("SELECT count(*) FROM shop.orders"), "300");
}

TEST_F(AgentClean, ASuperuserRestoresWhatAnOrdinaryRoleCannot) {
    start_server();
    backup_ = "trusted.dump";
    sql("CREATE DATABASE other OWNER app", "postgres");
    sql("CREATE TABLE t (a int); INSERT INTO t VALUES (1);"
        "CREATE FUNCTION low(cstring) RETURNS int LANGUAGE internal AS 'int4in' STRICT;"
        "CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
        "CREATE EVENT TRIGGER et ON ddl_command_end EXECUTE FUNCTION watch();"
        "CREATE PUBLICATION everything FOR ALL TABLES;"
        "CREATE FOREIGN DATA WRAPPER nothing",
        "other");
    dump(backup_, "other");
    const AgentRun checked = run(as_superuser("preflight"));
    ASSERT_TRUE(checked.is_done()) << to_text(checked);
    ASSERT_NE(checked.finding("RunsAsSuperuser"), nullptr);
    EXPECT_EQ(checked.finding("RunsAsSuperuser")->outcome, Outcome::warning);
    stop_server();
    run_all([&](const std::string& step) { return as_superuser(step); });
    start_server();
    EXPECT_EQ(sql("SELECT evtowner::regrole FROM pg_event_trigger"), superuser);
    EXPECT_EQ(sql("SELECT pubowner::regrole FROM pg_publication"), superuser);
    EXPECT_EQ(sql("SELECT relowner::regrole FROM pg_class WHERE relname = 't'"), app_user);
    EXPECT_EQ(sql("SELECT proowner::regrole FROM pg_proc WHERE proname = 'low'"), app_user);
    EXPECT_EQ(sql("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'dbrestore%'"), "0");
}

TEST_F(AgentClean, WhatOnlyASuperuserRestoresIsNamedWithTheWayOut) {
    start_server();
    backup_ = "trusted.dump";
    dump_database_of("CREATE PUBLICATION everything FOR ALL TABLES");
    auto asked = request_to_server("preflight");
    asked.backup_name = backup_;
    const AgentRun ran = run(asked);
    const auto* finding = ran.finding("NeedsSuperuser");
    ASSERT_NE(finding, nullptr) << to_text(ran);
    EXPECT_NE(finding->message.find("a publication for all tables"), std::string::npos) << finding->message;
    EXPECT_NE(finding->message.find("`logical.runAs`"), std::string::npos) << finding->message;
}

TEST_F(AgentClean, ItsCopyCountsInTheSpaceThatIsNeeded) {
    start_server();
    const int64_t size = std::stoll(sql("SELECT pg_database_size('shop')"));
    const auto needed = [&](const resources::AgentRequest& asked) {
        const AgentRun ran = run(asked);
        EXPECT_TRUE(ran.is_done()) << to_text(ran);
        return ran.result.bytes;
    };
    EXPECT_GE(needed(clean("preflight")) - needed(request_to_server("preflight")), size);
    stop_server();
    auto stopped = clean("preflight");
    stopped.host.clear();
    EXPECT_GE(needed(stopped), size);
}

}  // namespace
}  // namespace dbrestore::tests
