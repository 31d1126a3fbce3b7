#pragma once
// PostgresServer, dbrestore.dev/v1alpha1: what there is to restore. The fields are described in
// crds/postgresservers.yaml.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "resources/conditions.h"
#include "resources/database_restore.h"
#include "resources/kubernetes.h"

namespace dbrestore::resources {

// What the owner of the server states; empty or absent means "infer it from the pod template".
struct PostgresOverrides {
    std::string container, data_directory, volume, database;
    std::optional<int64_t> uid, port;
    std::string secret_name, username_key, password_key, database_key;
};

// Where the connection's name or password comes from.
struct Credential {
    std::string
        value;  // literal in the template (user and database only: a literal password is never copied)
    std::string secret_key;  // or a key of the connection Secret

    bool operator==(const Credential&) const = default;
};

// All that a restore needs to know of the workload.
struct Inferred {
    std::string container, image, data_directory, volume, claim_name, mount_path, sub_path, secret_name;
    Credential user, password, database;
    std::optional<int64_t> uid,
        gid;  // absent: the container starts as root and drops to the directory's owner
    int64_t port = 5432;

    bool operator==(const Inferred&) const = default;
};

struct ActiveRestore {
    std::string name, uid;
    bool operator==(const ActiveRestore&) const = default;
};

struct Fence {
    std::string restore_uid, restore_name;
    std::vector<std::string> claim_names;
    bool operator==(const Fence&) const = default;
};

struct PausedCronJob {
    std::string name;
    bool was_suspended = false;  // before the restore, by its owner

    bool operator==(const PausedCronJob&) const = default;
};

// Field manager dbrestore-lock owns exactly these. They are all that is left of a restore whose object was
// taken away, so they must suffice to bring the database back.
struct LockState {
    std::optional<ActiveRestore> active_restore;
    std::optional<int64_t> original_replicas;  // from the stop on
    std::optional<Fence> fence;
    std::optional<DataOwner> data_owner;
    std::vector<PausedCronJob> paused;
    std::string database;        // that is restored, where it is not the server's own
    bool point_in_time = false;  // the whole server is, from its repository
    // The workload was let run on the restored data, and no look at the stopped one has shown yet that nobody
    // was served.
    bool may_be_served = false;

    bool operator==(const LockState&) const = default;
};

struct HistoryEntry {
    std::string restore, uid, result;  // result: Succeeded, Failed, Cancelled
    std::string database;  // that was restored; empty where it was the server's own, or is unknown
    base::Time completion_time{};
    // The database kept under another name, until the entry's cleanup has dropped it.
    std::string previous_database;
    int64_t previous_size_bytes = 0;
    std::optional<base::Time> expiration_time;
    // Or the folder with all files of the server, and whom they belong to, until the cleanup has removed it.
    std::string previous_directory = {};
    std::optional<DataOwner> data_owner = {};
    // Names the Job that removes it; from the first one on nothing brings it back.
    int64_t cleanup_attempt = 0;

    bool keeps_data() const { return !previous_database.empty() || !previous_directory.empty(); }
    bool operator==(const HistoryEntry&) const = default;
};

// In the list of the stores the pgBackRest repository has this name; no store may have it (CRD).
inline constexpr const char* repository_store_name = "pgBackRest";

// How far the listing of a store, or of the repository, is.
struct StoreStatus {
    std::string name;
    int64_t attempt = 0;                   // names the Job; 0: none was made yet
    std::optional<base::Time> start_time;  // of the attempt that is under way; none is without
    std::optional<base::Time> list_time;   // when the last attempt was over
    int64_t backup_count = 0;              // of all that are there; `backups` shows the newest
    std::string reason, message;           // of what failed; empty where the list is good
    std::string restore_uid;  // of the restore from this store that had begun when the last attempt did

    bool operator==(const StoreStatus&) const = default;
};

struct ListedBackup {
    std::string store, kind;
    Backup backup;

    bool operator==(const ListedBackup&) const = default;
};

struct ServerStatus {
    int64_t observed_generation = -1;
    std::optional<Inferred> inferred;
    std::vector<HistoryEntry> history;  // newest last, at most 100
    int64_t listings = 0;               // the attempts of all stores, also of those that are gone
    std::vector<StoreStatus> stores;
    std::vector<ListedBackup> backups;     // newest first
    std::optional<StepAttempt> take_over;  // how far the clean-up after a vanished restore is
    Conditions conditions;
    std::optional<ReachablePoints> reachable = {};  // from the repository, as its last good listing told

    bool operator==(const ServerStatus&) const = default;
};

// Where the server archives to.
struct PgBackRestRepository {
    std::string stanza, config_secret;  // the Secret with the key pgbackrest.conf
};

struct PostgresServer {
    ObjectMeta meta;
    std::string workload_kind, workload_name;
    PostgresOverrides overrides;
    std::vector<Store> stores;
    int64_t catalog_interval_seconds = 600;
    std::optional<PgBackRestRepository> repository;  // of pointInTimeRecovery
    std::vector<std::string> suspend;                // names of CronJobs
    ServerStatus status;                             // field manager dbrestore
    LockState lock;                                  // field manager dbrestore-lock
};

PostgresServer server_from_json(const nlohmann::json& object);
nlohmann::json to_json(const ServerStatus& status);
nlohmann::json to_json(const LockState& lock);

}  // namespace dbrestore::resources
