#pragma once
// Runs pg_restore, or psql for plain SQL, and knows how far it is.

#include <string>

#include "agent/dump/archive.h"
#include "agent/programs.h"
#include "agent/server/private_server.h"
#include "agent/volume/journal.h"

namespace dbrestore::agent {

struct RestoreSource {
    RestorePrograms programs;
    DumpFile dump;
    Archive archive;
};

// Restores all but what was made beforehand into the new database, logged in as the temporary role. Nothing
// on success; else RestoreFailed with the first errors, InsufficientSpace, or retryable where the server went
// away.
std::optional<AgentResult> run_restore(const Context& context, const PrivateServer& server,
                                       const Journal& journal, const RestoreSource& source,
                                       const std::string& data_path);

}  // namespace dbrestore::agent
