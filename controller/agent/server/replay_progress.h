#pragma once
// How far a server has replayed WAL, asked without a connection: it takes none before it has ended.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace dbrestore::agent {

// What a replay begins with, and how far it goes at most; 0 and empty where that is not known.
struct ReplayRange {
    uint64_t from_lsn = 0, to_lsn = 0;
    int64_t segment_bytes = 0;
    std::optional<base::Time> from_time = {}, to_time = {};
};

// A place in WAL: a segment, and when a transaction near its start was committed, in RFC 3339; empty where
// there is none.
struct ReplayedTo {
    std::string segment, time;
};

// How much of it is done in percent: by times where they are known, else by positions, which are at most that
// far. Nothing where neither is known.
std::optional<int64_t> replayed_percent(const ReplayRange& range, const ReplayedTo& reached);

// "at 0/3000000, 2026-11-22T09:00:00.5Z, up to 2026-11-22T10:00:00Z".
std::string to_text(const ReplayRange& range, const ReplayedTo& reached, const std::string& target);

// The segment of WAL that a server's process is replaying, from its title, "postgres: startup recovering
// 000000010000000000000003"; empty where it is another process.
std::string replayed_segment(const std::string& title);

// That of the server with this process; empty where it does not replay (yet).
std::string segment_replayed_by(pid_t postmaster);

}  // namespace dbrestore::agent
