#pragma once
// The restore's own question to the restored data (spec.verification).

#include <optional>

#include "agent/journal.h"
#include "agent/private_server.h"

namespace dbrestore::agent {

// Asked in the new database by a role that may read everything and change nothing, since what is asked may
// run functions of the dump. Nothing where the answer is the expected one, or there is no question; else
// VerificationFailed.
std::optional<AgentResult> ask_question(const Context& context, const PrivateServer& server,
                                        const Journal& journal);

}  // namespace dbrestore::agent
