#include "agent/server/wal_commits.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <vector>

#include "agent/text.h"
#include "agent/timelines.h"
#include "base/clock.h"
#include "base/process.h"

namespace dbrestore::agent {

namespace {

// A commit that drops many tables lists them behind its time.
constexpr size_t max_record_line_bytes = 1000;

// "2026-11-26 20:00:00.123456 UTC" -> "2026-11-26T20:00:00.123456Z"
std::string time_in(std::string_view text) {
    constexpr std::string_view shape = "0000-00-00 00:00:00.000000 UTC";
    const size_t zone = text.find(" UTC");
    if (zone == std::string_view::npos || zone + 4 < shape.size()) return {};
    std::string time(text.substr(zone + 4 - shape.size(), shape.size() - 4));
    time[10] = 'T';
    time += 'Z';
    return base::parse_time(time) ? time : std::string();
}

// The newest first.
std::vector<std::string> segments_in(const std::string& folder, const std::string& prefix) {
    std::vector<std::string> names;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
        std::string name = entry.path().filename();
        if (is_segment_name(name) && name.starts_with(prefix)) names.push_back(std::move(name));
    }
    std::ranges::sort(names, std::greater<>());
    return names;
}

Commits commits_among(std::vector<std::string> command, const LsnRange& range) {
    Commits commits;
    base::ProcessSpec spec;
    spec.arguments = std::move(command);
    spec.environment = {{"TZ", "UTC"}, {"LC_ALL", "C"}};
    LineSplitter lines(max_record_line_bytes);
    spec.on_stdout = [&](std::string_view text) {
        lines.feed(text, [&](std::string_view line) { take_commit(line, range, commits); });
    };
    // It ends with an error wherever WAL ends before the segment does: what it printed counts.
    if (!base::run_process(spec)) return {};
    return commits;
}

}  // namespace

void take_commit(std::string_view line, const LsnRange& range, Commits& commits) {
    const size_t position = line.find(", lsn: "), what = line.find(", desc: COMMIT");
    if (position == std::string_view::npos || what == std::string_view::npos || what < position) return;
    const std::string_view rest = line.substr(position + 7);
    const auto lsn = lsn_from_text(rest.substr(0, rest.find(',')));
    const std::string time = time_in(line.substr(what));
    if (!lsn || *lsn < range.from || *lsn >= range.to || time.empty()) return;
    if (commits.first.empty()) commits.first = time;
    commits.last = time;
}

Commits commits_in(const std::string& pg_waldump, const std::string& segment_file, const LsnRange& range) {
    return commits_among({pg_waldump, "--rmgr=Transaction", segment_file}, range);
}

std::string commit_near(const std::string& pg_waldump, const std::string& folder,
                        const std::string& segment) {
    std::vector<std::string> names = segments_in(folder, "");
    std::erase_if(names, [&](const std::string& name) { return name > segment; });
    names.resize(std::min<size_t>(names.size(), 2));
    for (const auto& name : names) {
        // Not the whole segment: it is asked while a server reads it.
        std::string time = commits_among({pg_waldump, "--rmgr=Transaction", "--limit=20",
                                          std::string(folder).append("/").append(name)},
                                         {})
                               .first;
        if (!time.empty()) return time;
    }
    return {};
}

std::string last_commit_below(const std::string& pg_waldump, const std::string& folder, int64_t timeline) {
    // The first ones wait to be used again.
    for (const auto& name : segments_in(folder, history_file(timeline).substr(0, 8))) {
        const std::string segment = std::string(folder).append("/").append(name);
        if (const auto commits = commits_in(pg_waldump, segment); !commits.last.empty()) return commits.last;
    }
    return {};
}

bool is_segment_name(std::string_view name) {
    return name.size() == 24 && name.find_first_not_of("0123456789ABCDEF") == std::string_view::npos;
}

std::optional<uint64_t> segment_number(std::string_view name, int64_t segment_bytes) {
    uint32_t log = 0, number = 0;
    if (!is_segment_name(name) || segment_bytes <= 0) return std::nullopt;
    std::from_chars(name.data() + 8, name.data() + 16, log, 16);
    std::from_chars(name.data() + 16, name.data() + 24, number, 16);
    return log * ((uint64_t{1} << 32) / static_cast<uint64_t>(segment_bytes)) + number;
}

}  // namespace dbrestore::agent
