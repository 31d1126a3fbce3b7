#include "agent/point_in_time/reachable.h"

#include <algorithm>

#include "agent/point_in_time/wal_archive.h"
#include "base/clock.h"

namespace dbrestore::agent {

namespace {

using backups::Failure;

std::optional<Failure> describe(const WalArchive& archive, int64_t id, bool is_live,
                                resources::ReachablePoints& points) {
    resources::TimelineSpan span{id, 0, {}, {}, {}};
    std::optional<TimelineFork> fork;
    if (auto failure = archive.fork_of(id, fork)) return failure;
    if (fork) {
        span.parent = fork->parent;
        span.fork_lsn = lsn_to_text(fork->lsn);
        if (auto failure = archive.find_commit(id, false, {.from = fork->lsn}, span.live_from))
            return failure;
    }
    std::string last;
    if (auto failure = archive.find_commit(id, true, {.from = fork ? fork->lsn : 0}, last)) return failure;
    // Right after a restore the last commit is one before the fork.
    while (is_live && last.empty() && fork) {
        const TimelineFork from = *fork;
        if (auto failure = archive.find_commit(from.parent, true, {.to = from.lsn}, last)) return failure;
        fork.reset();
        if (auto failure = archive.fork_of(from.parent, fork)) return failure;
    }
    (is_live ? points.latest : span.live_to) = last;
    points.timelines.push_back(std::move(span));
    return std::nullopt;
}

}  // namespace

std::optional<Failure> find_reachable(const Context& context, const PgBackRest& repository,
                                      RepositoryContents& contents) {
    std::vector<BackupSet> sets;
    if (auto failure = repository.list(sets)) return failure;
    std::erase_if(sets, [](const BackupSet& set) { return set.damaged || set.archive.empty(); });
    if (sets.empty())
        return Failure{"NoBackup", "the repository holds no backup that a restore can begin with"};
    const BackupSet newest = *std::ranges::max_element(sets, {}, &BackupSet::stop_seconds);
    std::erase_if(sets, [&](const BackupSet& set) {
        return set.system_identifier != newest.system_identifier || set.version != newest.version;
    });
    contents.backup_count = static_cast<int64_t>(sets.size());
    const BackupSet& oldest = *std::ranges::min_element(sets, {}, &BackupSet::stop_seconds);
    contents.points.earliest = base::format_time(certain_end(oldest));
    WalArchive archive(context, repository, newest);
    if (auto failure = archive.open()) return failure;
    const auto ids = archive.timelines();
    for (const int64_t id : ids) {
        if (auto failure = describe(archive, id, id == ids.back(), contents.points)) return failure;
    }
    return std::nullopt;
}

}  // namespace dbrestore::agent
