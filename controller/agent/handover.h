#pragma once
// After the data: owners, privileges and settings, as the old database has them, object by object. What the
// old database does not know goes to its owner. The dump has no say in any of this.

#include "agent/journal.h"
#include "agent/private_server.h"

namespace dbrestore::agent {

// The last step is that the temporary role goes. May be run again. Errors: failed.
base::Status hand_over(const PrivateServer& server, const Journal& journal);

}  // namespace dbrestore::agent
