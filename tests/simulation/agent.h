#pragma once
// The agent as its pods show it: each step is a row of moves on the volume, and between any two of them it
// may be killed. Follows controller/agent; that the real one keeps these promises is shown by its own tests.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "resources/agent_protocol.h"
#include "simulation/volume.h"

namespace dbrestore::simulation {

// What is found outside the volume, as the scenario has it.
struct Surroundings {
    bool dump_is_there = true;
    bool dump_is_good = true;
    bool server_answers = false;  // the database's pod, asked through the network
    bool live_check_passes = true;
    std::vector<resources::Backup> backups;  // in the store that the request names, newest first
};

// Told before they happen, so that promises can be checked apart from the agent.
struct VolumeWatcher {
    // `restore_uid`: on whose behalf.
    std::function<void(const std::string& name, const Database&, const std::string& step,
                       const std::string& restore_uid)>
        dropping;
    std::function<void(const Volume&, const resources::AgentRequest&)> exchanging;
    std::function<void(const Volume&, const resources::AgentRequest&)> taking_back;
};

// What a Job, or a pod by itself, asks of its agent; nothing where it is no agent's.
std::optional<resources::AgentRequest> request_of(const nlohmann::json& job);

class AgentRun {
public:
    AgentRun(resources::AgentRequest request, std::string pod_uid)
        : request_(std::move(request)), pod_uid_(std::move(pod_uid)) {}

    // One move. A result: that was the last.
    std::optional<resources::AgentResult> move(Volume& volume, const Surroundings& surroundings,
                                               const VolumeWatcher& watcher);

    const resources::AgentRequest& request() const { return request_; }

private:
    using Result = std::optional<resources::AgentResult>;

    Result take_hold(Volume& volume);
    Result claim(Volume& volume);
    Result hide(Volume& volume);
    Result catalog(const Surroundings& surroundings) const;
    std::string source(const Surroundings& surroundings) const;
    Result preflight(const Volume& volume, const Surroundings& surroundings) const;
    const char* missing(const Volume& volume, const Surroundings& surroundings) const;
    std::string kept_database() const;
    VolumeJournal begun() const;
    Result take_kept(Volume& volume) const;
    Result prepare(Volume& volume, const Surroundings& surroundings, const VolumeWatcher& watcher);
    Result verify(Volume& volume, const Surroundings& surroundings);
    Result commit(Volume& volume, const VolumeWatcher& watcher);
    Result rollback(Volume& volume, const VolumeWatcher& watcher);
    Result undo(Volume& volume, const VolumeWatcher& watcher, int at);
    Result cleanup(Volume& volume, const Surroundings& surroundings, const VolumeWatcher& watcher) const;
    bool ours(const Volume& volume) const {
        return volume.journal && volume.journal->restore_uid == request_.restore_uid;
    }

    resources::AgentRequest request_;
    std::string pod_uid_;
    int moves_ = 0, waited_ = 0, undo_moves_ = 0;
};

}  // namespace dbrestore::simulation
