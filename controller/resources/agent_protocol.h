#pragma once
// What controller and agent say to each other. The request goes in by one environment variable; progress and
// result come back as framed lines of the pod's log, and the termination message names outcome and digest of
// the result frame. A pod runs beside untrusted data, so whatever does not frame correctly is not ours.

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "resources/database_restore.h"
#include "resources/point_in_time.h"
#include "resources/store.h"

namespace dbrestore::resources {

inline constexpr const char* request_variable = "DBRESTORE_REQUEST";
inline constexpr const char* pod_uid_variable = "DBRESTORE_POD_UID";
inline constexpr const char* bundle_directory = "/dbrestore";
inline constexpr const char* source_directory = "/dbrestore-source";
inline constexpr const char* secret_directory = "/dbrestore-secret";
// pgbackrest.conf, and what it names.
inline constexpr const char* repository_directory = "/dbrestore-repository";
// Below it what a store needs: credentials, headers, ca.
inline constexpr const char* store_directory = "/dbrestore-store";
inline constexpr size_t max_listed_backups = 100;

struct AgentRequest {
    std::string step;  // probe, catalog, preflight, quiesce, prepare, verify, commit, rollback, cleanup
    std::string restore_name, restore_uid;
    int64_t attempt = 1, sequence = 1;
    bool undo = false;          // new_database is one that is kept already: it takes the name back
    std::string undone_uid;     // with point_in_time: of the restore whose kept files come back
    bool clean = false;         // logical.mode Clean: into a copy of today's database
    bool as_superuser = false;  // logical.runAs Superuser
    std::optional<PointInTime> point_in_time;  // the whole server, from a pgBackRest repository
    std::string stanza;                        // of it; also for a catalog of the repository
    int64_t timeline = 0;                      // verify of a running server: the one that must be live

    std::string data_directory;  // as the database's container sees it
    std::vector<std::string>
        server_arguments;  // the arguments the pod gives to postgres, "-c", "name=value", …

    std::string host;  // a running server; empty: none, or the step starts a private one
    int64_t port = 5432;
    std::string user, database;                        // literal; else
    std::string user_key, password_key, database_key;  // files below the secret directory

    Store store;              // where the backup lies
    BackupChoice choice;      // preflight: which one is meant, unless it has a name already
    std::string backup_name;  // of the one that was chosen, and what it must still be
    std::string backup_identity;
    std::optional<Verification> verification;      // verify
    int64_t jobs = 0;                              // 0: the pod's CPUs
    std::string new_database, old_database, role;  // names of this restore's making
};

struct AgentResult {
    enum class Outcome {
        done,       // the step's promise holds
        failed,     // bad input, or a check against it: another attempt would end the same
        retryable,  // infrastructure; another attempt may do better
    } outcome = Outcome::failed;
    std::string reason;                      // CamelCase; empty when done
    std::string message;                     // for people; never a secret
    std::vector<PreflightFinding> findings;  // preflight
    std::vector<std::string>
        waiting_for;                  // findings (by check) that end by themselves when an object appears
    std::optional<int64_t> uid, gid;  // probe: owner of the data directory
    int64_t bytes = 0;                // preflight: expected size of the new database; commit: size of the old
    int64_t estimated_seconds = 0;    // preflight: how long the database will be down
    std::vector<std::string> what_is_lost;    // preflight
    std::string server_version;               // verify
    std::string database;                     // commit: whose name the new one has taken
    std::vector<Backup> backups;              // catalog: the newest, at most max_listed_backups
    int64_t backup_count = 0;                 // catalog: of all that are there
    std::optional<Backup> chosen;             // preflight: what was checked
    std::optional<RecoveredTo> recovered_to;  // prepare and commit of a point in time
    // verify of a running server: whether the Secret opens the database. A point in time has the passwords of
    // then.
    std::optional<bool> credentials_match;
    std::optional<ReachablePoints> reachable = {};  // catalog of a pgBackRest repository
};

nlohmann::json to_json(const AgentRequest& request);
base::Result<AgentRequest> request_from_text(const std::string& text);  // invalid

// A line of the pod's log: "DBRESTORE/1 <sequence> <kind> <sha256 of the document> <document>\n". kind:
// progress or result.
std::string progress_frame(int64_t sequence, const Progress& progress);
std::string result_frame(int64_t sequence, const AgentResult& result);
// At most 2 kB of JSON: outcome, reason, message cut to fit, sha256 of the result frame's document.
std::string termination_message(const AgentResult& result);

// What of a pod's log is ours.
struct AgentReport {
    std::optional<Progress> progress;   // the newest
    std::optional<AgentResult> result;  // only where the termination message names its digest
    bool result_lost = false;  // the pod ended without a result that can be believed: run the step again
};

// `termination` is empty while the container runs. Hostile or torn lines are skipped.
AgentReport parse_agent_report(std::string_view log, std::string_view termination, bool terminated);

}  // namespace dbrestore::resources
