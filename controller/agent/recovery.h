#pragma once
// How a private server replays WAL up to a point, and how it is known afterwards that it did. Pure.

#include <optional>
#include <string>

#include "agent/server_settings.h"
#include "agent/timelines.h"
#include "resources/point_in_time.h"

namespace dbrestore::agent {

// The settings of a server that replays on this timeline until the target, and begins a new one there. They
// win over those of `overrides`.
Settings recovery_settings(const resources::PointInTime& target, int64_t timeline,
                           const std::string& restore_command);

// The segment of WAL that a server's process is replaying, from its title, "postgres: startup recovering
// 000000010000000000000003"; empty where it is another process.
std::string replayed_segment(const std::string& title);

// Whether the history of the timeline that was begun says that the recovery stopped where it should:
// PostgreSQL writes there why it ended.
bool has_reached(const resources::PointInTime& target, const TimelineFork& end);

}  // namespace dbrestore::agent
