#pragma once
// When transactions were committed, as their records in WAL say; pg_waldump reads them. WAL is untrusted:
// what makes no sense is left out.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dbrestore::agent {

// Times are RFC 3339 in UTC, to the microsecond; empty where nothing was committed.
struct Commits {
    std::string first, last;  // in the order of WAL
};

// A part of WAL: from the first position on, up to the second.
struct LsnRange {
    uint64_t from = 0, to = UINT64_MAX;
};

// A line that pg_waldump printed: that of a commit in the range is taken.
void take_commit(std::string_view line, const LsnRange& range, Commits& commits);

// Of the segment in this file, under its own name. Nothing where it is none, such as one that waits to be
// used again.
Commits commits_in(const std::string& pg_waldump, const std::string& segment_file,
                   const LsnRange& range = {});

// The time of one near the start of this segment, which a server replays: of the one before, where that is
// still waited for. Empty where neither holds one.
std::string commit_near(const std::string& pg_waldump, const std::string& folder, const std::string& segment);

// The last one of this timeline in a folder with segments, a server's own pg_wal; empty where there is none.
std::string last_commit_below(const std::string& pg_waldump, const std::string& folder, int64_t timeline);

// "000000010000000000000003".
bool is_segment_name(std::string_view name);

// How many segments of that size come before the one of this name; nothing where it is no segment's.
std::optional<uint64_t> segment_number(std::string_view name, int64_t segment_bytes);

}  // namespace dbrestore::agent
