#pragma once
// DatabaseRestore, dbrestore.dev/v1alpha1: one act of restoring. The fields are described in
// crds/databaserestores.yaml.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "resources/conditions.h"
#include "resources/kubernetes.h"
#include "resources/point_in_time.h"
#include "resources/store.h"

namespace dbrestore::resources {

inline constexpr const char* api_group = "dbrestore.dev";
inline constexpr const char* api_version = "dbrestore.dev/v1alpha1";
inline constexpr const char* finalizer_name = "dbrestore.dev/restore";
inline constexpr const char* executed_annotation = "dbrestore.dev/executed-uid";

enum class Phase {
    pending,
    queued,
    validating,
    stopping,
    preparing,
    verifying,
    awaiting_approval,
    committing,
    starting,
    rolling_back,
    unknown,  // of another version's making: left alone
    succeeded,
    failed,
    cancelled
};

std::string to_text(Phase phase);
std::optional<Phase> phase_from_text(
    const std::string& text);  // empty is pending; nothing for a name that is none
inline bool is_final(Phase phase) {
    return phase >= Phase::succeeded;
}

struct BackupSource {
    std::string claim_name;  // of a PersistentVolumeClaim; or
    std::string store;       // the name of one of the server's stores
    BackupChoice choice;     // a file of a claim is chosen by its path
};

struct Verification {
    std::string query;
    std::optional<std::string> expect;  // absent: the query must only succeed

    bool operator==(const Verification&) const = default;
};

struct RestoreSpec {
    std::string server_name;
    std::string type;  // PointInTime, ScheduledBackup, ManualBackup, Dump or Undo
    PointInTime point_in_time;
    BackupSource backup;
    std::string undo_name;  // of the DatabaseRestore that is to be undone
    std::string mode = "Replace", logical_database, run_as = "Owner";
    int64_t jobs = 0;
    bool acknowledge_data_loss = false, approved = false, cancel_requested = false;
    std::string strategy = "StopFirst", approval = "Automatic", dry_run = "None";
    int64_t retain_seconds = 86400, starting_deadline_seconds = 3600, active_deadline_seconds = 86400,
            max_attempts = 3;
    std::optional<Verification> verification;
};

struct PreflightFinding {
    std::string check;
    enum class Outcome { passed, warning, failed } outcome = Outcome::passed;
    std::string message;

    bool operator==(const PreflightFinding&) const = default;
};

struct RestorePlan {
    std::vector<std::string> steps, what_is_lost;
    int64_t estimated_downtime_seconds = 0, bytes = 0;

    bool operator==(const RestorePlan&) const = default;
};

struct Progress {
    std::string step, summary;
    int64_t percent = 0, bytes_done = 0, bytes_total = 0, entries_done = 0, entries_total = 0;
    std::optional<int64_t> eta_seconds;

    bool operator==(const Progress&) const = default;
};

struct PreviousData {
    bool available = false;
    std::string database;
    int64_t size_bytes = 0;
    std::optional<base::Time> expiration_time;
    std::string directory = {};  // below the data directory, where all files of the server are kept

    bool operator==(const PreviousData&) const = default;
};

// The time whose changes are served no more: between what was recovered and the stop.
struct LostInterval {
    std::string from;  // as RecoveredTo has it; empty where it is unknown
    base::Time to{};

    bool operator==(const LostInterval&) const = default;
};

// Which run of which agent step is under way; with the UID it names the Job.
struct StepAttempt {
    std::string name;
    int64_t attempt = 1;
    base::Time start_time{};
    std::string job_uid;  // once the Job was seen: if it then disappears, somebody deleted it
    // Rises with every attempt of every step of the restore. The volume remembers the highest that worked on
    // it, so a Job that comes late, made by a controller that was paused, is refused there.
    int64_t sequence = 1;
    int64_t failures = 0;  // attempts of this step that failed; looks for what was missing do not count

    bool operator==(const StepAttempt&) const = default;
};

// Who owns the data directory: the uid that the Jobs run as.
struct DataOwner {
    int64_t uid = 0, gid = 0;

    bool operator==(const DataOwner&) const = default;
};

// What the restore will end with once it has been rolled back.
struct Failure {
    std::string reason, message;
    bool cancelled = false;

    bool operator==(const Failure&) const = default;
};

struct RestoreStatus {
    int64_t observed_generation = -1;
    Phase phase = Phase::pending;
    std::optional<base::Time> start_time, completion_time, stop_time;
    Conditions conditions;
    std::string target, source_store, source_name;
    std::string source_identity;  // of the content that was checked
    std::vector<PreflightFinding> preflight;
    std::optional<RestorePlan> plan;
    std::optional<Progress> progress;
    std::optional<int64_t> downtime_seconds, original_replicas;
    std::optional<RecoveredTo> recovered_to;  // from the commit on, of a point in time
    std::optional<LostInterval> lost_interval;
    std::optional<PreviousData> previous_data;
    std::string replaced_database;  // the name that it had; from the commit on
    std::optional<StepAttempt> step;
    std::optional<DataOwner> data_owner;
    std::optional<Failure> failure;

    bool operator==(const RestoreStatus&) const = default;
};

struct DatabaseRestore {
    ObjectMeta meta;
    RestoreSpec spec;
    RestoreStatus status;
};

DatabaseRestore restore_from_json(const nlohmann::json& object);

// The whole of `status`: what is missing from it is taken away by server-side apply.
nlohmann::json to_json(const RestoreStatus& status);

nlohmann::json to_json(const StepAttempt& step);
StepAttempt step_from_json(const nlohmann::json& document);
nlohmann::json to_json(const DataOwner& owner);
DataOwner owner_from_json(const nlohmann::json& document);
nlohmann::json to_json(const Verification& verification);
Verification verification_from_json(const nlohmann::json& document);
nlohmann::json to_json(const Progress& progress);
Progress progress_from_json(const nlohmann::json& document);
nlohmann::json to_json(const std::vector<PreflightFinding>& findings);
std::vector<PreflightFinding> findings_from_json(const nlohmann::json& list);

}  // namespace dbrestore::resources
