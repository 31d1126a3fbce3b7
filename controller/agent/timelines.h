#pragma once
// Timelines: how one grew out of another, and which was live when. Pure.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dbrestore::agent {

// A position in the write-ahead log: "0/16B3748".
std::optional<uint64_t> lsn_from_text(std::string_view text);
std::string lsn_to_text(uint64_t lsn);

// A line of a history file: up to where WAL of the parent belongs to the timeline, and why it ends there.
struct TimelineFork {
    int64_t parent = 0;
    uint64_t lsn = 0;
    std::string reason;
};

// A timeline with its ancestors, the oldest first.
struct Timeline {
    int64_t id = 1;
    std::vector<TimelineFork> forks;
};

// "0000000A.history"; timeline 1 has none.
std::string history_file(int64_t timeline);

// Of a segment of WAL, "0000000A0000000000000003"; nothing where it is named otherwise.
std::optional<int64_t> timeline_of_segment(std::string_view name);

// Nothing where the text cannot be understood.
std::optional<Timeline> timeline_from_history(int64_t id, std::string_view text);

// The timelines that this agent made live, the oldest first.
struct LiveTimeline {
    int64_t id = 0, parent = 0;  // parent: the one that was live before, whatever it forked from
    std::string live_from;       // RFC 3339

    bool operator==(const LiveTimeline&) const = default;
};

std::string to_text(const std::vector<LiveTimeline>& timelines);
std::optional<std::vector<LiveTimeline>> live_timelines_from_text(const std::string& text);

// The one that was live at this time; while the server stood still, the one before. `current` where none of
// ours was.
int64_t timeline_at(const std::vector<LiveTimeline>& timelines, const std::string& time, int64_t current);

}  // namespace dbrestore::agent
