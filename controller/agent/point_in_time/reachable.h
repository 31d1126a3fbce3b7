#pragma once
// Which points in time a repository can bring back, as its backups and its WAL tell. No data directory is
// looked at, so that this goes on beside whatever happens to it.

#include "agent/point_in_time/pgbackrest.h"

namespace dbrestore::agent {

struct RepositoryContents {
    resources::ReachablePoints points;
    int64_t backup_count = 0;
};

// Of the server that was backed up last. Its live timeline is taken to be the newest one, as it is after each
// restore and Undo by this agent. Failures: NoBackup; ProgramsMissing; those of PgBackRest.
std::optional<backups::Failure> find_reachable(const Context& context, const PgBackRest& repository,
                                               RepositoryContents& contents);

}  // namespace dbrestore::agent
