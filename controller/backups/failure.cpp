#include "backups/failure.h"

namespace dbrestore::backups {

Failure to_failure(const base::Error& error) {
    switch (error.kind) {
        case base::ErrorKind::unavailable:
            return {"StoreUnreachable", to_text(error), true};
        case base::ErrorKind::refused:
            return {"StoreAccessDenied", to_text(error)};
        case base::ErrorKind::not_found:
            return {"BackupNotFound", to_text(error)};
        case base::ErrorKind::conflict:
            return {"BackupChanged", to_text(error)};
        case base::ErrorKind::invalid:
            return {"BackupDamaged", to_text(error)};
        default:
            return {"BackupUnreadable", to_text(error), true};
    }
}

}  // namespace dbrestore::backups
