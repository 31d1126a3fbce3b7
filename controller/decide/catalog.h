#pragma once
// What lies in a server's stores, listed by a Job for one store after the other, each at the server's
// interval.

#include "decide/action.h"
#include "decide/world.h"

namespace dbrestore::decide {

// Whether the result of this listing's Job is still wanted.
bool awaits_list(const resources::PostgresServer& server, const std::string& job);

// Brings the lists in `status` further, and adds to the plan what that takes.
void list_stores(const ServerWorld& world, resources::ServerStatus& status, Plan& plan);

}  // namespace dbrestore::decide
