#pragma once
// After the data: owners, privileges and settings, as the old database has them, object by object. What the
// old database does not know goes to its owner. The dump has no say in any of this.

#include "agent/server/private_server.h"
#include "agent/volume/journal.h"

namespace dbrestore::agent {

// Before the data, in mode Clean: the copy's objects become the temporary role's, whoever owns them, since
// only an owner can drop them; hand_over gives them back. What must belong to a superuser stays. Errors:
// failed.
base::Status lend_to_role(const PrivateServer& server, const Journal& journal);

// The last step is that the temporary role goes. May be run again. Errors: failed.
base::Status hand_over(const PrivateServer& server, const Journal& journal);

}  // namespace dbrestore::agent
