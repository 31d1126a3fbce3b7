#include "simulation/people.h"

#include <algorithm>

#include "resources/json_fields.h"

namespace dbrestore::simulation {

namespace {

json meta_of(const Key& key) {
    return {{"name", key.name}, {"namespace", key.namespace_name}};
}

json claim(const Key& key) {
    return {{"metadata", meta_of(key)},
            {"spec", {{"accessModes", {"ReadWriteOnce"}}}},
            {"status", {{"phase", "Bound"}}}};
}

json workload(const Key& key, int64_t replicas, bool owner_known) {
    json pod = json::parse(R"({"containers": [{"name": "postgres", "image": "postgres:15",
        "args": ["-c", "shared_buffers=64MB"],
        "env": [{"name": "PGDATA", "value": "/var/lib/postgresql/data/pgdata"},
                {"name": "POSTGRES_USER", "value": "shop"},
                {"name": "POSTGRES_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "shop", "key": "password"}}}],
        "volumeMounts": [{"name": "data", "mountPath": "/var/lib/postgresql/data"}]}]})");
    pod["containers"][0]["env"].push_back({{"name", "BACKUP_TOKEN"}, {"value", secret_text}});
    if (owner_known) pod["securityContext"]["runAsUser"] = 999;
    return {{"metadata", meta_of(key)},
            {"spec",
             {{"replicas", replicas},
              {"selector", {{"matchLabels", {{"app", "shop"}}}}},
              {"persistentVolumeClaimRetentionPolicy", {{"whenScaled", "Retain"}}},
              {"volumeClaimTemplates",
               {{{"metadata", {{"name", "data"}}}, {"spec", {{"accessModes", {"ReadWriteOnce"}}}}}}},
              {"template", {{"spec", pod}}}}}};
}

void scale(json& document, int64_t replicas) {
    if (document["spec"]["replicas"] == replicas) return;
    document["spec"]["replicas"] = replicas;
    document["metadata"].erase("managedFields");  // of which the simulation keeps the operator's only
}

}  // namespace

void People::set_up(const Scenario& scenario) {
    owner_known_ = scenario.owner_known;
    retain_seconds_ = scenario.retain_seconds;
    dump_is_good_ = scenario.behaviour.dump_is_good;
    for (const char* name : {"shop", "bystander"}) {
        store_.create("namespaces", {{"metadata", {{"name", name}}}});
        store_.create("statefulsets", workload({name, "shop"}, scenario.replicas, owner_known_));
        store_.create("persistentvolumeclaims", claim({name, the_claim.name}));
        volumes_[{name, the_claim.name}] = {};
    }
    if (!scenario.dump_claim_is_late) bring_dump_claim();
    store_.create("jobs", {{"metadata", meta_of({"shop", "nightly"})},
                           {"status", {{"conditions", {{{"type", "Complete"}, {"status", "True"}}}}}}});
    invariants_.wanted_replicas = scenario.replicas;
    make_server();
}

void People::bring_dump_claim() {
    store_.create("persistentvolumeclaims", claim(the_dump_claim));
}

void People::make_server() {
    if (store_.find("postgresservers", the_server) != nullptr) return later(60, [this] { make_server(); });
    store_.create("postgresservers",
                  {{"metadata", meta_of(the_server)},
                   {"spec", {{"workloadRef", {{"kind", "StatefulSet"}, {"name", the_workload.name}}}}}});
}

void People::wish(const Key& restore, int64_t retain_seconds) {
    store_.create(
        "databaserestores",
        {{"metadata", meta_of(restore)},
         {"spec",
          {{"serverRef", {{"name", the_server.name}}},
           {"type", "Dump"},
           {"dump", {{"persistentVolumeClaim", {{"claimName", the_dump_claim.name}, {"path", "shop.dump"}}}}},
           {"acknowledgeDataLoss", true},
           {"previousData", {{"retainSeconds", retain_seconds}}}}}});
}

void People::later(double seconds, std::function<void()> what) {
    plans_.push_back(
        {clock_.steady() + std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000)), std::move(what)});
}

bool People::mend() {
    const auto due = std::ranges::find_if(plans_, [&](const Plan& p) { return p.due <= clock_.steady(); });
    if (due == plans_.end()) return false;
    const auto what = std::move(due->what);
    plans_.erase(due);
    invariants_.operator_is_acting = false;
    what();
    return true;
}

void People::remove_by_force(const Key& restore) {
    store_.remove("databaserestores", restore);
    store_.update("databaserestores", restore,
                  [](json& document) { document["metadata"]["finalizers"] = json::array(); });
}

void People::delete_a_job() {
    for (const auto& [key, job] : store_.all("jobs").objects) {
        if (!resources::list_at(job.document, "status.conditions").empty()) continue;
        store_.remove("jobs", Key(key));
        return;
    }
}

void People::mount_claim() {
    const Key pod{"shop", "backup"};
    const Answer made = cluster_.create_pod(
        {{"metadata", meta_of(pod)},
         {"spec",
          {{"nodeName", "node-1"},
           {"volumes", {{{"name", "data"}, {"persistentVolumeClaim", {{"claimName", the_claim.name}}}}}}}},
         {"status", {{"phase", "Running"}}}});
    if (made.ok()) later(60, [this, pod] { store_.remove("pods", pod); });
}

void People::act(Fault what) {
    invariants_.operator_is_acting = false;
    const auto set_workload = [this](const std::function<void(json&)>& change) {
        store_.update("statefulsets", the_workload, change);
    };
    const json* existing = store_.find("statefulsets", the_workload);
    const bool runs = existing != nullptr && (*existing)["spec"]["replicas"] != 0;
    switch (what) {
        case Fault::cancelled:
            return store_.update("databaserestores", the_restore,
                                 [](json& document) { document["spec"]["cancelRequested"] = true; });
        case Fault::restore_deleted:
            store_.remove("databaserestores", the_restore);
            return;
        case Fault::job_deleted:
            return delete_a_job();
        case Fault::scaled_up:
            if (invariants_.wanted_replicas == 0) return;
            return set_workload([](json& document) { scale(document, 1); });
        case Fault::scaled_down:
            invariants_.wanted_replicas = -1;
            return set_workload([](json& document) { scale(document, 0); });
        case Fault::set_to_delete_claim:
            if (!runs) return;  // it would delete the claim now, by this person's own hand
            set_workload([](json& document) {
                document["spec"]["persistentVolumeClaimRetentionPolicy"]["whenScaled"] = "Delete";
            });
            return later(300, [set_workload] {
                set_workload([](json& document) {
                    document["spec"]["persistentVolumeClaimRetentionPolicy"]["whenScaled"] = "Retain";
                });
            });
        case Fault::pod_mounts_claim:
            return mount_claim();
        case Fault::server_deleted:
            if (store_.find("postgresservers", the_server) == nullptr) return;  // it comes back already
            store_.remove("postgresservers", the_server);
            return later(300, [this] { make_server(); });
        case Fault::finalizers_removed:
            return remove_by_force(the_restore);
        case Fault::created_again:
            remove_by_force(the_restore);
            return wish(the_restore, retain_seconds_);
        case Fault::database_pod_deleted:
            store_.remove("pods", {"shop", "shop-0"});
            return;
        case Fault::namespace_deleted:
            invariants_.namespace_deleted = true;
            store_.remove("namespaces", {"", "shop"});
            return;
        case Fault::dump_spoiled:
            cluster_.behaviour.dump_is_good = false;
            return later(900, [this] { cluster_.behaviour.dump_is_good = dump_is_good_; });
        case Fault::dump_removed:
            cluster_.behaviour.dump_is_there = false;
            return later(900, [this] { cluster_.behaviour.dump_is_there = true; });
        default:
            return;
    }
}

}  // namespace dbrestore::simulation
