#pragma once
// The database that a dump is restored into, and the temporary role that does it, on a private server.

#include <string>

#include "agent/dump/archive.h"
#include "agent/server/private_server.h"
#include "agent/volume/journal.h"

namespace dbrestore::agent {

// Drops what earlier attempts left. The names hold the restore's UID, so nothing of others can be hit.
// `session`: in no database of ours. Errors: failed.
base::Status drop_leftovers(const PrivateServer& server, Session& session, const Journal& journal);

// While a dump is restored its functions act as the database's owner: nothing that they set of it may reach a
// session of ours in it, or last. `elsewhere`: a session in another database. Errors: failed.
base::Status take_settings_back(Session& elsewhere, const std::string& database);

// Undo: the database that comes back and the one it takes the place of are both there. Failures:
// PreviousDataGone, DatabaseNotFound.
std::optional<AgentResult> check_names(Session& session, const Journal& journal);

// Role, then database: from template0, with encoding, locale and tablespace of the old one; or, in mode
// Clean, a copy of the old one, to which nobody may be connected. Owned by the role. Errors: not_found where
// the old database is missing; failed.
base::Status make_role_and_database(Session& session, const Journal& journal);

// The extensions of the dump, by a superuser while the database is empty, since an ordinary role may not; and
// what the role then needs of them. Errors: failed, naming the extension.
base::Status make_extensions(const PrivateServer& server, const Journal& journal, const Archive& archive);

}  // namespace dbrestore::agent
