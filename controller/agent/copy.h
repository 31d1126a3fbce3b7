#pragma once
// The physical engine: a copy of the whole server is brought to a point in time beside the database's own
// files, which stay as they are, and then the two change places. Afterwards the old files lie where the copy
// lay.

#include "agent/enter.h"
#include "agent/recovery_plan.h"
#include "agent/space.h"

namespace dbrestore::agent {

struct SpaceForCopy {
    bool suffices = false;
    std::string message;  // what is needed, and what is free
};
SpaceForCopy space_for_copy(const DiskSpace& space, int64_t backup_bytes);

// The journal is this restore's and says `preparing`; on success it says `prepared`. What an earlier attempt
// left is replaced.
std::optional<AgentResult> make_copy(const Context& context, Work& work, const RecoveryPlan& plan);

// The copy takes the place of the database's files, which are behind the stub from then on. The journal says
// `committed` on success; may be run again after a crash at any point.
std::optional<AgentResult> put_copy_in_place(const Context& context, Work& work);

// The other way, from any state; the journal says `prepared` on success. Where a server has run on the copy,
// the old files first get a timeline of their own above all others: two that archive under one would destroy
// each other's WAL.
std::optional<AgentResult> put_old_files_back(const Context& context, Work& work);

// From when on the copy's timeline is the live one.
base::Status remember_timeline(const Work& work);

// Errors: io.
base::Status remove_beside(const WorkFolder& folder, const std::string& restore_uid);

}  // namespace dbrestore::agent
