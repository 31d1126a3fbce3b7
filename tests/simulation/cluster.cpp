#include "simulation/cluster.h"

#include <algorithm>

#include "resources/json_fields.h"

namespace dbrestore::simulation {

using resources::field;
using resources::integer_at;
using resources::list_at;
using resources::present_at;
using resources::text_at;

namespace {

constexpr const char* job_name_label = "batch.kubernetes.io/job-name";

std::string controller_uid(const json& pod) {
    for (const auto& owner : list_at(pod, "metadata.ownerReferences")) {
        if (resources::flag_at(owner, "controller")) return text_at(owner, "uid");
    }
    return {};
}

json owner_of(const json& owner) {
    return json::array({{{"kind", text_at(owner, "kind")},
                         {"name", text_at(owner, "metadata.name")},
                         {"uid", text_at(owner, "metadata.uid")},
                         {"controller", true}}});
}

bool job_finished(const json& job) {
    return !list_at(job, "status.conditions").empty();
}

}  // namespace

Cluster::Cluster(Store& store, ApiServer& api, const SimulatedClock& clock, Random& random,
                 std::map<Key, Volume>& volumes, Invariants& invariants)
    : store_(store), api_(api), clock_(clock), random_(random), volumes_(volumes), invariants_(invariants) {
    watcher_.dropping = [this](const auto& name, const auto& database, const auto& step,
                               const auto& restore_uid) {
        invariants_.dropping(name, database, step, restore_uid);
    };
    watcher_.exchanging = [this](const auto& volume, const auto& request) {
        invariants_.exchanging(volume, request);
    };
    watcher_.taking_back = [this](const auto& volume, const auto& request) {
        invariants_.taking_back(volume, request);
    };
}

Cluster::TimePoint Cluster::in(double seconds) const {
    return clock_.steady() + std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
}

// charts/dbrestore/templates/fence-policy.yaml: every PostgresServer of the pod's namespace is a parameter.
std::string Cluster::refused_by_fence(const json& pod) const {
    const std::string ns = text_at(pod, "metadata.namespace");
    const auto& owners = list_at(pod, "metadata.ownerReferences");
    const bool for_a_job = !owners.empty() && text_at(owners[0], "kind") == "Job";
    const json& labels = field(pod, "metadata.labels");
    const std::string label =
        labels.is_object() ? labels.value("dbrestore.dev/restore-uid", std::string()) : std::string();
    for (const auto& [key, server] : store_.all("postgresservers").objects) {
        if (key.namespace_name != ns) continue;
        const auto fenced = resources::texts_at(server.document, "status.fence.claimNames");
        if (for_a_job && label == text_at(server.document, "status.fence.restoreUID")) continue;
        for (const auto& volume : list_at(pod, "spec.volumes")) {
            const std::string claim = text_at(volume, "persistentVolumeClaim.claimName");
            if (!claim.empty() && std::ranges::find(fenced, claim) != fenced.end())
                return "claim " + claim + " must not be mounted now";
        }
    }
    return {};
}

Answer Cluster::create_pod(const json& pod) {
    if (const std::string refused = refused_by_fence(pod); !refused.empty()) return {403, refused};
    return store_.create("pods", pod);
}

bool Cluster::move_stateful_sets() {
    for (const auto& [key, object] : store_.all("statefulsets").objects) {
        if (move_stateful_set(key, object.document)) return true;
    }
    return false;
}

// A status write of its own, so that the workload has another version once its pod is ready.
bool Cluster::count_replicas(const Key& key, const json& workload, const json* pod) {
    bool ready = false;
    if (pod != nullptr) {
        for (const auto& condition : list_at(*pod, "status.conditions"))
            ready = ready || text_at(condition, "status") == "True";
    }
    const int64_t replicas = pod == nullptr ? 0 : 1, ready_replicas = ready ? 1 : 0;
    if (integer_at(workload, "status.replicas") == replicas &&
        integer_at(workload, "status.readyReplicas") == ready_replicas)
        return false;
    store_.update("statefulsets", key, [&](json& document) {
        document["status"]["replicas"] = replicas;
        document["status"]["readyReplicas"] = ready_replicas;
    });
    return true;
}

bool Cluster::move_stateful_set(const Key& key, const json& workload) {
    const std::string uid = text_at(workload, "metadata.uid");
    if (const auto at = not_before_.find(uid); at != not_before_.end() && at->second > clock_.steady())
        return false;
    const Key pod_key{key.namespace_name, key.name + "-0"},
        claim{key.namespace_name, "data-" + key.name + "-0"};
    const json* pod = store_.find("pods", pod_key);
    if (count_replicas(key, workload, pod)) return true;
    if (integer_at(workload, "spec.replicas", 1) == 0) {
        if (pod != nullptr && !present_at(*pod, "metadata.deletionTimestamp")) {
            store_.remove("pods", pod_key);
            return true;
        }
        if (pod != nullptr || store_.find("persistentvolumeclaims", claim) == nullptr ||
            text_at(workload, "spec.persistentVolumeClaimRetentionPolicy.whenScaled") != "Delete")
            return false;
        invariants_.claim_deleted(claim);
        store_.remove("persistentvolumeclaims", claim);
        return true;
    }
    if (pod != nullptr) {
        // A pod that ended is replaced.
        const std::string phase = text_at(*pod, "status.phase");
        if ((phase != "Failed" && phase != "Succeeded") || present_at(*pod, "metadata.deletionTimestamp"))
            return false;
        store_.remove("pods", pod_key);
        return true;
    }
    if (!store_.namespace_open(key.namespace_name)) return false;
    if (store_.find("persistentvolumeclaims", claim) == nullptr) return false;
    const Answer made = create_pod(
        {{"metadata",
          {{"name", pod_key.name},
           {"namespace", key.namespace_name},
           {"labels", field(workload, "spec.selector.matchLabels")},
           {"ownerReferences", owner_of(workload)}}},
         {"spec",
          {{"nodeName", "node-1"},
           {"volumes", {{{"name", "data"}, {"persistentVolumeClaim", {{"claimName", claim.name}}}}}}}},
         {"status", {{"phase", "Pending"}}}});
    not_before_[uid] = in(made.ok() ? 0.2 : 5);
    return true;
}

bool Cluster::move_jobs() {
    for (const auto& [key, object] : store_.all("jobs").objects) {
        if (move_job(key, object.document)) return true;
    }
    return false;
}

bool Cluster::move_job(const Key& key, const json& job) {
    const std::string uid = text_at(job, "metadata.uid");
    if (const auto at = not_before_.find(uid); at != not_before_.end() && at->second > clock_.steady())
        return false;
    if (job_finished(job)) {
        const auto ended = resources::time_at(job, "status.completionTime");
        const auto kept = integer_at(job, "spec.ttlSecondsAfterFinished", 1 << 30);
        not_before_[uid] = in(600);
        if (!ended || base::seconds_between(*ended, clock_.now()) < static_cast<double>(kept)) return false;
        store_.remove("jobs", key);
        return true;
    }
    if (present_at(job, "metadata.deletionTimestamp")) return false;
    const auto made = pod_of_job_.find(uid);
    if (made == pod_of_job_.end()) return start_job_pod(key, job);
    // It counts a pod as failed once that is being deleted or gone, whatever its process still does.
    const json* pod = store_.find("pods", {key.namespace_name, made->second});
    if (pod == nullptr) {
        end_job(key, false, "BackoffLimitExceeded");
        return true;
    }
    const std::string phase = text_at(*pod, "status.phase");
    if (phase == "Succeeded") {
        end_job(key, true, "");
    } else if (phase == "Failed" || present_at(*pod, "metadata.deletionTimestamp")) {
        end_job(key, false, "BackoffLimitExceeded");
    } else {
        return false;
    }
    return true;
}

bool Cluster::start_job_pod(const Key& key, const json& job) {
    if (!store_.namespace_open(key.namespace_name)) return false;
    const json& pod_template = field(job, "spec.template");
    json labels = field(pod_template, "metadata.labels");
    labels[job_name_label] = key.name;
    json spec{{"nodeName", "node-1"},
              {"volumes", field(pod_template, "spec.volumes")},
              {"activeDeadlineSeconds", field(pod_template, "spec.activeDeadlineSeconds")}};
    const std::string name = key.name + "-" + std::to_string(++names_);
    const std::string uid = text_at(job, "metadata.uid");
    const json owner = owner_of(job);
    const Answer made = create_pod({{"metadata",
                                     {{"name", name},
                                      {"namespace", key.namespace_name},
                                      {"labels", labels},
                                      {"ownerReferences", owner}}},
                                    {"spec", spec},
                                    {"status", {{"phase", "Pending"}}}});
    if (made.ok()) {
        pod_of_job_[uid] = name;
        store_.update("jobs", key, [this](json& document) {
            document["status"]["active"] = 1;
            document["status"]["startTime"] = base::format_time(clock_.now());
        });
    } else {
        not_before_[uid] = in(10);
        note_failed_create(key, made.message);
    }
    return true;
}

void Cluster::note_failed_create(const Key& job, const std::string& message) {
    const std::string name = job.name + ".refused";
    if (store_.find("events", {job.namespace_name, name}) != nullptr) return;
    store_.create("events", {{"metadata", {{"name", name}, {"namespace", job.namespace_name}}},
                             {"involvedObject", {{"kind", "Job"}, {"name", job.name}}},
                             {"type", "Warning"},
                             {"reason", "FailedCreate"},
                             {"message", message},
                             {"lastTimestamp", base::format_time(clock_.now())}});
}

void Cluster::end_job(const Key& key, bool complete, const std::string& reason) {
    store_.update("jobs", key, [&](json& document) {
        auto& status = document["status"];
        status["active"] = 0;
        status["completionTime"] = base::format_time(clock_.now());
        status["conditions"] = {{{"type", complete ? "Complete" : "Failed"},
                                 {"status", "True"},
                                 {"lastTransitionTime", base::format_time(clock_.now())},
                                 {"reason", reason},
                                 {"message", complete ? "" : "Job has reached the specified backoff limit"}}};
    });
}

// Pods go after their owner; all goes with its namespace.
bool Cluster::move_garbage() {
    for (const auto& [key, object] : store_.all("pods").objects) {
        if (present_at(object.document, "metadata.deletionTimestamp")) continue;
        const std::string owner = controller_uid(object.document);
        if (owner.empty()) continue;
        bool exists = false;
        for (const char* plural : {"jobs", "statefulsets"}) {
            for (const auto& [name, candidate] : store_.all(plural).objects)
                exists = exists || text_at(candidate.document, "metadata.uid") == owner;
        }
        if (exists) continue;
        store_.remove("pods", Key(key));
        return true;
    }
    for (const auto& [key, object] : store_.all("namespaces").objects) {
        if (present_at(object.document, "metadata.deletionTimestamp") && move_namespace(key)) return true;
    }
    return false;
}

bool Cluster::move_namespace(const Key& key) {
    bool empty = true;
    for (const char* plural : {"databaserestores", "postgresservers", "statefulsets", "cronjobs", "jobs",
                               "pods", "persistentvolumeclaims", "events"}) {
        for (const auto& [name, object] : store_.all(plural).objects) {
            if (name.namespace_name != key.name) continue;
            empty = false;
            if (present_at(object.document, "metadata.deletionTimestamp")) continue;
            store_.remove(plural, Key(name));
            return true;
        }
    }
    if (!empty) return false;
    store_.erase("namespaces", Key(key));
    return true;
}

}  // namespace dbrestore::simulation
