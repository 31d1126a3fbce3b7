// What a restore to a point in time does where things around it are not as they were when it was checked.
#include <fstream>

#include "integration/point_in_time_fixture.h"

namespace dbrestore::tests {
namespace {

class AgentPointInTimeDisturbed : public PointInTimeTest {};

TEST_F(AgentPointInTimeDisturbed, ARepositoryThatStaysAwayIsAskedTwiceOnly) {
    write_rows(3);
    const std::string time = committed_at(2);
    stop_server();
    std::ofstream(folder() + "/repository-secret/pgbackrest.conf")
        << "[global]\nrepo1-type=s3\nrepo1-path=/r\nrepo1-s3-endpoint=https://127.0.0.1:9\n"
        << "repo1-s3-bucket=b\nrepo1-s3-region=r\nrepo1-s3-key=k\nrepo1-s3-key-secret=s\n"
        << "repo1-s3-uri-style=path\nio-timeout=1\n";
    auto asked = request_for("prepare", at_time(time));
    const AgentRun first = run(asked);
    EXPECT_EQ(first.result.reason, "RepositoryUnreadable") << to_text(first);
    EXPECT_NE(first.result.message.find("unable to connect"), std::string::npos) << to_text(first);
    EXPECT_EQ(first.result.outcome, resources::AgentResult::Outcome::retryable);
    asked.attempt = 2;
    EXPECT_EQ(run(asked).result.outcome, resources::AgentResult::Outcome::failed);
    EXPECT_TRUE(run_for("rollback", at_time(time)).is_done());
    start_server();
    EXPECT_EQ(last_row(), 3);
}

TEST_F(AgentPointInTimeDisturbed, NothingIsExchangedBelowAServerThatStillRuns) {
    write_rows(10);
    const std::string time = committed_at(5);
    EXPECT_EQ(run_for("prepare", at_time(time)).result.reason, "DatabaseStillRunning");
    stop_server();
    ASSERT_TRUE(run_for("prepare", at_time(time)).is_done());
    start_server();
    const AgentRun committed = run_for("commit", at_time(time));
    EXPECT_EQ(committed.result.reason, "DatabaseStillRunning") << to_text(committed);
    EXPECT_EQ(last_row(), 10);
    stop_server();
    EXPECT_TRUE(run_for("rollback", at_time(time)).is_done());
}

}  // namespace
}  // namespace dbrestore::tests
