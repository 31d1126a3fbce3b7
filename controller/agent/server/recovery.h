#pragma once
// How a private server replays WAL up to a point, and how it is known afterwards that it did. Pure.

#include <cstdint>
#include <string>

#include "agent/server/replay_progress.h"
#include "agent/server/server_settings.h"
#include "agent/timelines.h"
#include "resources/point_in_time.h"

namespace dbrestore::agent {

// The settings of a server that replays on this timeline until the target, and begins a new one there. They
// win over those of `overrides`.
Settings recovery_settings(const resources::PointInTime& target, int64_t timeline,
                           const std::string& restore_command);

// How a private server recovers.
struct Recovery {
    Settings settings;
    std::string target;  // as people call it
    ReplayRange range = {};
    int64_t percent_before = 0;  // of the step, when it begins
};

// Whether the history of the timeline that was begun says that the recovery stopped where it should:
// PostgreSQL writes there why it ended.
bool has_reached(const resources::PointInTime& target, const TimelineFork& end);

}  // namespace dbrestore::agent
