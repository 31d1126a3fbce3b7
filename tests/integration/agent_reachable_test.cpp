// What can be reached from a repository, as its listing tells it, by a real pgBackRest and pg_waldump.
#include <filesystem>
#include <fstream>

#include "integration/point_in_time_fixture.h"

namespace dbrestore::tests {
namespace {

namespace fs = std::filesystem;

class AgentReachable : public PointInTimeTest {
protected:
    AgentRun list() {
        auto asked = request("catalog");
        asked.stanza = "shop";
        return run(asked);
    }

    resources::ReachablePoints points() {
        const AgentRun listed = list();
        EXPECT_TRUE(listed.is_done() && listed.result.reachable) << to_text(listed);
        return listed.result.reachable.value_or(resources::ReachablePoints{});
    }
};

TEST_F(AgentReachable, TheLatestPointIsTheLastCommitThatWasArchivedHoweverItIsPacked) {
    for (const char* packed : {"none", "gz", "zst", "lz4"}) {
        std::ofstream(folder() + "/repository-secret/pgbackrest.conf", std::ios::app)
            << "[global:archive-push]\ncompress-type=" << packed << "\n";
        const std::string last = committed_at(write_rows(3));
        archive_all();
        EXPECT_EQ(points().latest, last) << packed;
    }
    const std::string before = points().latest;
    write_rows(2);
    EXPECT_EQ(points().latest, before) << "what is not archived yet may never be";
    archive_all();
    for (int i = 0; i < 3; ++i) {
        sql("SELECT pg_create_restore_point('work without a commit')");
        archive_all();
    }
    EXPECT_EQ(points().latest, committed_at(last_row())) << "further back than the newest segment";
}

TEST_F(AgentReachable, EachTimelineTellsFromWhereItForkedAndWhenItWasLive) {
    write_rows(20);
    const std::string target = committed_at(10);
    archive_all();
    const std::string earliest = points().earliest, end_of_first = committed_at(20);
    EXPECT_LT(earliest, committed_at(1)) << "the end of the backup";
    EXPECT_TRUE(points().timelines[0].live_to.empty()) << "it is live";
    stop_server();
    restore_to(at_time(target));
    start_server();
    archive_all();
    EXPECT_EQ(points().latest, target) << "nothing was committed since";
    const std::string begin = committed_at(write_rows(1)), end = committed_at(write_rows(4));
    archive_all();
    const auto found = points();
    EXPECT_EQ(found.earliest, earliest);
    EXPECT_EQ(found.latest, end);
    ASSERT_EQ(found.timelines.size(), 2u);
    EXPECT_EQ(found.timelines[0], (resources::TimelineSpan{1, 0, "", "", end_of_first}));
    EXPECT_EQ(found.timelines[1].id, 2);
    EXPECT_EQ(found.timelines[1].parent, 1);
    EXPECT_FALSE(found.timelines[1].fork_lsn.empty());
    EXPECT_EQ(found.timelines[1].live_from, begin);
    EXPECT_EQ(found.timelines[1].live_to, "");
}

TEST_F(AgentReachable, ARepositoryThatCannotBeReadOrIsDamagedSaysSo) {
    EXPECT_EQ(list().result.backup_count, 1);
    write_rows(1);
    archive_all();
    const std::string newest = *archived(1).rbegin();
    for (const auto& entry : fs::recursive_directory_iterator(repository() + "/archive")) {
        if (entry.path().filename() == newest) fs::resize_file(entry.path(), 1000);
    }
    EXPECT_TRUE(list().is_done()) << "a segment that makes no sense holds no commit";
    fs::remove_all(repository() + "/backup/shop");
    const AgentRun gone = list();
    EXPECT_EQ(gone.result.reason, "StanzaNotFound") << to_text(gone);
    fs::remove(folder() + "/repository-secret/pgbackrest.conf");
    EXPECT_EQ(list().result.reason, "RepositorySecretMissing");
}

}  // namespace
}  // namespace dbrestore::tests
