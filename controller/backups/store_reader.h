#pragma once
// Lists a store and opens what lies in it, whatever kind of store it is.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backups/failure.h"
#include "backups/folder.h"
#include "backups/http_exchange.h"
#include "resources/store.h"

namespace dbrestore::backups {

// Where the pod has what a store needs; a folder that is absent is an optional Secret that does not exist.
struct StoreAccess {
    std::string source_directory;  // the claim, mounted
    std::string
        credentials_directory;      // AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, and maybe AWS_SESSION_TOKEN
    std::string headers_directory;  // one file a request header
    std::string ca_directory;       // ca.crt
    std::string default_ca_file;    // for stores that name no authority of their own; may be absent
    HttpLimits limits;
};

// Either a stream or, on a volume, a file or folder.
struct OpenBackup {
    resources::Backup facts;
    std::unique_ptr<ByteSource> stream;
    std::optional<OpenFile> local;
};

// Newest first; checksums, signatures and the like beside backups are left out. Failures: as failure.h, and
// StoreSecretMissing (waits for the Secret), StoreNotListable
// (HTTP), StoreUnreadable, StoreTooLarge.
std::optional<Failure> list_backups(const resources::Store& store, const StoreAccess& access,
                                    std::vector<resources::Backup>& backups);

// Describes them as far as that is cheap: all where they lie on a volume, the newest few where each costs a
// request. One that cannot be read is left as it is, and a store that fails is asked for no more of them.
void describe_backups(const resources::Store& store, const StoreAccess& access,
                      std::vector<resources::Backup>& newest_first);

// `identity`: empty, or what the backup must still be (BackupChanged). Failures: as above.
std::optional<Failure> open_backup(const resources::Store& store, const StoreAccess& access,
                                   const std::string& name, const std::string& identity, OpenBackup& backup);

}  // namespace dbrestore::backups
