#pragma once
// A point in time to which a whole server is taken back (spec.pointInTime), and the one that was reached.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace dbrestore::resources {

struct PointInTime {
    std::string time;  // RFC 3339, at most microseconds; as written, since base::Time would cut it
    std::string lsn, xid, name;
    bool immediate = false, latest = false;
    bool exclusive = false;
    int64_t timeline = 0;         // 0: the one that was live at `time`, or the live one
    bool reset_password = false;  // afterwards the role of the connection Secret has the password in it

    bool operator==(const PointInTime&) const = default;
};

struct RecoveredTo {
    std::string time;  // of the last transaction that is there, in UTC; empty where none was replayed
    std::string lsn;
    int64_t timeline = 0;  // that begins there

    bool operator==(const RecoveredTo&) const = default;
};

// A timeline whose WAL a repository holds.
struct TimelineSpan {
    int64_t id = 0, parent = 0;  // parent: the one that it forked from; 0 where that is not known
    std::string fork_lsn;
    // RFC 3339, of the first and the last transaction that was committed on it; empty where that is not
    // known, and the end of the newest one.
    std::string live_from, live_to;

    bool operator==(const TimelineSpan&) const = default;
};

inline constexpr size_t max_timeline_spans = 20;

// The points that can be reached from a repository alone (PostgresServer.status.pointInTimeRecovery).
struct ReachablePoints {
    std::string earliest, latest;         // RFC 3339; latest is empty where it could not be found
    std::vector<TimelineSpan> timelines;  // the oldest first, the newest max_timeline_spans of them

    bool operator==(const ReachablePoints&) const = default;
};

// What the point must be and is not; nothing where it is right.
std::optional<std::string> what_is_wrong(const PointInTime& target);

// What a person calls it: "2026-11-22T10:00:00Z", "just before transaction 742 on timeline 2".
std::string to_text(const PointInTime& target);

nlohmann::json to_json(const PointInTime& target);
PointInTime point_in_time_from_json(const nlohmann::json& document);
nlohmann::json to_json(const RecoveredTo& reached);
RecoveredTo recovered_to_from_json(const nlohmann::json& document);
nlohmann::json to_json(const ReachablePoints& points);
// What is no time is left out.
ReachablePoints reachable_points_from_json(const nlohmann::json& document);

}  // namespace dbrestore::resources
