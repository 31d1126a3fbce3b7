#pragma once
// From which backup, and along which timeline, a server is taken to a point in time.

#include <optional>
#include <string>

#include "agent/point_in_time/pgbackrest.h"
#include "agent/volume/journal.h"

namespace dbrestore::agent {

struct RecoveryPlan {
    std::optional<PgBackRest> repository;
    BackupSet set;
    Timeline timeline;          // on which WAL is replayed
    int64_t live_timeline = 0;  // of the database as it is
    uint64_t live_lsn = 0;      // that its WAL reaches at least
    int64_t wal_segment_bytes = 0;
    bool has_one_repository = true;
    std::string data_directory;  // where its files are now
    // As it was asked for; or the end of its timeline, where the server stood still at that time.
    resources::PointInTime target = {};
    std::string earliest = {};  // that could be asked for, for people
    // Why its pg_control cannot be read, and what is taken for it; empty where it can.
    std::string guessed = {};
    std::string unreadable = {};  // which of several repositories, and why
};

// Tablespaces, and pg_wal as a link: the copy would hold as plain folders what lies on other volumes.
// Failures: VolumeLayout.
std::optional<backups::Failure> refuse_other_volumes(const std::string& data_directory);

// The timeline on which the server was, as well as its files tell. Without pg_control that is the highest one
// of its WAL and of what restores have made live: ids rise with time.
int64_t live_timeline_of(const WorkFolder& folder, const std::string& data_directory);

// Reads the data directory and the repository, and changes neither. Where pg_control cannot be read, the
// server is taken for that of the repository's newest backup: what takes its place is restored from there,
// and what it replaces is kept. Failures: BadRequest; BadTarget; TargetTooLate; VolumeLayout;
// ControlFileUnreadable; TimelineNotFound; TimelineAmbiguous, where a clock was set back; those of
// PgBackRest, WalArchive and choose_backup_set.
std::optional<backups::Failure> plan_recovery(const Context& context, const WorkFolder& folder,
                                              const std::string& data_directory, RecoveryPlan& plan);

// Of a server that does not run: TargetTooLate where none of its WAL, archived or not, holds a transaction
// after that time. PostgreSQL would replay all of it and refuse to stop there.
std::optional<backups::Failure> refuse_beyond_end(const Context& context, const RecoveryPlan& plan);

}  // namespace dbrestore::agent
