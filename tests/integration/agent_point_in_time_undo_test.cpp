// Undo of a restore to a point in time: the files that it keeps come back.
#include <filesystem>

#include "integration/point_in_time_fixture.h"

namespace dbrestore::tests {
namespace {

namespace fs = std::filesystem;

class AgentPointInTimeUndo : public PointInTimeTest {};

TEST_F(AgentPointInTimeUndo, IsUndoneAndRedoneWithAllRowsOfTheTimelinesThatWereLeft) {
    write_rows(30);
    const std::string time = committed_at(10);
    restore_running_to(at_time(time), "a-1");
    write_rows(5);
    archive_all();
    stop_server();
    undo("a-1", "a-2");
    EXPECT_FALSE(keeps_files("a-1"));
    EXPECT_TRUE(keeps_files("a-2"));
    start_server();
    EXPECT_EQ(last_row(), 30);
    EXPECT_EQ(timeline(), 3);
    write_rows(5);
    back_up();
    pgbackrest({"expire", "--repo1-retention-full=1"});
    write_rows(5);
    archive_all();
    const std::string newest = committed_at(38);
    undo_running("a-2", "a-3");
    EXPECT_EQ(last_row(), 15) << "redone";
    EXPECT_EQ(timeline(), 4);
    restore_running_to(at_time(newest), "a-4");
    EXPECT_EQ(last_row(), 38) << "of the backup and the timeline that were live then";
    EXPECT_EQ(timeline(), 5);
}

TEST_F(AgentPointInTimeUndo, AnUndoThatIsTakenBackGivesTheKeptFilesBack) {
    write_rows(30);
    const std::string time = committed_at(10), early = committed_at(5);
    restore_running_to(at_time(time), "a-1");
    write_rows(5);
    archive_all();
    stop_server();
    restore_uid_ = "a-2";
    const AgentRun prepared = run_undo("prepare", "a-1");
    ASSERT_TRUE(prepared.is_done()) << to_text(prepared);
    EXPECT_EQ(prepared.result.recovered_to->timeline, 3);
    EXPECT_TRUE(keeps_files("a-2"));
    EXPECT_TRUE(run_undo("rollback", "a-1").is_done());
    EXPECT_TRUE(keeps_files("a-1"));
    EXPECT_FALSE(keeps_files("a-2"));
    start_server();
    EXPECT_EQ(last_row(), 15);
    stop_server();
    // Timeline 3 was begun by files that are kept, and archived by nobody.
    restore_to(at_time(early), "a-3");
    start_server();
    EXPECT_EQ(last_row(), 5);
    EXPECT_EQ(timeline(), 4);
    archive_all();
    undo_running("a-1", "a-4");
    EXPECT_EQ(last_row(), 30);
    EXPECT_EQ(timeline(), 5);
}

TEST_F(AgentPointInTimeUndo, AnUndoThatWasServedIsTakenBackOnATimelineAboveAll) {
    write_rows(20);
    const std::string time = committed_at(10);
    restore_running_to(at_time(time), "a-1");
    write_rows(2);
    archive_all();
    undo_running("a-1", "a-2");
    archive_all();
    stop_server();
    EXPECT_TRUE(run_undo("rollback", "a-1").is_done());
    EXPECT_TRUE(keeps_files("a-1"));
    start_server();
    EXPECT_EQ(last_row(), 12);
    EXPECT_EQ(timeline(), 4);
}

// The second attempt finds the kept files under its own name already. Whatever it had written when it was
// killed, the way back must not take them for a copy.
TEST_F(AgentPointInTimeUndo, KeptFilesOutliveAnUndoThatIsKilledAtItsSecondAttempt) {
    write_rows(20);
    const std::string time = committed_at(10);
    stop_server();
    restore_to(at_time(time), "a-1");
    const std::string conf = folder() + "/repository-secret/pgbackrest.conf";
    for (size_t call = 1; call <= 16; ++call) {
        SCOPED_TRACE(call);
        restore_uid_ = "u-" + std::to_string(call);
        attempt_ = 1;
        fs::rename(conf, conf + "-away");
        EXPECT_EQ(run_undo("prepare", "a-1").result.reason, "RepositorySecretMissing");
        fs::rename(conf + "-away", conf);
        ASSERT_TRUE(keeps_files(restore_uid_));
        attempt_ = 2;
        const TracedEnd end = run_traced(traced(request_to_undo("prepare", "a-1")), Fault::kill, call);
        EXPECT_EQ(end.signal, SIGKILL);
        EXPECT_TRUE(run_undo("rollback", "a-1").is_done());
        ASSERT_TRUE(keeps_files("a-1")) << "at " << end.calls_of(Fault::kill)[call - 1];
    }
    undo("a-1", "a-2");
    start_server();
    EXPECT_EQ(last_row(), 20);
}

TEST_F(AgentPointInTimeUndo, AnUndoOfWhatIsNotKeptIsRefusedBeforeAnythingIsStopped) {
    restore_uid_ = "a-2";
    for (const auto& [uid, reason] : std::vector<std::pair<std::string, std::string>>{
             {"a-1", "PreviousDataGone"}, {"../tree", "BadRequest"}, {"", "BadRequest"}}) {
        const AgentRun checked = run_undo("preflight", uid);
        EXPECT_NE(checked.finding(reason), nullptr) << to_text(checked);
        EXPECT_FALSE(checked.is_done());
    }
    stop_server();
    const AgentRun prepared = run_undo("prepare", "a-1");
    EXPECT_EQ(prepared.result.reason, "PreviousDataGone") << to_text(prepared);
    EXPECT_TRUE(run_undo("rollback", "a-1").is_done());
    start_server();
    EXPECT_EQ(timeline(), 1);
}

}  // namespace
}  // namespace dbrestore::tests
