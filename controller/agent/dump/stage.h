#pragma once
// Brings a backup's dump onto the data volume, unpacked while it is downloaded, where pg_restore's workers
// can read it. It lies in the work folder until it is restored, or whatever came instead is over.

#include <optional>

#include "agent/dump/backup_source.h"
#include "agent/volume/journal.h"

namespace dbrestore::agent {

// What an earlier attempt left is replaced. Failures: those of
// backups::unpack and refuse_format.
std::optional<backups::Failure> stage_dump(const Context& context, const WorkFolder& folder,
                                           const RestorePrograms& programs, backups::OpenBackup& backup,
                                           DumpFile& dump);

void remove_staged(const WorkFolder& folder);

}  // namespace dbrestore::agent
