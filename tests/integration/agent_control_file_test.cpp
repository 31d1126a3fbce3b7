// Restores to a point in time of a server whose pg_control cannot be read any more, which no server starts
// on.
#include <filesystem>
#include <fstream>

#include "base/files.h"
#include "integration/point_in_time_fixture.h"

namespace dbrestore::tests {
namespace {

namespace fs = std::filesystem;

class AgentControlFile : public PointInTimeTest {
protected:
    std::string control_file() const { return data_directory() + "/global/pg_control"; }

    void spoil(const std::string& content) { std::ofstream(control_file(), std::ios::trunc) << content; }

    std::string content() const {
        const auto bytes = base::read_file(control_file());
        return bytes ? *bytes : bytes.error().message;
    }

    void expect_taken_on_trust(const resources::PointInTime& target) {
        const AgentRun checked = run_for("preflight", target);
        ASSERT_TRUE(checked.is_done()) << to_text(checked);
        const auto* finding = checked.finding("ControlFileUnreadable");
        ASSERT_NE(finding, nullptr);
        EXPECT_EQ(finding->outcome, resources::PreflightFinding::Outcome::warning);
        EXPECT_NE(finding->message.find("system identifier "), std::string::npos) << finding->message;
    }
};

TEST_F(AgentControlFile, APointInTimeIsRestoredWhereItIsSpoiled) {
    write_rows(20);
    const std::string first = committed_at(10);
    stop_server();
    spoil("");
    expect_taken_on_trust(at_time(first));
    restore_to(at_time(first), "a-1");
    start_server();
    EXPECT_EQ(last_row(), 10);
    write_rows(10);
    const std::string second = committed_at(15);
    stop_server();
    // On a timeline that has a history, which is looked for without pg_control.
    std::string noise(8192, 'x');
    spoil(noise);
    expect_taken_on_trust(at_time(second));
    restore_to(at_time(second), "a-2");
    start_server();
    EXPECT_EQ(last_row(), 15);
    EXPECT_EQ(timeline(), 3);
    EXPECT_EQ(committed_at(15), second);
}

TEST_F(AgentControlFile, LatestReachesTheEndOfTheFilesOwnWalWhereItIsGone) {
    write_rows(10);
    kill_server();
    fs::remove(control_file());
    resources::PointInTime latest;
    latest.latest = true;
    expect_taken_on_trust(latest);
    restore_to(latest);
    start_server();
    EXPECT_EQ(last_row(), 10);
}

TEST_F(AgentControlFile, TheSpoiledFilesComeBackAsTheyWere) {
    write_rows(20);
    const std::string time = committed_at(10);
    stop_server();
    spoil("spoiled");
    for (const bool served : {false, true}) {
        restore_to(at_time(time, 1), served ? "a-2" : "a-1");
        EXPECT_NE(content(), "spoiled");
        if (served) {
            start_server();
            archive_all();
            stop_server();
        }
        const AgentRun undone = run_for("rollback", at_time(time, 1));
        ASSERT_TRUE(undone.is_done()) << to_text(undone);
        EXPECT_EQ(content(), "spoiled");
        EXPECT_FALSE(keeps_files(restore_uid_));
    }
    restore_to(at_time(time, 1), "a-3");
    start_server();
    EXPECT_EQ(last_row(), 10);
    EXPECT_EQ(timeline(), 3) << "above the one that was archived";
}

TEST_F(AgentControlFile, AnUndoBringsBackWhatIsKeptWhereTodaysIsSpoiled) {
    write_rows(20);
    const std::string time = committed_at(10);
    restore_running_to(at_time(time), "a-1");
    archive_all();
    stop_server();
    spoil("spoiled");
    undo("a-1", "a-2");
    start_server();
    EXPECT_EQ(last_row(), 20);
    EXPECT_EQ(timeline(), 3);
    stop_server();
    // What this one keeps is no server any more.
    restore_uid_ = "a-3";
    EXPECT_NE(run_undo("preflight", "a-2").finding("ControlFileUnreadable"), nullptr);
}

// It works on the old files, and needs a server on them.
TEST_F(AgentControlFile, ADumpIsNotRestoredWhereItIsSpoiled) {
    stop_server();
    spoil("spoiled");
    EXPECT_EQ(run_step("prepare").result.reason, "ControlFileUnreadable");
    EXPECT_EQ(content(), "spoiled");
}

}  // namespace
}  // namespace dbrestore::tests
