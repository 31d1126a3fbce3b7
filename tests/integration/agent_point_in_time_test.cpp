// Restores of a whole server to a point in time, by a real pgBackRest.
#include <algorithm>
#include <filesystem>
#include <fstream>

#include "agent/timelines.h"
#include "integration/point_in_time_fixture.h"

namespace dbrestore::tests {
namespace {

namespace fs = std::filesystem;
using resources::PointInTime;

class AgentPointInTime : public PointInTimeTest {};

TEST_F(AgentPointInTime, TheLastRowAtTheTimeIsThereAndTheNextIsNot) {
    write_rows(60);
    const std::string time = committed_at(40), next = committed_at(41);
    ASSERT_LT(time, next);
    restore_running_to(at_time(time), "a-1");
    EXPECT_EQ(last_row(), 40);
    EXPECT_EQ(sql("SELECT count(*) FROM rows"), "40") << "and all before it";
    EXPECT_EQ(timeline(), 2);
    stop_server();
    // The same once more, up to the row and without it; what came after the first restore is another life.
    auto exclusive = at_time(time);
    exclusive.exclusive = true;
    restore_to(exclusive, "a-2");
    start_server();
    EXPECT_EQ(last_row(), 39);
}

TEST_F(AgentPointInTime, TellsWhatItHasReached) {
    write_rows(20);
    const std::string time = committed_at(15);
    stop_server();
    const AgentRun prepared = run_for("prepare", at_time(time));
    ASSERT_TRUE(prepared.is_done()) << to_text(prepared);
    ASSERT_TRUE(prepared.result.recovered_to);
    EXPECT_EQ(prepared.result.recovered_to->time, time) << "the last transaction that is there";
    EXPECT_EQ(prepared.result.recovered_to->timeline, 2);
    EXPECT_TRUE(agent::lsn_from_text(prepared.result.recovered_to->lsn));
    attempt_ = 2;
    const AgentRun again = run_for("prepare", at_time(time));
    EXPECT_EQ(again.result.recovered_to, prepared.result.recovered_to) << to_text(again);
    EXPECT_EQ(run_for("commit", at_time(time)).result.recovered_to, prepared.result.recovered_to);
    for (const auto& progress : prepared.progress) EXPECT_LE(progress.percent, 100);
}

TEST_F(AgentPointInTime, ShowsItsProgressWhileItReplays) {
    sql("CREATE TABLE filler (text text)");
    // In each segment something is committed.
    sql("DO $$ BEGIN FOR i IN 1..300 LOOP INSERT INTO filler SELECT repeat('x', 1000) FROM "
        "generate_series(1, 500); COMMIT; END LOOP; END $$");
    write_rows(2);
    archive_all();
    const std::string time = committed_at(1);
    stop_server();
    const AgentRun prepared = run_for("prepare", at_time(time));
    ASSERT_TRUE(prepared.is_done()) << to_text(prepared);
    std::string told;
    for (const auto& progress : prepared.progress)
        told += std::to_string(progress.percent) + " " + progress.summary + "\n";
    EXPECT_TRUE(std::ranges::any_of(prepared.progress, [&](const auto& progress) {
        return progress.summary.starts_with("replaying WAL: at 0/") && progress.percent > 70 &&
               progress.summary.ends_with("Z, up to " + time);
    })) << told;
}

TEST_F(AgentPointInTime, APageThatItsChecksumRefusesIsNeverServed) {
    write_rows(20);
    const std::string time = committed_at(15), file = sql("SELECT pg_relation_filepath('rows')");
    stop_server();
    ASSERT_TRUE(run_for("prepare", at_time(time)).is_done());
    const std::string copy = data_directory() + "/.dbrestore/beside-" + restore_uid_;
    {
        std::fstream page(copy + "/" + file, std::ios::in | std::ios::out | std::ios::binary);
        page.seekp(8000);
        page << "another row";
        ASSERT_TRUE(page) << file;
    }
    const AgentRun verified = run_for("verify", at_time(time));
    EXPECT_EQ(verified.result.reason, "ChecksumMismatch") << to_text(verified);
    EXPECT_NE(verified.result.message.find(file), std::string::npos) << verified.result.message;
    ASSERT_TRUE(run_for("rollback", at_time(time)).is_done());
    start_server();
    EXPECT_EQ(last_row(), 20);
}

TEST_F(AgentPointInTime, NothingIsArchivedFromTheCopyBeforeItsCommitAndNothingIsMissingAfterwards) {
    write_rows(30);
    const std::string time = committed_at(20);
    stop_server();
    const auto before = archived(1);
    for (const char* step : {"prepare", "verify"}) {
        const AgentRun ran = run_for(step, at_time(time));
        ASSERT_TRUE(ran.is_done()) << step << ": " << to_text(ran);
        EXPECT_EQ(archived(2), std::set<std::string>{}) << step;
        EXPECT_EQ(archived(1), before) << step;
    }
    ASSERT_TRUE(run_for("commit", at_time(time)).is_done());
    EXPECT_EQ(archived(2), std::set<std::string>{});
    start_server();
    write_rows(5);
    archive_all();
    EXPECT_TRUE(archived(2).contains("00000002.history"));
    // That nothing is missing is shown by what can be restored from it.
    const std::string later = committed_at(23);
    restore_running_to(at_time(later), "a-2");
    EXPECT_EQ(last_row(), 23);
    EXPECT_EQ(timeline(), 3);
}

TEST_F(AgentPointInTime, BeforeTheCommitTheOldFilesAreUntouchedAndARollbackLeavesNothing) {
    write_rows(30);
    const std::string time = committed_at(10);
    stop_server();
    ASSERT_TRUE(run_for("prepare", at_time(time)).is_done());
    start_server();
    EXPECT_EQ(last_row(), 30) << "the old data may even be served while the copy is there";
    stop_server();
    const AgentRun undone = run_for("rollback", at_time(time));
    ASSERT_TRUE(undone.is_done()) << to_text(undone);
    EXPECT_FALSE(fs::exists(data_directory() + "/.dbrestore/beside-" + restore_uid_));
    EXPECT_FALSE(fs::exists(data_directory() + "/.dbrestore/ballast"));
    start_server();
    EXPECT_EQ(last_row(), 30);
    EXPECT_EQ(timeline(), 1);
    const AgentRun late = run_for("prepare", at_time(time));
    EXPECT_EQ(late.result.reason, "TakenOver") << to_text(late);
}

TEST_F(AgentPointInTime, ACommitThatNobodyWasServedIsTakenBackOnTheOldTimeline) {
    write_rows(30);
    const std::string time = committed_at(10);
    stop_server();
    restore_to(at_time(time));
    const AgentRun undone = run_for("rollback", at_time(time));
    ASSERT_TRUE(undone.is_done()) << to_text(undone);
    start_server();
    EXPECT_EQ(last_row(), 30);
    EXPECT_EQ(timeline(), 1);
    EXPECT_FALSE(fs::exists(data_directory() + "/.dbrestore/beside-" + restore_uid_));
    restore_running_to(at_time(time), "a-2");
    EXPECT_EQ(last_row(), 10);
}

TEST_F(AgentPointInTime, AfterAServerRanOnTheCopyTheOldFilesComeBackOnATimelineAboveAll) {
    write_rows(30);
    const std::string time = committed_at(10), later = committed_at(25);
    restore_running_to(at_time(time));
    write_rows(2);
    archive_all();
    stop_server();
    const AgentRun undone = run_for("rollback", at_time(time));
    ASSERT_TRUE(undone.is_done()) << to_text(undone);
    start_server();
    EXPECT_EQ(last_row(), 30);
    EXPECT_EQ(timeline(), 3);
    const int64_t last = write_rows(5);
    archive_all();
    const std::string newest = committed_at(last - 1);
    stop_server();
    // What expires is chosen by the names of WAL: nothing that is needed may go.
    start_server();
    back_up();
    pgbackrest({"expire", "--repo1-retention-full=1"});
    EXPECT_TRUE(archived(3).contains("00000003.history"));
    write_rows(3);
    const std::string after = committed_at(last + 2);
    restore_running_to(at_time(after), "a-2");
    EXPECT_EQ(last_row(), last + 2);
    EXPECT_EQ(timeline(), 4);
    EXPECT_LT(later, newest);
}

TEST_F(AgentPointInTime, ThePasswordIsThatOfThenUnlessTheSecretsIsWanted) {
    write_rows(5);
    const std::string time = committed_at(4);
    sql("ALTER ROLE app PASSWORD 'of today'");
    const std::string secret = folder() + "/secret/password", user = folder() + "/secret/username";
    std::ofstream(user, std::ios::trunc) << "app";
    std::ofstream(secret, std::ios::trunc) << "of today";
    restore_running_to(at_time(time), "a-1");
    const auto live = [&] {
        auto asked = request_for("verify", at_time(time));
        asked.host = "127.0.0.1";
        asked.timeline = timeline();
        return run(asked);
    };
    AgentRun verified = live();
    ASSERT_TRUE(verified.is_done()) << to_text(verified);
    EXPECT_EQ(verified.result.credentials_match, false);
    EXPECT_NE(verified.result.message.find("the passwords of then"), std::string::npos);
    EXPECT_EQ(verified.result.message.find("of today"), std::string::npos);
    stop_server();
    auto reset = at_time(time);
    reset.reset_password = true;
    restore_to(reset, "a-2");
    start_server();
    verified = live();
    ASSERT_TRUE(verified.is_done()) << to_text(verified);
    EXPECT_EQ(verified.result.credentials_match, true);
    EXPECT_EQ(sql("SELECT rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolname = 'app'"), "t");

    auto elsewhere = request_for("verify", reset);
    elsewhere.host = "127.0.0.1";
    elsewhere.timeline = 9;
    EXPECT_EQ(run(elsewhere).result.reason, "NotTheRestoredDatabase");
}

TEST_F(AgentPointInTime, PointsBeforeBetweenAndAfterEarlierRestoresStayReachableByTheirTimeAlone) {
    write_rows(30);
    const std::string first = committed_at(10), abandoned = committed_at(20);
    restore_running_to(at_time(first), "a-1");
    write_rows(20);  // 11 to 30, once more
    const std::string between = committed_at(25);
    restore_running_to(at_time(abandoned), "a-2");
    EXPECT_EQ(last_row(), 20) << "a time before the first restore";
    EXPECT_EQ(committed_at(20), abandoned);
    EXPECT_EQ(timeline(), 3);
    restore_running_to(at_time(between), "a-3");
    EXPECT_EQ(last_row(), 25);
    EXPECT_EQ(committed_at(25), between);
    EXPECT_EQ(committed_at(10), first);
    EXPECT_EQ(timeline(), 4);
    restore_running_to(at_time(first), "a-4");
    EXPECT_EQ(last_row(), 10);
    EXPECT_EQ(timeline(), 5);
}

TEST_F(AgentPointInTime, LatestAlsoHoldsWhatAKilledServerCouldNotArchive) {
    write_rows(10);
    kill_server();
    PointInTime latest;
    latest.latest = true;
    restore_to(latest);
    start_server();
    EXPECT_EQ(last_row(), 10);
    EXPECT_EQ(timeline(), 2);
}

TEST_F(AgentPointInTime, EveryKindOfTargetIsReached) {
    write_rows(5);
    PointInTime lsn, xid, name, immediate;
    lsn.lsn = sql("SELECT pg_current_wal_lsn()");
    write_rows(2);
    xid.xid = sql("SELECT xmin FROM rows WHERE number = 7");
    write_rows(3);
    name.name = "before the damage: it's \"here\"";
    sql("SELECT pg_create_restore_point('before the damage: it''s \"here\"')");
    write_rows(5);
    immediate.immediate = true;
    stop_server();
    const std::vector<std::pair<PointInTime, int64_t>> cases{{lsn, 5}, {xid, 7}, {name, 10}, {immediate, 0}};
    for (auto [target, row] : cases) {
        target.timeline = 1;
        restore_to(target, "a-" + std::to_string(row));
        start_server();
        EXPECT_EQ(last_row(), row) << to_json(target).dump();
        stop_server();
    }
}

TEST_F(AgentPointInTime, WhatCannotBeReachedIsRefusedAndTheOldDataStays) {
    write_rows(10);
    PointInTime name, lsn;
    name.name = "nobody made it";
    lsn.lsn = "0/100";
    const std::string format = ", 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
    const std::string last = sql("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC'" + format);
    const std::string ahead = sql("SELECT to_char(now() AT TIME ZONE 'UTC' + interval '1 hour'" + format);
    stop_server();
    EXPECT_EQ(refusal(at_time(last)),
              "TargetNotReached: the archived WAL of timeline 1 ends before the point in time");
    EXPECT_TRUE(refusal(at_time(ahead)).starts_with("TargetTooLate: "));
    EXPECT_TRUE(refusal(name).starts_with("TargetNotReached: "));
    EXPECT_TRUE(refusal(lsn).starts_with("TargetTooEarly: the point in time must not be earlier than "));
    EXPECT_TRUE(refusal(at_time("2020-01-01T00:00:00Z")).starts_with("TargetTooEarly: "));
    EXPECT_TRUE(refusal(at_time(last, 7)).starts_with("TimelineNotFound: "));
    EXPECT_TRUE(refusal(at_time("yesterday")).starts_with("BadTarget: "));
    start_server();
    EXPECT_EQ(last_row(), 10);
    EXPECT_EQ(timeline(), 1);
}

TEST_F(AgentPointInTime, ATimeAfterTheLastCommitIsReachedWhereTheServerCouldBeAskedBeforeItsStop) {
    write_rows(10);
    const std::string now =
        sql("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')");
    auto quiesce = request_for("quiesce", at_time(now));
    quiesce.host = "127.0.0.1";
    EXPECT_TRUE(run(quiesce).is_done());
    restore_running_to(at_time(now));
    EXPECT_EQ(last_row(), 10);
    EXPECT_EQ(timeline(), 2);
}

TEST_F(AgentPointInTime, ARepositoryThatIsNotThisServersOrCannotBeReadIsRefused) {
    write_rows(3);
    const std::string time = committed_at(2), conf = folder() + "/repository-secret/pgbackrest.conf";
    stop_server();
    std::ofstream(conf, std::ios::app) << "[global:restore]\nlink-all=y\n";
    EXPECT_EQ(refusal(at_time(time)), "RepositoryRefused: pgbackrest.conf must not set `link-all`");
    fs::rename(repository(), repository() + "-away");
    std::ofstream(conf) << "[global]\nrepo1-path=" << repository() << "\n";
    EXPECT_TRUE(refusal(at_time(time)).starts_with("StanzaNotFound: "));
    fs::rename(repository() + "-away", repository());
    fs::remove(conf);
    EXPECT_TRUE(refusal(at_time(time)).starts_with("RepositorySecretMissing: "));
    start_server();
    EXPECT_EQ(last_row(), 3);
}

TEST_F(AgentPointInTime, AGapInTheArchiveIsNeverTakenForTheEnd) {
    write_rows(2);
    archive_all();
    write_rows(3);
    archive_all();
    const std::string gap = *archived(1).rbegin();
    write_rows(5);
    archive_all();
    const std::string time = committed_at(9), before = committed_at(1), last = committed_at(2);
    stop_server();
    fs::remove_all(data_directory() + "/pg_wal/archive_status");
    for (const auto& entry : fs::directory_iterator(data_directory() + "/pg_wal")) {
        if (gap.starts_with(entry.path().filename().string())) fs::remove(entry.path());
    }
    for (const auto& entry : fs::recursive_directory_iterator(repository() + "/archive")) {
        if (entry.path().filename() == gap) fs::remove(entry.path());
    }
    const AgentRun looked = run_for("preflight", at_time(time));
    EXPECT_EQ(looked.result.reason, "WalGap") << gap << to_text(looked);
    EXPECT_NE(looked.result.message.find("must be earlier than " + last), std::string::npos)
        << looked.result.message;
    EXPECT_TRUE(run_for("preflight", at_time(before)).is_done()) << "what lies before it is reached";
    EXPECT_TRUE(refusal(at_time(time)).starts_with("TargetNotReached: ")) << gap;
    PointInTime latest;
    latest.latest = true;
    EXPECT_TRUE(refusal(latest).starts_with("TargetNotReached: WAL is missing: ")) << gap;
}

TEST_F(AgentPointInTime, ConfigurationIsTodaysAndTheBackupsOwnWorkFolderIsLeftOut) {
    ASSERT_TRUE(run_step("rollback").is_done());
    restore_uid_ = "later";
    back_up();
    sql("ALTER SYSTEM SET work_mem = '7MB'");
    std::ofstream(data_directory() + "/pg_hba.conf", std::ios::app) << "# today's\n";
    write_rows(3);
    const std::string time = committed_at(2);
    stop_server();
    const AgentRun prepared = run_for("prepare", at_time(time));
    ASSERT_TRUE(prepared.is_done()) << to_text(prepared);
    const std::string copy = data_directory() + "/.dbrestore/beside-" + restore_uid_;
    EXPECT_FALSE(fs::exists(copy + "/.dbrestore"));
    ASSERT_TRUE(run_for("commit", at_time(time)).is_done());
    start_server();
    EXPECT_EQ(sql("SHOW work_mem"), "7MB");
    std::ifstream rules(data_directory() + "/pg_hba.conf");
    const std::string text{std::istreambuf_iterator<char>(rules), {}};
    EXPECT_NE(text.find("# today's"), std::string::npos);
}

// As in layouts whose entrypoint writes the configuration to a place that only the database's own pod has.
TEST_F(AgentPointInTime, AConfigurationThatLiesElsewhereIsHonouredAsFarAsThePodTellsIt) {
    stop_server();
    for (const char* name : {"/postgresql.conf", "/pg_hba.conf", "/pg_ident.conf"})
        fs::rename(data_directory() + name, folder() + name);
    const std::vector<std::string> configuration{"--config-file=" + folder() + "/postgresql.conf",
                                                 "--hba-file=" + folder() + "/pg_hba.conf",
                                                 "--ident-file=" + folder() + "/pg_ident.conf"};
    start_server(configuration);
    back_up();
    write_rows(4);
    const std::string time = committed_at(3);
    stop_server();
    const auto run_there = [&](const std::string& step) {
        auto asked = request_for(step, at_time(time));
        asked.server_arguments = {"--config-file=/opt/nowhere/postgresql.conf", "-c",
                                  "shared_preload_libraries=pg_stat_statements"};
        return run(asked);
    };
    const AgentRun prepared = run_there("prepare");
    ASSERT_TRUE(prepared.is_done()) << to_text(prepared);
    const std::string copy = data_directory() + "/.dbrestore/beside-" + restore_uid_;
    EXPECT_TRUE(fs::exists(copy + "/pg_stat/pg_stat_statements.stat"))
        << "which the library writes at the end";
    for (const char* step : {"verify", "commit"}) {
        const AgentRun ran = run_there(step);
        ASSERT_TRUE(ran.is_done()) << step << ": " << to_text(ran);
    }
    EXPECT_FALSE(fs::exists(data_directory() + "/postgresql.conf"));
    start_server(configuration);
    EXPECT_EQ(last_row(), 3);
    archive_all();
}

TEST_F(AgentPointInTime, CleanupRemovesTheOldFilesOfWhatWasCommittedAndNothingElse) {
    write_rows(10);
    const std::string time = committed_at(5);
    stop_server();
    EXPECT_TRUE(run_for("cleanup", at_time(time)).is_done()) << "a restore that was taken back keeps nothing";
    ASSERT_TRUE(run_for("prepare", at_time(time)).is_done());
    EXPECT_EQ(run_for("cleanup", at_time(time)).result.reason, "NotOurs") << "a copy is not yet old";
    ASSERT_TRUE(run_for("commit", at_time(time)).is_done());
    const std::string beside = data_directory() + "/.dbrestore/beside-" + restore_uid_;
    EXPECT_TRUE(fs::exists(beside + "/PG_VERSION"));
    start_server();
    for (int i = 0; i < 2; ++i) {
        const AgentRun cleaned = run_for("cleanup", at_time(time));
        EXPECT_TRUE(cleaned.is_done()) << to_text(cleaned);
    }
    EXPECT_FALSE(fs::exists(beside));
    EXPECT_EQ(last_row(), 5);
}

TEST_F(AgentPointInTime, PreflightTellsBeforeAnythingIsStoppedWhetherItCanBeDone) {
    write_rows(5);
    auto asked = request_for("preflight", at_time(committed_at(3)));
    asked.host = "127.0.0.1";
    const AgentRun good = run(asked);
    EXPECT_TRUE(good.is_done()) << to_text(good);
    for (const char* check : {"DataDirectory", "TargetCovered", "ServerReachable", "SpaceSuffices"})
        EXPECT_NE(good.finding(check), nullptr) << check;
    EXPECT_GT(good.result.bytes, 10 << 20);
    EXPECT_FALSE(good.result.what_is_lost.empty());
    asked.point_in_time = at_time("2020-01-01T00:00:00Z");
    EXPECT_NE(run(asked).finding("TargetTooEarly"), nullptr);
    stop_server();
    const AgentRun unreachable = run(asked);
    ASSERT_NE(unreachable.finding("ServerUnreachable"), nullptr);
    EXPECT_EQ(unreachable.result.reason, "TargetTooEarly") << "a server that is down is no reason against it";
    fs::remove(folder() + "/repository-secret/pgbackrest.conf");
    EXPECT_EQ(run(asked).result.waiting_for, std::vector<std::string>{"RepositorySecretMissing"});
}

}  // namespace
}  // namespace dbrestore::tests
