#include "resources/kubernetes.h"

#include <algorithm>
#include <cmath>

#include "resources/json_fields.h"

namespace dbrestore::resources {

namespace {

Labels labels_at(const nlohmann::json& object, std::string_view path) {
    Labels labels;
    const auto& map = field(object, path);
    if (!map.is_object()) return labels;
    for (const auto& [key, value] : map.items()) {
        if (value.is_string()) labels[key] = value.get<std::string>();
    }
    return labels;
}

Pod::Container container_from_json(const nlohmann::json& status) {
    Pod::Container c;
    c.name = text_at(status, "name");
    c.running = present_at(status, "state.running");
    c.terminated = present_at(status, "state.terminated");
    c.waiting_reason = text_at(status, "state.waiting.reason");
    c.waiting_message = text_at(status, "state.waiting.message");
    c.termination_message = text_at(status, "state.terminated.message");
    c.terminated_reason = text_at(status, "state.terminated.reason");
    c.exit_code = integer_at(status, "state.terminated.exitCode");
    c.restart_count = integer_at(status, "restartCount");
    return c;
}

bool condition_true(const nlohmann::json& conditions, const char* type) {
    return std::ranges::any_of(conditions, [type](const nlohmann::json& c) {
        return text_at(c, "type") == type && text_at(c, "status") == "True";
    });
}

// The kubelet sets Ready=False as it takes the pod; another transition to False was one from True. Its clock
// may have been set back in between.
bool ready_changed_after_start(const nlohmann::json& pod) {
    const auto start = time_at(pod, "status.startTime");
    for (const auto& condition : list_at(pod, "status.conditions")) {
        if (text_at(condition, "type") != "Ready") continue;
        const auto changed = time_at(condition, "lastTransitionTime");
        return start && changed && std::abs(base::seconds_between(*start, *changed)) > 1;
    }
    return false;
}

std::vector<std::string> claims_of(const nlohmann::json& pod_spec) {
    std::vector<std::string> names;
    for (const auto& volume : list_at(pod_spec, "volumes")) {
        if (const auto claim = text_at(volume, "persistentVolumeClaim.claimName"); !claim.empty())
            names.push_back(claim);
    }
    return names;
}

}  // namespace

bool ObjectMeta::has_finalizer(const std::string& finalizer) const {
    return std::ranges::find(finalizers, finalizer) != finalizers.end();
}

ObjectMeta meta_from_json(const nlohmann::json& object) {
    ObjectMeta meta;
    const auto& m = field(object, "metadata");
    meta.namespace_name = text_at(m, "namespace");
    meta.name = text_at(m, "name");
    meta.uid = text_at(m, "uid");
    meta.resource_version = text_at(m, "resourceVersion");
    meta.generation = integer_at(m, "generation");
    meta.creation_time = time_at(m, "creationTimestamp").value_or(base::Time{});
    meta.deleting = present_at(m, "deletionTimestamp");
    meta.labels = labels_at(m, "labels");
    meta.annotations = labels_at(m, "annotations");
    meta.finalizers = texts_at(m, "finalizers");
    return meta;
}

Workload workload_from_json(const nlohmann::json& object, const std::string& kind) {
    Workload w;
    w.meta = meta_from_json(object);
    w.kind = kind;
    w.replicas = integer_at(object, "spec.replicas", 1);
    w.status_replicas = integer_at(object, "status.replicas");
    w.when_scaled = text_at(object, "spec.persistentVolumeClaimRetentionPolicy.whenScaled", "Retain");
    w.selector = labels_at(object, "spec.selector.matchLabels");
    w.starts_beside_old =
        kind == "Deployment" && text_at(object, "spec.strategy.type", "RollingUpdate") == "RollingUpdate";
    for (const auto& claim : list_at(object, "spec.volumeClaimTemplates")) {
        w.claim_templates.push_back({text_at(claim, "metadata.name"), texts_at(claim, "spec.accessModes")});
    }
    const auto& pod_spec = field(object, "spec.template.spec");
    if (!w.claim_templates.empty() || !claims_of(pod_spec).empty()) w.pod_spec = pod_spec;
    return w;
}

// A Deployment's pods belong to its ReplicaSets, whose names Kubernetes promises to be [DEPLOYMENT]-[HASH],
// the hash being a label of the pod. So no right on ReplicaSets is needed.
bool is_pod_of(const Workload& workload, const Pod& pod) {
    if (workload.kind != "Deployment") return pod.owner_uid == workload.meta.uid;
    return pod.owner_kind == "ReplicaSet" &&
           pod.owner_name == workload.meta.name + "-" + pod.meta.label("pod-template-hash");
}

Pod pod_from_json(const nlohmann::json& object) {
    Pod pod;
    pod.meta = meta_from_json(object);
    pod.phase = text_at(object, "status.phase");
    pod.node_name = text_at(object, "spec.nodeName");
    pod.pod_ip = text_at(object, "status.podIP");
    for (const auto& owner : list_at(object, "metadata.ownerReferences")) {
        if (!flag_at(owner, "controller")) continue;
        pod.owner_kind = text_at(owner, "kind");
        pod.owner_name = text_at(owner, "name");
        pod.owner_uid = text_at(owner, "uid");
    }
    pod.ready = condition_true(list_at(object, "status.conditions"), "Ready");
    pod.has_been_ready = pod.ready || ready_changed_after_start(object);
    pod.claim_names = claims_of(field(object, "spec"));
    for (const auto& status : list_at(object, "status.containerStatuses"))
        pod.containers.push_back(container_from_json(status));
    for (const auto& status : list_at(object, "status.initContainerStatuses")) {
        pod.init_containers.push_back(container_from_json(status));
    }
    return pod;
}

Job job_from_json(const nlohmann::json& object) {
    Job job;
    job.meta = meta_from_json(object);
    job.active = integer_at(object, "status.active");
    job.start_time = time_at(object, "status.startTime");
    for (const auto& condition : list_at(object, "status.conditions")) {
        if (text_at(condition, "status") != "True") continue;
        const std::string type = text_at(condition, "type");
        if (type == "Complete") job.complete = true;
        if (type == "Complete" || type == "Failed") job.end_time = time_at(condition, "lastTransitionTime");
        if (type == "Failed") {
            job.failed = true;
            job.failure_reason = text_at(condition, "reason");
            job.failure_message = text_at(condition, "message");
        }
    }
    return job;
}

Claim claim_from_json(const nlohmann::json& object) {
    return {meta_from_json(object), text_at(object, "status.phase"), texts_at(object, "spec.accessModes")};
}

// Whoever changes a field by an update owns it alone; who applies it as it is shares it.
CronJob cron_job_from_json(const nlohmann::json& object) {
    const auto& managers = list_at(object, "metadata.managedFields");
    const bool set_by_others = std::ranges::any_of(managers, [](const nlohmann::json& entry) {
        return text_at(entry, "manager") != operator_manager &&
               present_at(entry, "fieldsV1.f:spec.f:suspend");
    });
    return {meta_from_json(object), flag_at(object, "spec.suspend"), set_by_others};
}

EventNote event_from_json(const nlohmann::json& object) {
    EventNote e;
    e.meta = meta_from_json(object);
    e.involved_kind = text_at(object, "involvedObject.kind");
    e.involved_name = text_at(object, "involvedObject.name");
    e.reason = text_at(object, "reason");
    e.message = text_at(object, "message");
    e.type = text_at(object, "type");
    const auto last = time_at(object, "lastTimestamp");
    e.last_time = last ? *last : time_at(object, "eventTime").value_or(e.meta.creation_time);
    return e;
}

}  // namespace dbrestore::resources
