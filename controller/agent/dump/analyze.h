#pragma once
#include "agent/server/private_server.h"
#include "agent/volume/journal.h"

namespace dbrestore::agent {

// Gathers the planner's statistics over as many connections as the request has jobs, as the temporary role:
// an index on an expression runs the dump's functions here. A table whose functions fail is left without
// statistics; their number is given. Errors: unavailable.
base::Result<int64_t> analyze(const Context& context, const PrivateServer& server, const Journal& journal);

}  // namespace dbrestore::agent
