#pragma once
// The server's memory of what was done to it. It outlives the restores, so that a name is not run twice and
// previous data expires also when its restore was deleted.

#include "resources/database_restore.h"
#include "resources/postgres_server.h"

namespace dbrestore::decide {

// The status with this finished restore's entry, unless it is there already: a take-over knows less than the
// restore did. The oldest entries without previous data make room.
resources::ServerStatus with_history_of(const resources::DatabaseRestore& restore,
                                        resources::ServerStatus status);

// The size that the workload gets back where the operator scaled it to 0 after the restore that wanted this
// had ended: a controller was paused in the middle of the request, and another one went on meanwhile. Nothing
// where anybody else scaled it, or it was 0 before. Speaks of a workload that no running restore has stopped.
std::optional<int64_t> size_before_late_stop(const resources::PostgresServer& server,
                                             const resources::Workload& workload);

}  // namespace dbrestore::decide
