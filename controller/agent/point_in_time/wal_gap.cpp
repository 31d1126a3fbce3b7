#include "agent/point_in_time/wal_gap.h"

#include <algorithm>
#include <filesystem>

#include "agent/point_in_time/wal_archive.h"
#include "agent/text.h"
#include "base/clock.h"

namespace dbrestore::agent {

namespace {

using backups::Failure;

// What a server could not archive any more.
std::set<uint64_t> numbers_on_disk(const RecoveryPlan& plan) {
    std::set<uint64_t> numbers;
    std::error_code code;
    for (std::filesystem::directory_iterator at(plan.data_directory + "/pg_wal", code), end;
         !code && at != end; at.increment(code)) {
        if (const auto number = segment_number(at->path().filename().string(), plan.wal_segment_bytes))
            numbers.insert(*number);
    }
    return numbers;
}

bool lies_behind(const resources::PointInTime& target, const BackupSet& set, uint64_t gap_lsn,
                 const std::string& last_commit) {
    if (set.stop_lsn > gap_lsn || target.latest) return true;
    if (!target.lsn.empty()) return lsn_from_text(target.lsn).value_or(0) >= gap_lsn;
    const auto time = base::parse_time(target.time), last = base::parse_time(last_commit);
    return time && last && *time >= *last;
}

}  // namespace

std::optional<Failure> refuse_gap(const Context& context, const RecoveryPlan& plan) {
    if (plan.wal_segment_bytes <= 0 || !plan.has_one_repository) return std::nullopt;
    WalArchive archive(context, *plan.repository, plan.set);
    if (auto failure = archive.open()) return failure;
    Segments archived;
    if (auto failure =
            archive.list_segments(plan.timeline, plan.set.start_lsn, plan.wal_segment_bytes, archived))
        return failure;
    if (archived.empty()) return std::nullopt;
    const auto on_disk = numbers_on_disk(plan);
    uint64_t gap = plan.set.start_lsn / static_cast<uint64_t>(plan.wal_segment_bytes);
    while (archived.contains(gap) || on_disk.contains(gap)) ++gap;
    if (gap > archived.rbegin()->first) return std::nullopt;
    archived.erase(archived.lower_bound(gap), archived.end());
    std::string last;
    if (auto failure = archive.last_commit_of(archived, last)) return failure;
    const uint64_t gap_lsn = gap * static_cast<uint64_t>(plan.wal_segment_bytes);
    if (!lies_behind(plan.target, plan.set, gap_lsn, last)) return std::nullopt;
    return Failure{"WalGap", "WAL is missing from " + lsn_to_text(gap_lsn) + " on, behind backup " +
                                 plan.set.label +
                                 (last.empty() ? std::string("; the point in time must lie before that")
                                               : ": the point in time must be earlier than " + last) +
                                 ", or behind a later backup"};
}

}  // namespace dbrestore::agent
