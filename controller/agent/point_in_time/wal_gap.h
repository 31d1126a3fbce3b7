#pragma once
// Whether the WAL that leads from a backup to a point in time is all there. A recovery would find out with
// the database down.

#include "agent/point_in_time/recovery_plan.h"

namespace dbrestore::agent {

// Looks at the archive of the backup's repository, and at what the server itself still has. Nothing where no
// segment is missing, where the point lies before what is, or where it cannot be told: for a transaction or a
// name, and with more than one repository. Failures: WalGap; those of WalArchive.
std::optional<backups::Failure> refuse_gap(const Context& context, const RecoveryPlan& plan);

}  // namespace dbrestore::agent
