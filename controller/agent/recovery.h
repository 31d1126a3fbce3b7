#pragma once
// How a private server replays WAL up to a point, and how it is known afterwards that it did. Pure.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "agent/server_settings.h"
#include "agent/timelines.h"
#include "resources/point_in_time.h"

namespace dbrestore::agent {

// The settings of a server that replays on this timeline until the target, and begins a new one there. They
// win over those of `overrides`.
Settings recovery_settings(const resources::PointInTime& target, int64_t timeline,
                           const std::string& restore_command);

// What a replay begins with, and how far it goes at most; all 0 where that is not known.
struct ReplayRange {
    uint64_t from_lsn = 0, to_lsn = 0;
    int64_t segment_bytes = 0;
};

// How a private server recovers.
struct Recovery {
    Settings settings;
    ReplayRange range = {};
    int64_t percent_before = 0;  // of the step, when it begins
};

// How much of it is done at this segment, in percent; nothing where that cannot be told.
std::optional<int64_t> replayed_percent(const ReplayRange& range, std::string_view segment);

// The segment of WAL that a server's process is replaying, from its title, "postgres: startup recovering
// 000000010000000000000003"; empty where it is another process.
std::string replayed_segment(const std::string& title);

// Whether the history of the timeline that was begun says that the recovery stopped where it should:
// PostgreSQL writes there why it ended.
bool has_reached(const resources::PointInTime& target, const TimelineFork& end);

}  // namespace dbrestore::agent
