#pragma once
// What dbrestore keeps of the objects that Kubernetes itself defines: only the fields that decisions need, so
// that the cache stays small (a projected record takes a hundredth of the JSON document).

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"

namespace dbrestore::resources {

struct Key {
    std::string namespace_name, name;
    auto operator<=>(const Key&) const = default;
};

inline std::string to_text(const Key& key) {
    return key.namespace_name + "/" + key.name;
}

using Labels = std::map<std::string, std::string>;

struct ObjectMeta {
    std::string namespace_name, name, uid, resource_version;
    int64_t generation = 0;
    base::Time creation_time{};
    bool deleting = false;
    Labels labels, annotations;
    std::vector<std::string> finalizers;

    Key key() const { return {namespace_name, name}; }
    std::string label(const std::string& key) const {
        const auto at = labels.find(key);
        return at == labels.end() ? std::string() : at->second;
    }
    bool has_finalizer(const std::string& finalizer) const;
};

// The operator's field manager, by which an object's metadata.managedFields tells what it wrote last.
inline constexpr const char* operator_manager = "dbrestore";

// What may run a database. `pod_spec` is kept whole where the pods mount a claim: inference and the Job's pod
// are made from it, and there are few. Of all others nothing is kept of it.
struct Workload {
    ObjectMeta meta;
    std::string kind;  // StatefulSet or Deployment
    int64_t replicas = 1, status_replicas = 0;
    std::string when_scaled;         // of persistentVolumeClaimRetentionPolicy: Retain or Delete
    bool starts_beside_old = false;  // a change of the pod template starts a pod before the old one has ended
    Labels selector;
    nlohmann::json pod_spec;
    struct ClaimTemplate {
        std::string name;
        std::vector<std::string> access_modes;
    };
    std::vector<ClaimTemplate> claim_templates;
};

struct Pod {
    ObjectMeta meta;
    std::string phase, node_name, pod_ip;
    std::string owner_kind, owner_name, owner_uid;  // the controller that made it
    bool ready = false;
    bool has_been_ready = false;  // ready now, or it was: somebody may have been served
    std::vector<std::string> claim_names;
    struct Container {
        std::string name, waiting_reason, waiting_message, termination_message;
        bool running = false, terminated = false;
        int64_t exit_code = 0, restart_count = 0;
        std::string terminated_reason;
    };
    std::vector<Container> containers, init_containers;

    bool finished() const { return phase == "Succeeded" || phase == "Failed"; }
};

struct Job {
    ObjectMeta meta;
    bool complete = false, failed = false;
    std::string failure_reason, failure_message;
    std::optional<base::Time> start_time, end_time;
    int64_t active = 0;

    bool finished() const { return complete || failed; }
};

struct CronJob {
    ObjectMeta meta;
    bool suspended = false;
    bool set_by_others =
        false;  // `suspend` is what another field manager made it; false where nobody is known
};

struct Claim {  // PersistentVolumeClaim
    ObjectMeta meta;
    std::string phase;  // Bound, Pending, Lost
    std::vector<std::string> access_modes;
};

// A core event about an object that cannot start: FailedCreate, FailedMount, FailedScheduling.
struct EventNote {
    ObjectMeta meta;
    std::string involved_kind, involved_name, reason, message, type;
    base::Time last_time{};
};

ObjectMeta meta_from_json(const nlohmann::json& object);
Workload workload_from_json(const nlohmann::json& object, const std::string& kind);
Pod pod_from_json(const nlohmann::json& object);
bool is_pod_of(const Workload& workload, const Pod& pod);
Job job_from_json(const nlohmann::json& object);
Claim claim_from_json(const nlohmann::json& object);
CronJob cron_job_from_json(const nlohmann::json& object);
EventNote event_from_json(const nlohmann::json& object);

}  // namespace dbrestore::resources
