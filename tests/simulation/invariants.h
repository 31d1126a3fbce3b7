#pragma once
// What must hold whatever happens. Looks only at the modelled cluster and volume, never at what the operator
// remembers; I1 to I8 are those of docs/architecture.md.

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

// Stands where secrets stand: in the environment of the database, and in what the agent's children print.
inline constexpr const char* secret_text = "hunter2-correct-horse";

class Invariants {
public:
    Invariants(const Store& store, const SimulatedClock& clock, const std::map<Key, Volume>& volumes)
        : store_(store), clock_(clock), volumes_(volumes) {}

    // After each step of the scheduler.
    void check();
    // When everything has come to rest.
    void check_at_rest();

    void changed(const Collection& kind, const json* before, const json* after);
    void operator_asks(const kube::Request& request);
    void server_starts(const Volume& volume);
    void dropping(const std::string& name, const Database& database, const std::string& step);
    void exchanging(const Volume& volume, const resources::AgentRequest& request);
    void taking_back(const Volume& volume, const resources::AgentRequest& request);
    void claim_deleted(const Key& key);

    // A person made these the user's wish, or took away what the end is judged by.
    int64_t wanted_replicas = 1;
    bool namespace_deleted = false;
    // Pods that people started on the claim themselves, before any fence.
    bool operator_is_acting = false;

    void broken(const std::string& what);
    const std::vector<std::string>& broken_promises() const { return broken_; }

private:
    static std::string attempt_of(const json& job);
    void job_created(const json& job);
    void restore_changed(const json* before, const json* after);
    void restore_ended(const resources::DatabaseRestore& restore);
    void check_conditions(const resources::DatabaseRestore& restore);
    void workload_changed(const json& before, const json& after);
    void lock_changed(const json& before, const json& after);
    void check_restore_at_rest(const resources::DatabaseRestore& restore);
    void check_server_at_rest(const json& server);
    const Volume* volume_of(const std::string& server, const std::string& namespace_name) const;

    const Store& store_;
    const SimulatedClock& clock_;
    const std::map<Key, Volume>& volumes_;
    std::vector<std::string> broken_;
    std::set<std::string> jobs_made_;                        // by name: restore UID, step, attempt
    std::map<std::string, base::Time> may_be_dropped_from_;  // old database → when retention has passed
    std::map<std::string, std::string> succeeded_;           // server/name → UID
    bool operator_scaled_to_zero_ = false;
};

}  // namespace dbrestore::simulation
