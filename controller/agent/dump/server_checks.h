#pragma once
// What of the server's state speaks against a restore. Asked of the running server before the stop; and again
// of the private one after it, since the state may have changed, or no server may have run before.

#include <string>

#include "agent/dump/archive.h"
#include "agent/findings.h"
#include "agent/server/postgres.h"

namespace dbrestore::agent {

struct ServerQuestion {
    Session& session;  // in the database that is to be replaced
    const std::string& database;
    const Archive* archive;  // nothing where the dump could not be read: its checks are left out
    bool clean = false, as_superuser = false;  // as in AgentRequest
};

// Runs each check; a query that fails is a failed finding `ServerQueryFailed`.
void check_server(const ServerQuestion& question, Findings& findings);

}  // namespace dbrestore::agent
