// Timelines, and the settings and the proof of a recovery.
#include <gtest/gtest.h>

#include <algorithm>

#include "agent/point_in_time/pgbackrest.h"
#include "agent/server/recovery.h"
#include "agent/server/wal_commits.h"

namespace dbrestore::agent {
namespace {

using resources::PointInTime;

TEST(Timelines, PositionsAreReadAsPostgresqlWritesThem) {
    EXPECT_EQ(lsn_from_text("0/16B3748"), std::optional<uint64_t>(0x16B3748));
    EXPECT_EQ(lsn_from_text("1A/0"), std::optional<uint64_t>(0x1A00000000));
    EXPECT_EQ(lsn_to_text(0x1A016B3748), "1A/16B3748");
    for (const char* text : {"", "/", "0", "0/", "/0", "0/123456789", "0/x", "-1/0", "0/ 1", "0/1/2"})
        EXPECT_FALSE(lsn_from_text(text)) << text;
}

TEST(Timelines, AHistoryTellsTheAncestors) {
    const auto timeline = timeline_from_history(10,
                                                "# a comment\n1\t0/5000000\tbefore 2026-11-22 "
                                                "10:00:00+00\n\n4\t1/6000000\tat restore point \"a b\"\n");
    ASSERT_TRUE(timeline);
    ASSERT_EQ(timeline->forks.size(), 2u);
    EXPECT_EQ(timeline->forks[1].parent, 4);
    EXPECT_EQ(timeline->forks[1].lsn, 0x106000000u);
    EXPECT_EQ(timeline->forks[1].reason, "at restore point \"a b\"");
    EXPECT_EQ(history_file(10), "0000000A.history");
}

TEST(Timelines, AHistoryThatIsNoneIsRefused) {
    for (const char* text : {"", "1", "1\t", "1\t0/5\n1\t0/6\n", "2\t0/5\n1\t0/6\n", "3\t0/5\n", "0\t0/5\n",
                             "-1\t0/5\n", "x\t0/5\n", "1 0/5\n", "1\t0\n"})
        EXPECT_FALSE(timeline_from_history(3, text)) << text;
}

TEST(Timelines, ATimeAloneTellsTheTimeline) {
    const std::vector<LiveTimeline> timelines{{2, 1, "2026-11-22T10:00:00.500000Z"},
                                              {4, 2, "2026-11-22T12:00:00.000000Z"}};
    const auto read = live_timelines_from_text(to_text(timelines));
    ASSERT_TRUE(read);
    EXPECT_EQ(*read, timelines);
    EXPECT_EQ(timeline_at(timelines, "2026-11-22T10:00:00Z", 4), 1) << "before the first";
    EXPECT_EQ(timeline_at(timelines, "2026-11-22T10:00:00.5Z", 4), 2);
    EXPECT_EQ(timeline_at(timelines, "2026-11-22T12:59:59+01:00", 4), 2);
    EXPECT_EQ(timeline_at(timelines, "2026-11-22T12:00:00Z", 4), 4);
    EXPECT_EQ(timeline_at({}, "2026-11-22T12:00:00Z", 7), 7);
    for (const char* text : {"{}", "[1]", R"([{"id":2,"parent":1}])",
                             R"([{"id":0,"parent":1,"liveFrom":"2026-11-22T10:00:00Z"}])"})
        EXPECT_FALSE(live_timelines_from_text(text)) << text;
}

std::string value_of(const Settings& settings, const std::string& name) {
    std::string value = "is not set";
    for (const auto& [key, text] : settings) {
        if (key == name) value = text;
    }
    return value;
}

TEST(Recovery, TheTargetIsTheLastOfTheTargetsThatAreSet) {
    PointInTime target;
    target.time = "2026-11-22T10:00:00.123456Z";
    target.exclusive = true;
    const Settings settings = recovery_settings(target, 7, "fetch");
    EXPECT_EQ(settings.back(),
              (Settings::value_type{"recovery_target_time", "2026-11-22T10:00:00.123456+00:00"}));
    EXPECT_EQ(value_of(settings, "recovery_target"), "");
    EXPECT_EQ(value_of(settings, "recovery_target_xid"), "");
    EXPECT_EQ(value_of(settings, "recovery_target_timeline"), "7");
    EXPECT_EQ(value_of(settings, "recovery_target_inclusive"), "off");
    EXPECT_EQ(value_of(settings, "restore_command"), "fetch");
    EXPECT_EQ(value_of(settings, "archive_mode"), "on");
}

TEST(Recovery, OnlyWhatPostgresqlWroteOfItsEndProvesThatTheTargetWasReached) {
    struct Case {
        PointInTime target;
        const char* right;
        std::vector<const char*> wrong;
    };
    PointInTime time, lsn, xid, name, immediate, latest;
    time.time = "2026-11-22T10:00:00Z";
    lsn.lsn = "0/5000000";
    xid.xid = "742";
    name.name = "a";
    immediate.immediate = true;
    latest.latest = true;
    const char* const no_target = "no recovery target specified";
    const std::vector<Case> cases{
        {time, "before 2026-11-22 10:00:00.5+00", {no_target, "", "at restore point \"a\""}},
        {lsn, "after LSN 0/5000000", {no_target, "before 2026-11-22 10:00:00.5+00"}},
        {xid, "after transaction 742", {no_target, "after LSN 0/5000000"}},
        {name, "at restore point \"a\"", {no_target, "at restore point \"ab\""}},
        {immediate, "reached consistency", {no_target}},
        {latest, no_target, {"reached consistency", ""}},
    };
    for (const auto& [target, right, wrong] : cases) {
        EXPECT_TRUE(has_reached(target, {1, 5, right})) << right;
        for (const char* reason : wrong) EXPECT_FALSE(has_reached(target, {1, 5, reason})) << reason;
    }
}

TEST(Repository, SettingsThatWriteElsewhereAreRefused) {
    EXPECT_EQ(dangerous_setting("[global]\nrepo1-path=/repository\n# link-all=y\n[shop]\npg1-path=/a"), "");
    EXPECT_EQ(dangerous_setting("[global]\n  link-all = y\n"), "link-all");
    EXPECT_EQ(dangerous_setting("[shop:restore]\nlink-map=pg_wal=/live/pg_wal\n"), "link-map");
    EXPECT_EQ(dangerous_setting("tablespace-map-all=/live\n"), "tablespace-map-all");
    EXPECT_EQ(dangerous_setting("tablespace-map=1=/live\n"), "tablespace-map");
}

TEST(PointInTime, MustSayOneTargetThatPostgresqlTakesAsItIs) {
    const auto wrong = [](const char* text) {
        return resources::what_is_wrong(resources::point_in_time_from_json(nlohmann::json::parse(text)));
    };
    for (const char* right :
         {R"({"time":"2026-11-22T10:00:00.123456+01:00"})", R"({"lsn":"0/16B3748","exclusive":true})",
          R"({"xid":"742"})", R"({"name":"before: it's"})", R"({"immediate":true})",
          R"({"latest":true,"timeline":3})"})
        EXPECT_FALSE(wrong(right)) << right;
    for (const char* bad :
         {R"({})", R"({"time":"2026-11-22T10:00:00Z","lsn":"0/1"})", R"({"time":"yesterday"})",
          R"({"time":"2026-11-22T10:00:00"})", R"({"time":"2026-11-22T10:00:00.1234567Z"})",
          R"({"lsn":"16B3748"})", R"({"lsn":"0/123456789"})", R"({"xid":"7 42"})", R"({"xid":"-1"})",
          R"({"latest":true,"exclusive":true})", R"({"latest":true,"timeline":-1})"})
        EXPECT_TRUE(wrong(bad)) << bad;
}

TEST(PointInTime, ComesBackAsItWasWritten) {
    const auto document = nlohmann::json::parse(
        R"({"time":"2026-11-22T10:00:00.123456Z","exclusive":true,"timeline":4294967295})");
    EXPECT_EQ(to_json(resources::point_in_time_from_json(document)), document);
    const resources::RecoveredTo reached{"2026-11-22T09:59:59.999999Z", "0/5000000", 2};
    EXPECT_EQ(resources::recovered_to_from_json(to_json(reached)), reached);
}

TEST(Recovery, TheSegmentThatIsReplayedStandsInAProcesssTitle) {
    EXPECT_EQ(replayed_segment("postgres: startup recovering 0000000200000001000000FE"),
              "0000000200000001000000FE");
    EXPECT_EQ(replayed_segment("postgres: shop: startup recovering 000000010000000000000003   "),
              "000000010000000000000003");
    EXPECT_EQ(replayed_segment("postgres: startup waiting for 000000010000000000000003"),
              "000000010000000000000003");
    for (const char* title :
         {"", "postgres: startup", "postgres: startup recovering 0000",
          "postgres: startup recovering 00000001.history nonsense", "postgres: checkpointer"})
        EXPECT_EQ(replayed_segment(title), "") << title;
}

TEST(Recovery, HowMuchIsReplayedIsToldByTheSegment) {
    const ReplayRange range{0x2F0000000, 0x310000000, 16 << 20};
    EXPECT_EQ(replayed_percent(range, {"0000000100000002000000F1", ""}), 3);
    EXPECT_EQ(replayed_percent(range, {"000000010000000300000000", ""}), 50);
    EXPECT_EQ(replayed_percent(range, {"000000010000000900000000", ""}), 100)
        << "it goes on for longer than was known";
    EXPECT_EQ(replayed_percent(range, {"000000010000000100000000", ""}), 0);
    EXPECT_EQ(replayed_percent(range, {"00000001000000030000000X", ""}), std::nullopt);
    EXPECT_EQ(replayed_percent({}, {"000000010000000300000000", ""}), std::nullopt);
    EXPECT_EQ(replayed_percent({5, 0, 16 << 20}, {"000000010000000300000000", ""}), std::nullopt);
}

TEST(Recovery, HowMuchIsReplayedUpToATimeIsToldByTheTimesOfItsTransactions) {
    ReplayRange range{0x2F0000000, 0x310000000, 16 << 20, base::parse_time("2026-11-22T10:00:00Z"),
                      base::parse_time("2026-11-22T11:00:00Z")};
    const std::string segment = "0000000100000002000000F1";
    EXPECT_EQ(replayed_percent(range, {segment, "2026-11-22T10:45:00.5Z"}), 75);
    EXPECT_EQ(replayed_percent(range, {segment, "2026-11-22T09:59:00Z"}), 0) << "while the backup was made";
    EXPECT_EQ(replayed_percent(range, {segment, "2026-11-22T11:00:01Z"}), 100);
    EXPECT_EQ(replayed_percent(range, {segment, ""}), 3) << "a segment without a transaction";
    range.from_time = range.to_time;
    EXPECT_EQ(replayed_percent(range, {segment, "2026-11-22T11:00:00Z"}), std::nullopt);
}

TEST(Recovery, SaysWhereItIsAndWhereItGoes) {
    const ReplayRange range{0, 0, 16 << 20};
    const std::string segment = "0000000100000002000000F1";
    EXPECT_EQ(to_text(range, {segment, "2026-11-22T10:00:00.5Z"}, "2026-11-22T11:00:00Z"),
              "at 2/F1000000, 2026-11-22T10:00:00.5Z, up to 2026-11-22T11:00:00Z");
    EXPECT_EQ(to_text(range, {segment, ""}, "transaction 742"), "at 2/F1000000, up to transaction 742");
    EXPECT_EQ(to_text({}, {segment, ""}, "transaction 742"),
              "in segment " + segment + ", up to transaction 742");
}

TEST(WalCommits, AreTakenFromWhatPgWaldumpPrints) {
    constexpr const char* lines[] = {
        "rmgr: Transaction len (rec/tot):     34/    34, tx:        739, lsn: 0/01500028, prev 0/01500000, "
        "desc: COMMIT "
        "2026-11-26 20:00:00.123456 UTC",
        "rmgr: Transaction len (rec/tot):     34/    34, tx:        740, lsn: 0/01500100, prev 0/01500028, "
        "desc: ABORT "
        "2026-11-26 20:00:01.000000 UTC",
        "rmgr: Transaction len (rec/tot):     82/    82, tx:          0, lsn: 0/01500200, prev 0/01500100, "
        "desc: "
        "COMMIT_PREPARED 741: 2026-11-26 20:00:02.000000 UTC; gid one UTC",
        "rmgr: Transaction len (rec/tot):     34/    34, tx:        742, lsn: 0/01500300, prev 0/01500200, "
        "desc: COMMIT "
        "2026-11-26 20:00:03.500000 UTC; inval msgs: catcache 7",
        "rmgr: Transaction len (rec/tot):     34/    34, tx:        743, lsn: 0/01500400, prev 0/01500300, "
        "desc: COMMIT "
        "2026-13-26 20:00:03.500000 UTC",
        "desc: COMMIT 2026-11-26 20:00:09.000000 UTC, lsn: 0/1",
        "",
        "UTC"};
    const auto all_from = [&](uint64_t lsn) {
        Commits commits;
        for (const char* line : lines) take_commit(line, {.from = lsn}, commits);
        return std::pair(commits.first, commits.last);
    };
    EXPECT_EQ(all_from(0), std::pair(std::string("2026-11-26T20:00:00.123456Z"),
                                     std::string("2026-11-26T20:00:03.500000Z")));
    EXPECT_EQ(all_from(0x1500100).first, "2026-11-26T20:00:02.000000Z");
    EXPECT_EQ(all_from(0x1500301), std::pair(std::string(), std::string()));
}

TEST(ReachablePoints, ComeBackAsTheyWereWrittenAndTakeNothingThatTheApiServerWouldRefuse) {
    const auto document = nlohmann::json::parse(R"({"earliestTime":"2026-11-22T10:00:01Z",
        "latestTime":"2026-11-22T11:00:00.123456Z","timelines":[{"id":1,"liveTo":"2026-11-22T10:30:00.000001Z"},
        {"id":2,"parent":1,"forkLSN":"0/5000000","liveFrom":"2026-11-22T10:40:00Z"}]})");
    EXPECT_EQ(to_json(resources::reachable_points_from_json(document)), document);
    const auto hostile = nlohmann::json::parse(
        R"({"earliestTime":"soon","latestTime":7,"timelines":[{"id":"x","forkLSN":"far","liveFrom":"then"}]})");
    EXPECT_EQ(to_json(resources::reachable_points_from_json(hostile)),
              nlohmann::json::parse(R"({"timelines":[{"id":0}]})"));
    nlohmann::json many{{"timelines", nlohmann::json::array()}};
    for (int i = 1; i < 1000; ++i) many["timelines"].push_back({{"id", i}});
    EXPECT_EQ(resources::reachable_points_from_json(many).timelines.size(), resources::max_timeline_spans);
}

}  // namespace
}  // namespace dbrestore::agent
