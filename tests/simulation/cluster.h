#pragma once
// What else lives in a cluster: the controllers of StatefulSets and Jobs, the kubelet with its pods'
// processes, the garbage collector, and the admission policy of the fence.

#include <functional>
#include <map>
#include <string>

#include "simulation/agent.h"
#include "simulation/api_server.h"
#include "simulation/invariants.h"

namespace dbrestore::simulation {

// How the world behaves in a scenario, and how likely trouble is while it lasts.
struct Behaviour {
    bool dump_is_there = true, dump_is_good = true;
    bool ready_on_new_data = true, live_check_passes = true;
    double agent_killed = 0, result_lost = 0, pod_stuck = 0, slow_end = 0, not_ready = 0, odd_result = 0;
    void calm() { agent_killed = result_lost = pod_stuck = slow_end = not_ready = odd_result = 0; }
};

class Cluster {
public:
    Cluster(Store& store, ApiServer& api, const SimulatedClock& clock, Random& random,
            std::map<Key, Volume>& volumes, Invariants& invariants);

    // Each does at most one thing, and tells whether it did.
    bool move_stateful_sets();
    bool move_jobs();
    bool move_kubelet();
    bool move_garbage();
    bool idle() const { return processes_.empty(); }

    // The pod that people or controllers ask for; 403 by the fence.
    Answer create_pod(const json& pod);
    bool server_answers(const std::string& namespace_name) const;
    // A new one each five minutes; the older ones are removed.
    std::vector<resources::Backup> backups_in(const resources::Store& store) const;

    Behaviour behaviour;
    // Called at each move of an agent; what it orders happens at once.
    enum class AgentOrder { none, kill, lose_result };
    std::function<AgentOrder(const Key& pod)> at_agent_move;

private:
    using TimePoint = std::chrono::steady_clock::time_point;
    struct Process {
        Key pod;
        std::string uid, claim;
        bool database = false, writes = false;
        enum class Stage { pending, stuck, running, ready, crashed, ended } stage = Stage::pending;
        TimePoint due, started;
        bool ending = false;  // it was told to end
        std::optional<AgentRun> agent;
        int64_t deadline_seconds = 0, restarts = 0;
        std::string stuck_image;
    };

    std::string refused_by_fence(const json& pod) const;
    bool move_stateful_set(const Key& key, const json& workload);
    bool count_replicas(const Key& key, const json& workload, const json* pod);
    bool move_job(const Key& key, const json& job);
    bool start_job_pod(const Key& key, const json& job);
    void end_job(const Key& key, bool complete, const std::string& reason);
    void note_failed_create(const Key& job, const std::string& message);
    bool move_namespace(const Key& key);

    void admit_process(const Key& key, const json& pod);
    bool move_process(Process& process);
    bool move_ending(Process& process);
    bool move_database(Process& process);
    void serve(const Process& process, Database& database);
    bool move_agent(Process& process);
    void start_database(Process& process);
    void end_agent(Process& process, const std::optional<resources::AgentResult>& result,
                   const std::string& how);
    resources::AgentResult odd(resources::AgentResult result);
    void let_go(const Process& process);
    Volume* volume_of(const Process& process);
    void show(const Process& process, const std::function<void(json&)>& change);
    void show_readiness(const Process& process, bool ready);
    TimePoint in(double seconds) const;

    Store& store_;
    ApiServer& api_;
    const SimulatedClock& clock_;
    Random& random_;
    std::map<Key, Volume>& volumes_;
    Invariants& invariants_;
    VolumeWatcher watcher_;
    std::map<std::string, Process> processes_;       // by the pod's UID
    std::map<std::string, TimePoint> not_before_;    // by what waits: after a refusal
    std::map<std::string, std::string> pod_of_job_;  // by the Job's UID
    uint64_t names_ = 0;
};

}  // namespace dbrestore::simulation
