#pragma once
// Why a backup cannot be used: a reason for conditions, and a text that says what must be.

#include <string>

#include "base/result.h"

namespace dbrestore::backups {

struct Failure {
    // StoreUnreachable, StoreAccessDenied, BackupNotFound, BackupChanged, BackupUnreadable, BackupDamaged,
    // BackupEmpty, BackupTooLarge, UnsupportedFormat, UnsafeArchive, SeveralDumps
    std::string reason;
    std::string message;
    bool may_pass = false;  // another attempt may do better
};

// What the kinds of error mean where a backup is read. unavailable: StoreUnreachable; refused:
// StoreAccessDenied; not_found: BackupNotFound; conflict: BackupChanged; invalid: BackupDamaged; the rest:
// BackupUnreadable.
Failure to_failure(const base::Error& error);

}  // namespace dbrestore::backups
