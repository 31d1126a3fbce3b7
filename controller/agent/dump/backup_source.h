#pragma once
// The backup that a restore means, in its store.

#include <optional>

#include "agent/dump/dump_file.h"
#include "agent/programs.h"
#include "agent/surroundings.h"
#include "backups/store_reader.h"

namespace dbrestore::agent {

// Where this pod has what its store needs.
backups::StoreAccess store_access(const Context& context);

// The one that the request names; or the newest that its choice fits. Failures: those of
// backups::list_backups and open_backup.
std::optional<backups::Failure> open_backup(const Context& context, backups::OpenBackup& backup);

struct Telling {
    const char* words;
    int64_t percent_of_step;  // what of the step is over when all has been read
};

// Unpacks it into `take_file`, and tells how far it is: "reading the backup: 1.5 GiB of 2.0 GiB". Failures:
// those of backups::unpack.
std::optional<backups::Failure> unpack_backup(const Context& context, backups::OpenBackup& backup,
                                              const Telling& telling, int64_t max_bytes,
                                              const backups::TakeFile& take_file);

// Why a dump in this format cannot be restored; nothing where it can: plain SQL only where psql is safe, and
// not in mode Clean.
std::optional<backups::Failure> refuse_format(const Context& context, DumpFormat format,
                                              const RestorePrograms& programs);

void tell_bytes(const Context& context, const Telling& telling, int64_t bytes, int64_t total_bytes);

// A dump in one file on a volume, as it is, needs neither to be unpacked nor to be copied. Nothing for all
// others.
std::optional<DumpFile> usable_in_place(backups::OpenBackup& backup);

}  // namespace dbrestore::agent
