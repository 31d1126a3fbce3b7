#pragma once
// The physical engine: a copy of the whole server is brought to a point in time beside the database's own
// files, which stay as they are, and then the two change places. Afterwards the old files lie where the copy
// lay.

#include "agent/point_in_time/recovery_plan.h"
#include "agent/server/enter.h"
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

// The same of an undo, whose copy is what the undone restore has kept: it is renamed, and begins a timeline
// above all others, since that of its own may have been archived beyond its end. PreviousDataGone.
std::optional<AgentResult> bring_back_kept(const Context& context, Work& work);

// Nothing where the kept files are there and can be read: PreviousDataGone; ControlFileUnreadable;
// BadRequest.
std::optional<backups::Failure> look_at_kept(const WorkFolder& folder, const std::string& undone_uid);

// The copy takes the place of the database's files, which are behind the stub from then on. The journal says
// `committed` on success; may be run again after a crash at any point.
std::optional<AgentResult> put_copy_in_place(const Context& context, Work& work);

// The other way, from any state; the journal says `prepared` on success. Where a server has run on the copy,
// the old files first get a timeline of their own above all others: two that archive under one would destroy
// each other's WAL.
std::optional<AgentResult> put_old_files_back(const Context& context, Work& work);

// From when on the copy's timeline is the live one.
base::Status remember_timeline(const Work& work);

// On the way back: a copy is removed, what an undo has taken is given back. Errors: io.
base::Status clear_beside(const Work& work);

// Errors: io.
base::Status remove_beside(const WorkFolder& folder, const std::string& restore_uid);

}  // namespace dbrestore::agent
