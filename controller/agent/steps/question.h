#pragma once
// What is asked of the restored data before it is served: its first rows, and the restore's own question
// (spec.verification).

#include <optional>

#include "agent/server/private_server.h"
#include "agent/volume/journal.h"

namespace dbrestore::agent {

// By a role that may read what was restored and change nothing: whatever asks a table anything may run
// functions of the dump, if only because the planner computes what an index has of constants. Nothing where
// all can be read and the answer is the expected one; else VerificationFailed.
std::optional<AgentResult> read_restored(const Context& context, const PrivateServer& server,
                                         const Journal& journal);

}  // namespace dbrestore::agent
