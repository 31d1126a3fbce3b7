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

}  // namespace dbrestore::decide
