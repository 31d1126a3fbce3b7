#pragma once
// What must hold whatever happens. Looks only at the modelled cluster and volume, never at what the operator
// remembers; I1 to I8 are those of docs/architecture.md.

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "kube/transport.h"
#include "resources/agent_protocol.h"
#include "resources/database_restore.h"
#include "simulation/store.h"
#include "simulation/volume.h"

namespace dbrestore::simulation {

// Of a server's stores. Longer than the longest stillness, so that a run comes to rest.
inline constexpr int64_t list_interval_seconds = 36'000;

// Stands where secrets stand: in the environment of the database, and in what the agent's children print.
inline constexpr const char* secret_text = "hunter2-correct-horse";

// A PostgresServer that waits for what lies in one of its stores.
bool is_listing(const json& server);

class Invariants {
public:
    Invariants(const Store& store, const SimulatedClock& clock, const std::map<Key, Volume>& volumes)
        : store_(store), clock_(clock), volumes_(volumes) {}

    // After each step of the scheduler.
    void check();
    // When everything has come to rest.
    void check_at_rest();
    void check_expired();

    void changed(const Collection& kind, const json* before, const json* after);
    void operator_asks(const kube::Request& request);
    void server_starts(const Volume& volume);
    void dropping(const std::string& name, const Database& database, const std::string& step,
                  const std::string& restore_uid);
    void exchanging(const Volume& volume, const resources::AgentRequest& request);
    void taking_back(const Volume& volume, const resources::AgentRequest& request);
    void claim_deleted(const Key& key);
    // An operator looks at one object anew, and decides.
    void round_begins(size_t number);
    // The API server's list of the pods has reached it.
    void pods_looked_at(size_t number, const std::string& namespace_name);
    // A client writes to the database that this pod serves.
    void served(const std::string& pod_uid, const Database& database);
    void live_check_passed(const std::string& restore_uid) { passed_live_.insert(restore_uid); }
    // Old data whose retention has passed for a while, and that somebody could drop.
    std::vector<std::string> overdue() const;

    // The step `catalog` told what lies in a store.
    void listed(const resources::AgentRequest& request, const resources::AgentResult& result);
    // A store appears.
    void list_is_due_again();
    // What it shows before may be what was decided on.
    void clock_jumps() { note_time(), list_is_due_again(); }
    // What is listed is what lies there; also not too long ago.
    void check_lists();

    // A person made these the user's wish, or took away what the end is judged by.
    int64_t wanted_replicas = 1;
    std::string wanted_database;  // empty: the server's own
    bool namespace_deleted = false;
    std::map<Key, bool> wanted_suspended;  // CronJobs, by what their owner did last
    // Pods that people started on the claim themselves, before any fence.
    bool operator_is_acting = false;
    size_t acting_operator = 0;
    // All DatabaseRestores up to this version are known to the operator that acts.
    uint64_t known_restores_version = 0;

    void broken(const std::string& what);
    std::function<void(const std::string& what)> on_broken;  // for the story
    const std::vector<std::string>& broken_promises() const { return broken_; }

private:
    static std::string attempt_of(const json& job);
    void job_created(const json& job);
    void check_repository(const json& job);
    void cleanup_begins(const json& job);
    void check_database(const json& job);
    void undo_exchanges(const Database& live, const Database& returning, const std::string& uid);
    void data_is_in_place(const resources::DatabaseRestore& restore, const Volume& volume);
    void kept_is_there(const resources::DatabaseRestore& restore);
    bool is_being_removed(const std::string& restore_uid) const;
    void nothing_is_being_removed();
    bool is_needed_by_an_undo(const std::string& name) const;
    void restore_changed(const json* before, const json* after);
    void restore_ended(const resources::DatabaseRestore& restore);
    void check_conditions(const resources::DatabaseRestore& restore);
    void workload_changed(const json& before, const json& after);
    void lock_changed(const json& before, const json& after);
    void cron_job_changed(const json& before, const json& after);
    void cron_jobs_are_noted(const json& server);
    void cron_jobs_run_again();
    void listing_job_created(const json& job);
    void list_is_owed(const json& server, const json& restore);
    void list_is_owed(const json& server, const std::string& store, const std::string& restore_uid);
    void list_changed(const json& before, const json& after);
    void history_changed(const json& server);
    void check_list(const json& server, const json& store);
    void check_restore_at_rest(const resources::DatabaseRestore& restore);
    void check_server_at_rest(const json& server);
    const Volume* volume_of(const std::string& server, const std::string& namespace_name) const;

    const Store& store_;
    const SimulatedClock& clock_;
    const std::map<Key, Volume>& volumes_;
    std::vector<std::string> broken_;
    std::set<std::string> jobs_made_;  // by name: restore UID, step, attempt
    // What is promised is a time of day (status.previousData.expirationTime), since no count of seconds
    // outlives a restart of the operator. Once the clock has shown it, the promise was kept: the drop may be
    // under way when the clock is set back. Set forward, it makes all times pass early, and nobody can tell.
    struct KeptData {
        base::Time until{}, at_latest{};
        bool passed = false;  // the clock has shown `until`
        std::string server, server_uid, namespace_name, restore, restore_uid;
    };
    void note_time();
    void keep(const resources::DatabaseRestore& restore, base::Time until, base::Time at_latest);
    void lock_taken(const json& server);
    void restore_vanished(const resources::DatabaseRestore& restore);
    std::map<std::string, KeptData> kept_;          // by the old database's name
    std::map<std::string, std::string> succeeded_;  // server/name → UID
    std::map<std::string, std::string> in_place_;   // the same, of whoever ended with its data being served
    std::map<std::string, std::string> undoes_;     // UID of an Undo → server/name
    std::set<std::string> vanished_in_place_;       // UIDs of those whose data was served when they vanished
    std::map<std::string, std::string> replaced_;   // UID → who had made the data that its commit replaced
    std::map<std::string, uint64_t> queued_at_;     // UID → the version that put it into the queue
    std::set<std::string> passed_live_;             // UIDs of restores whose check through the network passed
    bool service_is_knowable(const std::string& restore_uid) const;
    void stopping(const std::string& namespace_name);
    struct Service {
        std::string placed_by;
        bool seen = false;  // a look fell into its time
    };
    std::map<std::string, Service> services_;  // of new data, by the pod's UID
    std::set<std::string> stopped_pods_;       // by an operator that had looked in the same round
    struct Round {
        bool looked = false;
        base::Time earliest{}, latest{};  // that the clock has shown in it
        std::string locked_by = {};       // UID of the restore that held the lock when it began
    };
    std::map<size_t, Round> rounds_;  // by the operator
    bool operator_scaled_to_zero_ = false;
    // By the server's UID and the attempt: what its runs may have told. By the server's UID and the store:
    // the newest attempt, and when its Job was made.
    std::map<std::string, std::vector<std::vector<std::string>>> told_lists_;
    struct Listing {
        int64_t attempt = 0;
        std::chrono::steady_clock::time_point made{};
        int owed = 0;  // beside the interval: one for each restore that began after another
        std::string restore_uid;
    };
    std::map<std::string, Listing> list_made_;
    // Of how far the lists are, by the UID of their server, since its newest Job was made.
    std::map<std::string, int> list_writes_;
};

}  // namespace dbrestore::simulation
