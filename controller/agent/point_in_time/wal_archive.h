#pragma once
// The WAL of one server in a pgBackRest repository, read without its data directory.

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/point_in_time/pgbackrest.h"
#include "agent/server/wal_commits.h"

namespace dbrestore::agent {

// By their number, whatever timeline they are of: "folder/name" below the archive.
using Segments = std::map<uint64_t, std::string>;

class WalArchive {
public:
    // Of the server of this backup, which must outlive it, as must the other two.
    WalArchive(const Context& context, const PgBackRest& repository, const BackupSet& set);

    // Failures: ProgramsMissing; those of PgBackRest.
    std::optional<backups::Failure> open();

    // Those that there is WAL of, or a history; the newest max_timeline_spans, in order.
    std::vector<int64_t> timelines() const;

    // Nothing where the archive does not say from where it forked. Failures: those of PgBackRest.
    std::optional<backups::Failure> fork_of(int64_t id, std::optional<TimelineFork>& fork) const;

    // The time of the first or the last commit of the timeline in this range; empty where it is not
    // in the 16 segments next to that end. Failures: those of PgBackRest; RepositoryDamaged.
    std::optional<backups::Failure> find_commit(int64_t id, bool last, const LsnRange& range,
                                                std::string& time) const;

    // What there is of this timeline and its ancestors from the position on. Failures: those of PgBackRest.
    std::optional<backups::Failure> list_segments(const Timeline& timeline, uint64_t from_lsn,
                                                  int64_t segment_bytes, Segments& segments) const;

    // The same as find_commit of the last one, among these.
    std::optional<backups::Failure> last_commit_of(const Segments& segments, std::string& time) const;

private:
    std::optional<backups::Failure> read_segment(const std::string& path, const LsnRange& range,
                                                 Commits& commits) const;

    const PgBackRest& repository_;
    const BackupSet& set_;
    std::string folder_, pg_waldump_;
    std::map<int64_t, std::set<std::string>> folders_;  // with segments, by timeline
    std::set<int64_t> histories_;
};

}  // namespace dbrestore::agent
