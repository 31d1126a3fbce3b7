#pragma once
// Proves that a backup holds one dump that pg_restore reads to its last byte. Nothing of it is kept.

#include <optional>
#include <string>

#include "agent/dump/archive.h"
#include "agent/dump/backup_source.h"

namespace dbrestore::agent {

struct ProvenDump {
    Archive archive;
    DumpFormat format = DumpFormat::custom;
    int64_t output_bytes = 0;  // of SQL and data that come out of it
    int64_t staged_bytes =
        0;  // that it takes on the data volume while it is restored; 0 where it is used as it lies
};

// `max_bytes`: what it may take there. Failures: those of backups::unpack, read_archive, prove_readable and
// refuse_format.
std::optional<Failure> prove_backup(const Context& context, backups::OpenBackup& backup,
                                    const RestorePrograms& programs, int64_t max_bytes, ProvenDump& proven);

}  // namespace dbrestore::agent
