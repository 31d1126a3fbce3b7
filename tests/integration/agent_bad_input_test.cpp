// What must be refused before the stop, together; and what fails later, leaving the old data.
#include <sys/mount.h>

#include <filesystem>
#include <fstream>

#include "agent/text.h"
#include "base/files.h"
#include "integration/agent_fixture.h"

namespace dbrestore::tests {
namespace {

using Outcome = resources::PreflightFinding::Outcome;

class AgentBadInput : public AgentTest {
protected:
    std::string source(const std::string& name) const { return folder() + "/source/" + name; }

    std::string good_dump() const {
        const auto text = base::read_file(source("shop.dump"), 64u << 20);
        return text ? *text : "";
    }
    void write_dump(const std::string& content) const {
        std::ofstream(source("bad.dump"), std::ios::binary) << content;
    }

    AgentRun preflight(const std::string& backup_name) {
        auto asked = request_to_server("preflight");
        asked.backup_name = backup_name;
        return run(asked);
    }

    void expect_refused(const AgentRun& ran, const std::string& reason, const std::string& word = "") {
        EXPECT_EQ(ran.exit_code, 1) << to_text(ran);
        const auto* finding = ran.finding(reason);
        ASSERT_NE(finding, nullptr) << reason << " is missing: " << to_text(ran);
        EXPECT_EQ(finding->outcome, Outcome::failed);
        EXPECT_NE(finding->message.find(word), std::string::npos) << finding->message;
    }

    // The step fails for this reason, and after rollback the old data is served and nothing is left.
    void expect_failure_that_leaves_the_old_data(const resources::AgentRequest& asked,
                                                 const std::string& reason, const std::string& word) {
        start_server();
        const std::string before = fingerprint();
        stop_server();
        const AgentRun ran = run(asked);
        EXPECT_EQ(ran.result.reason, reason) << to_text(ran);
        EXPECT_NE(ran.result.message.find(word), std::string::npos) << ran.result.message;
        const AgentRun undone = run_step("rollback");
        ASSERT_TRUE(undone.is_done()) << to_text(undone);
        start_server();
        EXPECT_EQ(difference(before, fingerprint()), "");
        EXPECT_EQ(sql("SELECT count(*) FROM pg_database WHERE datname LIKE 'dbrestore%'"), "0");
        EXPECT_EQ(sql("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'dbrestore%'"), "0");
    }
};

TEST_F(AgentBadInput, PreflightPassesAGoodDumpAndSaysWhatItFound) {
    start_server();
    const AgentRun ran = preflight("shop.dump");
    ASSERT_TRUE(ran.is_done()) << to_text(ran);
    for (const char* check : {"DataDirectory", "DumpReadable", "ServerReachable", "DatabaseFound",
                              "ExtensionsAvailable", "RolesPresent", "SpaceSuffices"}) {
        ASSERT_NE(ran.finding(check), nullptr) << check;
        EXPECT_EQ(ran.finding(check)->outcome, Outcome::passed) << check;
    }
    ASSERT_NE(ran.finding("UnloggedTables"), nullptr);
    EXPECT_EQ(ran.finding("UnloggedTables")->outcome, Outcome::warning);
    EXPECT_GT(ran.result.bytes, 100'000);
    EXPECT_GT(ran.result.estimated_seconds, 0);
    EXPECT_FALSE(ran.result.what_is_lost.empty());
    EXPECT_EQ(ran.out.find("s3cret"), std::string::npos);
    EXPECT_EQ(ran.err.find("s3cret"), std::string::npos);
}

TEST_F(AgentBadInput, ADumpThatIsNotThereIsWaitedFor) {
    start_server();
    const AgentRun ran = preflight("tomorrow.dump");
    expect_refused(ran, "BackupNotFound", "tomorrow.dump");
    EXPECT_EQ(ran.result.waiting_for, std::vector<std::string>{"BackupNotFound"});
}

TEST_F(AgentBadInput, ADumpThatIsNoWholeDumpIsNamedByWhatIsWrong) {
    start_server();
    const std::string good = good_dump();
    ASSERT_GT(good.size(), 20'000u);
    write_dump("");
    expect_refused(preflight("bad.dump"), "BackupEmpty");
    write_dump(good.substr(0, good.size() - 5000));
    expect_refused(preflight("bad.dump"), "DumpTruncated");
    write_dump(good.substr(0, 700));
    expect_refused(preflight("bad.dump"), "DumpTruncated");
    std::string flipped = good;
    flipped[good.size() / 2] = static_cast<char>(flipped[good.size() / 2] ^ 0x10);
    write_dump(flipped);
    expect_refused(preflight("bad.dump"), "DumpDamaged");
    std::string newer = good;
    newer[6] = 99;  // the minor version of the archive format
    write_dump(newer);
    expect_refused(preflight("bad.dump"), "DumpTooNew", "newer pg_dump");
}

TEST_F(AgentBadInput, OtherFormatsAreNamedByTheirContent) {
    start_server();
    write_dump("--\n-- PostgreSQL database dump\n--\nSET statement_timeout = 0;\n");
    expect_refused(preflight("bad.dump"), "UnsupportedFormat", "plain text, such as SQL");
    write_dump(std::string("\x1f\x8b\x08\x00", 4) + std::string(100, 'x'));
    expect_refused(preflight("bad.dump"), "BackupDamaged", "gzip");
    dump("shop.dir", "shop", {"-Fd"});
    expect_refused(preflight("shop.dir/toc.dat"), "UnsupportedFormat", "another archive format");
    write_dump(std::string(600, '\0'));
    expect_refused(preflight("bad.dump"), "UnsupportedFormat", "no dump that is known");
}

TEST_F(AgentBadInput, APathOutsideOfTheVolumeIsRefused) {
    start_server();
    std::ofstream(folder() + "/outside.dump") << good_dump();
    expect_refused(preflight("../outside.dump"), "UnsupportedFormat", "without links");
    std::filesystem::create_symlink(folder() + "/outside.dump", source("link.dump"));
    expect_refused(preflight("link.dump"), "UnsupportedFormat", "without links");
}

TEST_F(AgentBadInput, AllThatIsWrongIsReportedTogether) {
    start_server({"-c", "max_prepared_transactions=5", "-c", "wal_level=logical"});
    sql("SELECT pg_create_logical_replication_slot('follower', 'test_decoding')");
    sql("CREATE SUBSCRIPTION feed CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false)");
    sql("BEGIN; INSERT INTO shop.sessions VALUES (1000, 'x'); PREPARE TRANSACTION 'halfway'");
    write_dump("nonsense");
    const AgentRun ran = preflight("bad.dump");
    expect_refused(ran, "UnsupportedFormat");
    expect_refused(ran, "LogicalReplicationSlots", "follower");
    expect_refused(ran, "Subscriptions", "feed");
    expect_refused(ran, "PreparedTransactions", "halfway");
    for (const char* name : {"follower", "feed", "halfway"})
        EXPECT_NE(ran.result.message.find(name), std::string::npos);
    sql("ROLLBACK PREPARED 'halfway'");
    sql("ALTER SUBSCRIPTION feed SET (slot_name = NONE)");
    sql("DROP SUBSCRIPTION feed");
}

TEST_F(AgentBadInput, SlotsAreRefusedAgainAfterTheStop) {
    start_server({"-c", "wal_level=logical"});
    sql("SELECT pg_create_logical_replication_slot('late', 'test_decoding')");
    stop_server();
    auto asked = request("prepare");
    asked.server_arguments = {"-c", "wal_level=logical"};
    EXPECT_EQ(run(asked).result.reason, "LogicalReplicationSlots");
    asked.step = "rollback";
    const AgentRun undone = run(asked);
    EXPECT_TRUE(undone.is_done()) << to_text(undone);
}

TEST_F(AgentBadInput, CredentialsAndConnectionsAreNamedByWhatFails) {
    start_server();
    std::filesystem::remove(folder() + "/secret/password");
    const AgentRun missing = preflight("shop.dump");
    expect_refused(missing, "CredentialsMissing", "\"password\"");
    EXPECT_EQ(missing.result.waiting_for, std::vector<std::string>{"CredentialsMissing"});
    std::ofstream(folder() + "/secret/password") << "wrong";
    expect_refused(preflight("shop.dump"), "AuthenticationFailed");
    std::ofstream(folder() + "/secret/password") << password;
    auto asked = request_to_server("preflight");
    asked.database = "nothing";
    expect_refused(run(asked), "DatabaseNotFound");
    stop_server();
    expect_refused(preflight("shop.dump"), "ServerUnreachable");
}

TEST_F(AgentBadInput, WhoMayNotDropTheOldDatabaseIsToldSo) {
    start_server();
    EXPECT_EQ(preflight("shop.dump").finding("OldDatabaseStays"), nullptr);
    sql("CREATE ROLE visitor LOGIN PASSWORD " + agent::quote_literal(password) +
            "; GRANT CONNECT ON DATABASE shop TO visitor",
        "postgres");
    std::ofstream(folder() + "/secret/username") << "visitor";
    const AgentRun ran = preflight("shop.dump");
    const auto* finding = ran.finding("OldDatabaseStays");
    ASSERT_NE(finding, nullptr) << to_text(ran);
    EXPECT_EQ(finding->outcome, Outcome::warning);
    EXPECT_TRUE(ran.is_done()) << "it is no reason against: " << to_text(ran);
}

TEST_F(AgentBadInput, WhatADumpNeedsOfTheServerIsCheckedBeforeTheStop) {
    start_server();
    sql("CREATE DATABASE needy", "postgres");
    sql("CREATE ROLE visitor", "postgres");
    sql("CREATE TABLE t (a int); CREATE POLICY p ON t TO visitor USING (true);"
        "CREATE FUNCTION low(cstring) RETURNS int LANGUAGE internal AS 'int4in' STRICT;"
        "CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
        "CREATE EVENT TRIGGER et ON ddl_command_end EXECUTE FUNCTION watch()",
        "needy");
    dump("needy.dump", "needy");
    sql("DROP DATABASE needy", "postgres");
    sql("DROP ROLE visitor", "postgres");
    const AgentRun ran = preflight("needy.dump");
    expect_refused(ran, "RolesMissing", "visitor");
    expect_refused(ran, "NeedsSuperuser", "EVENT TRIGGER");
    expect_refused(ran, "NeedsSuperuser", "low");
}

TEST_F(AgentBadInput, AConstraintThatTheDataViolatesEndsInTheOldData) {
    start_server();
    sql("CREATE DATABASE broken", "postgres");
    sql("CREATE TABLE parents (id int PRIMARY KEY); CREATE TABLE children (parent int); INSERT INTO children "
        "VALUES (7);"
        "ALTER TABLE children ADD CONSTRAINT has_parent FOREIGN KEY (parent) REFERENCES parents NOT VALID;"
        "UPDATE pg_constraint SET convalidated = true WHERE conname = 'has_parent'",
        "broken");
    dump("broken.dump", "broken");
    sql("DROP DATABASE broken", "postgres");
    stop_server();
    auto asked = request("prepare");
    asked.backup_name = "broken.dump";
    expect_failure_that_leaves_the_old_data(asked, "RestoreFailed", "has_parent");
    // It has ended for good, but the next restore is not blocked.
    stop_server();
    EXPECT_EQ(run_step("prepare").result.reason, "TakenOver");
    restore_uid_ = "99999999-2222";
    restore();
}

TEST_F(AgentBadInput, AHostileDumpGetsNoRightsFromUs) {
    start_server();
    sql("CREATE DATABASE hostile", "postgres");
    const std::string trace = folder() + "/trace";
    sql("CREATE FUNCTION public.seize() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN "
        "IF current_database() = 'hostile' THEN RETURN true; END IF;"
        "PERFORM set_config('role', 'none', false); COPY (SELECT 1) TO PROGRAM 'touch " +
            trace +
            "'; RETURN true; END $$;"
            "CREATE TABLE bait (a int CHECK (public.seize())); INSERT INTO bait VALUES (1)",
        "hostile");
    dump("hostile.dump", "hostile");
    sql("DROP DATABASE hostile", "postgres");
    stop_server();
    auto asked = request("prepare");
    asked.backup_name = "hostile.dump";
    expect_failure_that_leaves_the_old_data(asked, "RestoreFailed", "COPY");
    EXPECT_FALSE(std::filesystem::exists(trace));
}

TEST_F(AgentBadInput, AVolumeThatIsTooSmallIsRefusedBeforeAndSurvivedAfterTheStop) {
    const std::string volume = folder() + "/volume";
    std::filesystem::create_directories(volume);
    ASSERT_EQ(::mount("tmpfs", volume.c_str(), "tmpfs", 0, "size=210m,mode=0755"), 0)
        << "these tests need root";
    std::filesystem::copy(data_directory(), volume + "/data", std::filesystem::copy_options::recursive);
    ASSERT_EQ(run_as_postgres({"true"}).exit_code, 0);
    std::filesystem::remove_all(data_directory());
    std::filesystem::create_directory_symlink(volume + "/data", data_directory());
    base::ProcessSpec give;
    give.arguments = {"chown", "-R", "postgres:postgres", volume};
    ASSERT_TRUE(base::run_process(give)->ok());
    std::filesystem::permissions(volume + "/data", std::filesystem::perms::owner_all);
    start_server();
    sql("CREATE DATABASE big", "postgres");
    sql("CREATE TABLE filler AS SELECT repeat(md5(i::text), 50) AS t FROM generate_series(1, 30000) AS i",
        "big");
    dump("big.dump", "big");
    sql("DROP DATABASE big", "postgres");
    expect_refused(preflight("big.dump"), "InsufficientSpace", "free");
    stop_server();
    auto asked = request("prepare");
    asked.backup_name = "big.dump";
    expect_failure_that_leaves_the_old_data(asked, "InsufficientSpace", "volume");
    kill_server();
    EXPECT_EQ(::umount2(volume.c_str(), MNT_DETACH), 0);
}

TEST_F(AgentBadInput, ADataDirectoryThatIsWrittenIsLeftAlone) {
    start_server({"-c", "checkpoint_timeout=30"});
    // A running server that happens to checkpoint: pg_control changes between the two reads.
    const pid_t agent = launch(request("prepare"));
    const bool locked =
        wait_for([&] { return std::filesystem::exists(data_directory() + "/.dbrestore/ballast"); });
    for (int i = 0; i < 30 && locked; ++i)
        sql("CHECKPOINT; SELECT pg_switch_wal(); SELECT pg_sleep(0.1)", "postgres");
    wait_for([&] { return std::filesystem::exists(folder() + "/tmp/termination"); });
    const auto said = base::read_file(folder() + "/tmp/termination");
    kill_agent(agent);
    EXPECT_NE((said ? *said : "").find("DatabaseStillRunning"), std::string::npos)
        << (said ? *said : "nothing was said");
    EXPECT_EQ(sql("SELECT count(*) FROM shop.orders"), "300");
}

TEST_F(AgentBadInput, ADataDirectoryOnWhichAnIdleServerRunsIsLeftAlone) {
    start_server();
    const AgentRun prepared = run(request("prepare"));
    EXPECT_EQ(prepared.result.reason, "DatabaseStillRunning") << to_text(prepared);
    EXPECT_FALSE(std::filesystem::exists(data_directory() + "/.dbrestore/tree"));
    EXPECT_EQ(sql("SELECT count(*) FROM shop.orders"), "300");
}

}  // namespace
}  // namespace dbrestore::tests
