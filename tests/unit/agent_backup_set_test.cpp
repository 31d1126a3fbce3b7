// Which backup a recovery begins with, by what `pgbackrest info` tells; and what of it is refused.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "agent/point_in_time/backup_set.h"

namespace dbrestore::agent {
namespace {

using nlohmann::json;
using resources::PointInTime;

constexpr int64_t ten_o_clock = 1795341600;  // 2026-11-22T10:00:00Z
const Identity ours{"7576543210987654321", "15"};

// A backup that took two seconds. `segment` is where it ended.
json backup(const std::string& label, const std::string& segment, const std::string& stop_lsn,
            int64_t stop_seconds) {
    return {{"archive", {{"start", segment}, {"stop", segment}}},
            {"database", {{"id", 1}, {"repo-key", 1}}},
            {"error", false},
            {"info", {{"size", 31000000}}},
            {"label", label},
            {"lsn", {{"start", "0/1000028"}, {"stop", stop_lsn}}},
            {"timestamp", {{"start", stop_seconds - 2}, {"stop", stop_seconds}}}};
}

json info(const json& backups) {
    const json database{{"id", 1}, {"repo-key", 1}, {"system-id", 7576543210987654321u}, {"version", "15"}};
    const json stanza{{"name", "shop"},
                      {"db", json::array({database})},
                      {"backup", backups},
                      {"repo", json::array({{{"key", 1}, {"status", {{"code", 0}, {"message", "ok"}}}}})},
                      {"status", {{"code", 0}, {"message", "ok"}}}};
    return json::array({stanza});
}

json two_backups() {
    return info({backup("20261122-080000F", "000000010000000000000002", "0/2000138", ten_o_clock - 7200),
                 backup("20261122-080000F_20261122-090000I", "000000010000000000000004", "0/4000138",
                        ten_o_clock - 3600)});
}

std::vector<BackupSet> sets_of(const json& document) {
    std::vector<BackupSet> sets;
    const auto failure = backup_sets_from_info(document.dump(), "shop", sets);
    EXPECT_FALSE(failure) << failure->message;
    return sets;
}

std::string reason_of(const std::string& text) {
    std::vector<BackupSet> sets;
    const auto failure = backup_sets_from_info(text, "shop", sets);
    return failure ? failure->reason : "none, with " + std::to_string(sets.size()) + " backups";
}

// The label that is chosen, or the reason why none is.
std::string choice(const json& document, const PointInTime& target, const Timeline& timeline = {},
                   const Identity& identity = ours) {
    BackupSet chosen;
    const auto failure = choose_backup_set(sets_of(document), identity, timeline, target, chosen);
    return failure ? failure->reason : chosen.label;
}

PointInTime at(const std::string& time) {
    PointInTime target;
    target.time = time;
    return target;
}
PointInTime at_lsn(const std::string& lsn) {
    PointInTime target;
    target.lsn = lsn;
    return target;
}

TEST(BackupSet, EverythingIsReadFromWhatInfoTells) {
    const auto sets = sets_of(two_backups());
    ASSERT_EQ(sets.size(), 2u);
    EXPECT_EQ(sets[1].label, "20261122-080000F_20261122-090000I");
    EXPECT_EQ(sets[1].timeline, 1);
    EXPECT_EQ(sets[1].stop_lsn, 0x4000138u);
    EXPECT_EQ(sets[1].stop_seconds, ten_o_clock - 3600);
    EXPECT_EQ(sets[1].size_bytes, 31000000);
    EXPECT_EQ(sets[1].system_identifier, ours.system_identifier) << "all 64 bits of it";
}

TEST(BackupSet, TheNewestThatEndedBeforeTheTargetIsChosen) {
    EXPECT_EQ(choice(two_backups(), at("2026-11-22T10:00:00Z")), "20261122-080000F_20261122-090000I");
    EXPECT_EQ(choice(two_backups(), at("2026-11-22T08:30:00Z")), "20261122-080000F");
    EXPECT_EQ(choice(two_backups(), at_lsn("0/4000138")), "20261122-080000F_20261122-090000I");
    EXPECT_EQ(choice(two_backups(), at_lsn("0/4000137")), "20261122-080000F");
    PointInTime latest;
    latest.latest = true;
    EXPECT_EQ(choice(two_backups(), latest), "20261122-080000F_20261122-090000I");
}

TEST(BackupSet, InTheSecondInWhichABackupEndedItIsNotCertainToReachTheTarget) {
    EXPECT_EQ(choice(two_backups(), at("2026-11-22T09:00:00.999Z")), "20261122-080000F");
    EXPECT_EQ(choice(two_backups(), at("2026-11-22T09:00:01Z")), "20261122-080000F_20261122-090000I");
}

TEST(BackupSet, WhereNobodyKnowsTheTargetsPlaceTheOldestReachesIt) {
    PointInTime name, transaction;
    name.name = "before the import";
    transaction.xid = "742";
    EXPECT_EQ(choice(two_backups(), name), "20261122-080000F");
    EXPECT_EQ(choice(two_backups(), transaction), "20261122-080000F");
}

TEST(BackupSet, ATargetBeforeTheFirstBackupIsToldTheEarliestPoint) {
    BackupSet chosen;
    const auto failure =
        choose_backup_set(sets_of(two_backups()), ours, {}, at("2026-11-22T07:00:00Z"), chosen);
    ASSERT_TRUE(failure);
    EXPECT_EQ(failure->reason, "TargetTooEarly");
    EXPECT_NE(failure->message.find("2026-11-22T08:00:01Z, at 0/2000138"), std::string::npos)
        << failure->message;
}

TEST(BackupSet, OnlyABackupThatLeadsToTheTimelineIsChosen) {
    json document = two_backups();
    document[0]["backup"].push_back(
        backup("20261122-093000F", "000000020000000000000005", "0/5000138", ten_o_clock - 1800));
    const Timeline first, second{2, {{1, 0x3000000, "before"}}}, third{3, {{1, 0x4000200, "before"}}};
    const auto target = at("2026-11-22T10:00:00Z");
    EXPECT_EQ(choice(document, target, first), "20261122-080000F_20261122-090000I");
    EXPECT_EQ(choice(document, target, second), "20261122-093000F");
    EXPECT_EQ(choice(document, target, third), "20261122-080000F_20261122-090000I");
    EXPECT_EQ(choice(two_backups(), target, second), "20261122-080000F")
        << "what timeline 1 holds after the fork is no part of timeline 2";
    EXPECT_EQ(choice(two_backups(), target, Timeline{9, {{8, 0x1, "before"}}}), "NoBackup");
}

// PostgreSQL writes such a history where a recovery along timeline 2 ended before 2 began.
TEST(BackupSet, AnAncestorEndsWhereALaterForkLiesBeforeIt) {
    const Timeline third{3, {{1, 0x5000000, "before"}, {2, 0x3000000, "before"}}};
    EXPECT_EQ(choice(two_backups(), at("2026-11-22T10:00:00Z"), third), "20261122-080000F");
}

TEST(BackupSet, DamagedAndForeignBackupsAreNotChosen) {
    json damaged = two_backups();
    damaged[0]["backup"][1]["error"] = true;
    EXPECT_EQ(choice(damaged, at("2026-11-22T10:00:00Z")), "20261122-080000F");
    EXPECT_EQ(choice(two_backups(), at("2026-11-22T10:00:00Z"), {}, {"7576543210987654320", "15"}),
              "AnotherCluster");
    EXPECT_EQ(choice(two_backups(), at("2026-11-22T10:00:00Z"), {}, {ours.system_identifier, "16"}),
              "AnotherCluster");
    EXPECT_EQ(choice(info(json::array()), at("2026-11-22T10:00:00Z")), "NoBackup");
}

TEST(BackupSet, WhatIsWrongWithTheRepositoryIsSaid) {
    EXPECT_EQ(reason_of("[]"), "StanzaNotFound");
    json document = info(json::array());
    document[0]["status"] = {{"code", 3}, {"message", "missing stanza data"}};
    EXPECT_EQ(reason_of(document.dump()), "StanzaNotFound");
    document[0]["status"] = {{"code", 2}, {"message", "no valid backups"}};
    EXPECT_EQ(reason_of(document.dump()), "none, with 0 backups");
    document[0]["status"] = {{"code", 99}, {"message", "other"}};
    document[0]["repo"][0]["status"] = {{"code", 99}, {"message", "[CryptoError] cipher header invalid"}};
    std::vector<BackupSet> sets;
    const auto failure = backup_sets_from_info(document.dump(), "shop", sets);
    ASSERT_TRUE(failure);
    EXPECT_EQ(failure->reason, "RepositoryUnreadable");
    EXPECT_TRUE(failure->may_pass);
    EXPECT_NE(failure->message.find("cipher header invalid"), std::string::npos);
}

TEST(BackupSet, OneOfSeveralRepositoriesThatCannotBeReadIsTold) {
    json document = two_backups();
    EXPECT_EQ(unreadable_repositories(document.dump(), "shop"), "");
    document[0]["repo"] = {{{"key", 1}, {"status", {{"code", 99}, {"message", "[FileOpenError] no\nway"}}}},
                           {{"key", 2}, {"status", {{"code", 0}, {"message", "ok"}}}},
                           {{"key", 3}, {"status", {{"code", 2}, {"message", "no valid backups"}}}},
                           {{"key", 4}, {"status", {{"code", 1}, {"message", "missing stanza path"}}}}};
    EXPECT_EQ(unreadable_repositories(document.dump(), "shop"),
              "repository 1 cannot be read: [FileOpenError] no way; repository 4 cannot be read: missing "
              "stanza path");
    EXPECT_EQ(unreadable_repositories(document.dump(), "another"), "");
    for (const char* text : {"", "null", "[1]", R"([{"name":"shop","repo":7}])", "\xff"})
        EXPECT_EQ(unreadable_repositories(text, "shop"), "") << text;
}

TEST(BackupSet, WithoutPgControlTheNewestBackupOfTheVersionTellsWhoseItIs) {
    const auto sets = sets_of(two_backups());
    ASSERT_EQ(sets.size(), 2u);
    EXPECT_EQ(newest_backup_set(sets, "15"), &sets[1]);
    EXPECT_EQ(newest_backup_set(sets, "16"), nullptr);
    EXPECT_EQ(newest_backup_set({}, "15"), nullptr);
}

TEST(BackupSet, HostileTextIsRefusedOrLeftOut) {
    for (const char* text : {"", "null", "{}", "not json", "[[[[", "\xff\xfe"})
        EXPECT_EQ(reason_of(text), "RepositoryDamaged") << text;
    for (const char* text : {"[1]", "[null]", R"([{"name":7}])"})
        EXPECT_EQ(reason_of(text), "StanzaNotFound") << text;
    EXPECT_EQ(reason_of(R"([{"name":"shop"}])"), "RepositoryUnreadable");
    const std::vector<std::pair<const char*, json>> changes{
        {"/label", "--repo1-path=/etc"},
        {"/label", "../../20261122-080000F"},
        {"/label", "20261122-080000F\n"},
        {"/label", 7},
        {"/archive/stop", "00000000FFFFFFFFFFFFFFFF"},
        {"/archive/stop", "1"},
        {"/lsn", nullptr},
        {"/lsn/stop", "0/1"},
        {"/lsn/stop", "0/4000138 "},
        {"/timestamp/stop", "now"},
        {"/timestamp/stop", -5},
        {"/database/id", 2},
    };
    for (const auto& [where, value] : changes) {
        json document = two_backups();
        document[0]["backup"][1][json::json_pointer(where)] = value;
        EXPECT_EQ(sets_of(document).size(), 1u) << where << " " << value;
    }
}

}  // namespace
}  // namespace dbrestore::agent
