#pragma once
// What a pgBackRest repository holds, as `pgbackrest info --output=json` tells it, and which backup a
// recovery begins with. Pure; the text is untrusted.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/timelines.h"
#include "backups/failure.h"
#include "base/clock.h"
#include "resources/point_in_time.h"

namespace dbrestore::agent {

struct BackupSet {
    std::string label;       // "20261122-100000F", or with "_20261122-110000I"
    int64_t repository = 1;  // its number in the configuration
    int64_t timeline = 1;
    uint64_t start_lsn = 0, stop_lsn = 0;
    int64_t stop_seconds = 0;  // since 1970; the whole second in which it ended
    int64_t size_bytes = 0;    // of the data directory
    bool damaged = false;      // pages had wrong checksums
    std::string system_identifier, version;
    std::string archive = {};  // the folder with its WAL, below the stanza's: "15-1"
};

// Those of the stanza; an entry that is none is left out. Failures: StanzaNotFound; RepositoryUnreadable,
// which may pass; RepositoryDamaged.
std::optional<backups::Failure> backup_sets_from_info(const std::string& json, const std::string& stanza,
                                                      std::vector<BackupSet>& sets);

// When it had ended for certain: info tells the second in which it did.
base::Time certain_end(const BackupSet& set);

// Which of several repositories cannot be read, and why; empty where all can.
std::string unreadable_repositories(const std::string& json, const std::string& stanza);

// Whose data directory it is.
struct Identity {
    std::string system_identifier, version;
};

// The newest backup of a server of this version; null where there is none.
const BackupSet* newest_backup_set(const std::vector<BackupSet>& sets, const std::string& version);

// The newest backup from which WAL of this timeline leads to the target; for a transaction or a name, of
// which nobody knows where it lies, the oldest. Failures: AnotherCluster; NoBackup; TargetTooEarly, with the
// earliest point.
std::optional<backups::Failure> choose_backup_set(const std::vector<BackupSet>& sets,
                                                  const Identity& identity, const Timeline& timeline,
                                                  const resources::PointInTime& target, BackupSet& chosen);

// The earliest one that can be reached on this timeline, for people; empty where none can.
std::string earliest_point(const std::vector<BackupSet>& sets, const Identity& identity,
                           const Timeline& timeline);

}  // namespace dbrestore::agent
