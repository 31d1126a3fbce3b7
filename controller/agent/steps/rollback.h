#pragma once
#include "agent/server/enter.h"

namespace dbrestore::agent {

// Takes back whatever the restore of the journal in `work` did, from any state, and puts the files back in
// their place. The files come back even where a server cannot be started on them.
AgentResult take_back(const Context& context, Work& work);

// After a commit: ledger, ballast, and the files in their place. May be run again.
std::optional<AgentResult> finish_commit(Work& work);

}  // namespace dbrestore::agent
