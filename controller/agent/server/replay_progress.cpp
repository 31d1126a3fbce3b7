#include "agent/server/replay_progress.h"

#include <algorithm>
#include <sstream>

#include "agent/server/wal_commits.h"
#include "agent/timelines.h"
#include "base/files.h"

namespace dbrestore::agent {

namespace {

std::optional<int64_t> percent_of(double from, double to, double at) {
    if (to <= from) return std::nullopt;
    return static_cast<int64_t>(100 * (std::clamp(at, from, to) - from) / (to - from));
}

double seconds_of(base::Time time) {
    return std::chrono::duration<double>(time.time_since_epoch()).count();
}

// Where it begins.
std::optional<uint64_t> lsn_of(const ReplayRange& range, std::string_view segment) {
    const auto number = segment_number(segment, range.segment_bytes);
    if (!number) return std::nullopt;
    return *number * static_cast<uint64_t>(range.segment_bytes);
}

}  // namespace

std::optional<int64_t> replayed_percent(const ReplayRange& range, const ReplayedTo& reached) {
    if (const auto time = base::parse_time(reached.time); time && range.from_time && range.to_time)
        return percent_of(seconds_of(*range.from_time), seconds_of(*range.to_time), seconds_of(*time));
    const auto lsn = lsn_of(range, reached.segment);
    if (!lsn) return std::nullopt;
    return percent_of(static_cast<double>(range.from_lsn), static_cast<double>(range.to_lsn),
                      static_cast<double>(*lsn));
}

std::string to_text(const ReplayRange& range, const ReplayedTo& reached, const std::string& target) {
    const auto lsn = lsn_of(range, reached.segment);
    std::string text = lsn ? "at " + lsn_to_text(*lsn) : "in segment " + reached.segment;
    if (!reached.time.empty()) text.append(", ").append(reached.time);
    if (!target.empty()) text.append(", up to ").append(target);
    return text;
}

std::string replayed_segment(const std::string& title) {
    constexpr size_t length = 24;
    // It waits for the archive before it recovers.
    for (const std::string_view mark : {"startup recovering ", "startup waiting for "}) {
        const size_t at = title.find(mark);
        if (at == std::string::npos) continue;
        std::string name = title.substr(at + mark.size(), length);
        if (is_segment_name(name)) return name;
    }
    return {};
}

std::string segment_replayed_by(pid_t postmaster) {
    const std::string pid = std::to_string(postmaster);
    const auto children = base::read_file("/proc/" + pid + "/task/" + pid + "/children", 65536);
    std::istringstream pids(children ? *children : "");
    for (std::string child; pids >> child;) {
        const auto title = base::read_file("/proc/" + child + "/cmdline", 4096);
        std::string segment = replayed_segment(title ? *title : "");
        if (!segment.empty()) return segment;
    }
    return {};
}

}  // namespace dbrestore::agent
