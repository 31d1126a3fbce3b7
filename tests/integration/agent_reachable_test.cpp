// What can be reached from a repository, as its listing tells it, by a real pgBackRest and pg_waldump.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "agent/volume/journal.h"
#include "base/clock.h"
#include "base/files.h"
#include "integration/point_in_time_fixture.h"

namespace dbrestore::tests {
namespace {

namespace fs = std::filesystem;
using resources::PointInTime;

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

    static std::vector<int64_t> ids_of(const resources::ReachablePoints& points) {
        std::vector<int64_t> ids;
        for (const auto& span : points.timelines) ids.push_back(span.id);
        return ids;
    }

    // As docs/point-in-time.md has it.
    static void print(const resources::ReachablePoints& points) {
        for (const auto& span : points.timelines) {
            std::cout << "| " << span.id << " | " << span.parent << " | " << span.fork_lsn << " | "
                      << span.live_from << " | " << span.live_to << " |\n";
        }
        std::cout << points.earliest << " to " << points.latest << "\n";
    }
};

TEST_F(AgentReachable, TheLatestPointIsTheLastCommitThatWasArchivedHoweverItIsPacked) {
    const std::string path = folder() + "/repository-secret/pgbackrest.conf";
    const std::string configuration = *base::read_file(path);
    for (const char* packed : {"none", "gz", "zst", "lz4"}) {
        std::ofstream(path) << configuration << "[global:archive-push]\ncompress-type=" << packed << "\n";
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
    EXPECT_LE(*base::parse_time(earliest), *base::parse_time(committed_at(1))) << "the end of the backup";
    EXPECT_TRUE(points().timelines[0].live_to.empty()) << "it is live";
    restore_running_to(at_time(target));
    archive_all();
    EXPECT_GE(points().latest, target) << "also where nothing was committed since";
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
    EXPECT_GT(found.timelines[1].live_from, end_of_first);
    EXPECT_LE(found.timelines[1].live_from, begin) << "the agent's own transactions count";
    EXPECT_EQ(found.timelines[1].live_to, "");
}

// The life of a server in docs/point-in-time.md, which shows what it prints.
TEST_F(AgentReachable, PointsStayReachableThroughRestoresUndoBackupAndExpire) {
    write_rows(30);
    const std::string first = committed_at(10), before_first = committed_at(5);
    const auto restored = [&](const std::string& time, const std::string& uid, int64_t row) {
        restore_running_to(at_time(time), uid);
        EXPECT_EQ(last_row(), row) << uid;
        archive_all();
        return last_row() == row;
    };
    ASSERT_TRUE(restored(first, "a-1", 10));
    write_rows(20);
    const std::string later = committed_at(25);
    ASSERT_TRUE(restored(later, "a-2", 25)) << "later, on the timeline that the first began";
    write_rows(5);
    ASSERT_TRUE(restored(before_first, "a-3", 5)) << "before the first";
    write_rows(2);
    archive_all();
    undo_running("a-3", "a-4");
    EXPECT_EQ(last_row(), 30) << "25 and the five since";
    const std::string undone = committed_at(30);
    archive_all();
    const auto all = points();
    EXPECT_EQ(ids_of(all), (std::vector<int64_t>{1, 2, 3, 4, 5}));
    EXPECT_EQ(all.timelines.back().id, timeline());
    for (size_t i = 1; i < all.timelines.size(); ++i) {
        const auto &before = all.timelines[i - 1], &span = all.timelines[i];
        if (span.id != 5) EXPECT_LT(before.live_to, span.live_from) << "each is live once: " << span.id;
    }
    EXPECT_GE(all.latest, undone) << "nothing was committed since the Undo";
    print(all);
    back_up();
    pgbackrest({"expire", "--repo1-retention-full=1"});
    write_rows(10);
    const std::string newest = committed_at(38);
    archive_all();
    const auto left = points();
    EXPECT_EQ(ids_of(left), std::vector<int64_t>{5});
    EXPECT_GT(*base::parse_time(left.earliest), *base::parse_time(undone)) << "the older backup is gone";
    stop_server();
    const std::string why = refusal(at_time(later));
    EXPECT_TRUE(why.starts_with("TimelineNotFound: ")) << why;
    start_server();
    ASSERT_TRUE(restored(newest, "a-5", 38));
    EXPECT_EQ(timeline(), 6);
}

TEST_F(AgentReachable, ATimeAtWhichTheServerStoodStillIsTheEndOfWhatWasThere) {
    write_rows(20);
    const std::string target = committed_at(10);
    stop_server();
    const std::string gap = base::format_time_micro(base::SystemClock{}.now());
    restore_to(at_time(target), "a-1");
    start_server();
    write_rows(5);
    archive_all();
    stop_server();
    const AgentRun looked = run_for("preflight", at_time(gap));
    EXPECT_TRUE(std::ranges::any_of(looked.result.findings, [](const auto& finding) {
        return finding.message.find("the server stood still at that time") != std::string::npos;
    })) << to_text(looked);
    restore_to(at_time(gap), "a-2");
    start_server();
    EXPECT_EQ(last_row(), 20);
    EXPECT_EQ(timeline(), 3);
}

TEST_F(AgentReachable, OfAServerThatDoesNotRunATimeAfterItsLastTransactionIsRefusedWithBothBounds) {
    const std::string last = committed_at(write_rows(5)), earlier = committed_at(3);
    kill_server();
    const std::string now = base::format_time_micro(base::SystemClock{}.now());
    const AgentRun refused = run_for("preflight", at_time(now));
    EXPECT_EQ(refused.result.reason, "TargetTooLate") << to_text(refused);
    EXPECT_NE(refused.result.message.find("earlier than " + last), std::string::npos)
        << refused.result.message;
    EXPECT_NE(refused.result.message.find("not earlier than " + points().earliest), std::string::npos)
        << refused.result.message;
    PointInTime latest;
    latest.latest = true;
    for (const auto& target : {at_time(earlier), latest}) {
        const AgentRun taken = run_for("preflight", target);
        EXPECT_TRUE(taken.is_done()) << to_text(taken);
    }
    const AgentRun explicit_one = run_for("preflight", at_time(now, 1));
    EXPECT_EQ(explicit_one.result.reason, "TargetTooLate") << to_text(explicit_one);
}

TEST_F(AgentReachable, ATimeThatTwoTimelinesClaimMustSayWhichOne) {
    write_rows(5);
    const std::string target = committed_at(3);
    restore_running_to(at_time(target), "a-1");
    write_rows(2);
    archive_all();
    // As if the clock had been set back before the restore.
    auto ledger = agent::WorkFolder(data_directory()).timelines();
    ASSERT_TRUE(ledger && ledger->size() == 1);
    ledger->front().live_from = target;
    ASSERT_TRUE(agent::WorkFolder(data_directory()).save_timelines(*ledger));
    fs::permissions(data_directory() + "/.dbrestore/timelines.json", fs::perms::others_read,
                    fs::perm_options::add);
    const AgentRun refused = run_for("preflight", at_time(target));
    EXPECT_EQ(refused.result.reason, "TimelineAmbiguous") << to_text(refused);
    EXPECT_TRUE(run_for("preflight", at_time(target, 1)).is_done());
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
