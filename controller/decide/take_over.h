#pragma once
// A restore's object may be taken away while it holds the lock: somebody removed the finalizer. The lock is
// not freed then but taken over by the server's reconciliation: whatever the restore began is rolled back,
// the workload gets its former size, and only then the lock is free. If the new data was in place and may
// have been served, it stays.

#include "decide/action.h"
#include "decide/world.h"

namespace dbrestore::decide {

// What the lock and the server's status still say of the restore: one that is rolling back.
resources::DatabaseRestore vanished_holder(const resources::PostgresServer& server, base::Time now);

// `world.restore` is the vanished one. The plan writes nothing of it, but `status.takeOver` of the server.
Plan take_over(const World& world);

}  // namespace dbrestore::decide
