#pragma once
// The life of a restore. decide() is the whole behaviour of the controller: what to do next, given what was
// seen.

#include "decide/action.h"
#include "decide/world.h"

namespace dbrestore::decide {

// Pure. An empty list of actions means: nothing to do until something changes (or `look_again_after` has
// passed).
Plan decide(const World& world);

// The same for the PostgresServer: what can be inferred, and the cleanup of previous data that has expired.
Plan decide_server(const ServerWorld& world);

}  // namespace dbrestore::decide
