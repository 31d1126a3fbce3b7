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

}  // namespace

void People::set_up(const Scenario& scenario) {
    owner_known_ = scenario.owner_known;
    retain_seconds_ = scenario.retain_seconds;
    dump_is_good_ = scenario.behaviour.dump_is_good;
    pauses_cron_jobs_ = scenario.pauses_cron_jobs;
    to_a_point_ = scenario.to_a_point;
    undoes_ = scenario.undoes;
    database_ = invariants_.wanted_database = scenario.database;
    for (const char* name : {"shop", "bystander"}) {
        store_.create("namespaces", {{"metadata", {{"name", name}}}});
        store_.create("statefulsets", workload({name, "shop"}, scenario.replicas, owner_known_));
        store_.create("persistentvolumeclaims", claim({name, the_claim.name}));
        volumes_[{name, the_claim.name}] = {};
    }
    if (!scenario.dump_claim_is_late) bring_dump_claim();
    store_.create("jobs", {{"metadata", meta_of({"shop", "nightly"})},
                           {"status", {{"conditions", {{{"type", "Complete"}, {"status", "True"}}}}}}});
    if (pauses_cron_jobs_) {
        make_cron_job(the_backup.name, false);
        make_cron_job(the_report.name, true);
    }
    invariants_.wanted_replicas = scenario.replicas;
    make_server();
}

void People::bring_stores() {
    has_stores_ = has_second_store_ = true;
    store_.update("postgresservers", the_server,
                  [this](json& document) { document["spec"] = server_spec(); });
}

void People::bring_dump_claim() {
    store_.create("persistentvolumeclaims", claim(the_dump_claim));
}

void People::make_server() {
    if (const json* there = store_.find("postgresservers", the_server); there != nullptr) {
        // Deleted twice before it was gone, it is made anew once.
        if (resources::present_at(*there, "metadata.deletionTimestamp")) later(60, [this] { make_server(); });
        return;
    }
    store_.create("postgresservers", {{"metadata", meta_of(the_server)}, {"spec", server_spec()}});
}

json People::server_spec() const {
    json spec{{"workloadRef", {{"kind", "StatefulSet"}, {"name", the_workload.name}}},
              {"catalogIntervalSeconds", list_interval_seconds}};
    if (pauses_cron_jobs_) {
        for (const char* name : {the_backup.name.c_str(), "not-there", the_report.name.c_str()})
            spec["suspend"].push_back({{"kind", "CronJob"}, {"name", name}});
    }
    if (to_a_point_)
        spec["pointInTimeRecovery"]["pgBackRest"] = {{"stanza", "shop"},
                                                     {"configSecretRef", {{"name", "shop-pgbackrest"}}}};
    if (has_stores_)
        spec["stores"].push_back(
            {{"name", "nightly"},
             {"kind", "Scheduled"},
             {"s3", {{"endpoint", "https://s3.example.com"}, {"bucket", "shop"}, {"region", "eu-1"}}}});
    if (has_second_store_)
        spec["stores"].push_back({{"name", "by-hand"},
                                  {"kind", "Manual"},
                                  {"persistentVolumeClaim", {{"claimName", the_dump_claim.name}}}});
    return spec;
}

void People::make_cron_job(const std::string& name, bool suspended) {
    const Key key{the_backup.namespace_name, name};
    json made{{"metadata", meta_of(key)}, {"spec", {{"schedule", "0 3 * * *"}}}};
    made["spec"]["suspend"] = suspended;
    own_suspend({}, made, "kubectl");
    if (store_.create("cronjobs", std::move(made)).ok()) invariants_.wanted_suspended[key] = suspended;
}

// Its owner turns round what he sees.
void People::toggle_cron_job() {
    const Key key = ++cron_jobs_touched_ % 2 == 0 ? the_report : the_backup;
    store_.update("cronjobs", key, [&](json& document) {
        const json before = document;
        document["spec"]["suspend"] = !resources::flag_at(document, "spec.suspend");
        own_suspend(before, document, "kubectl");
        invariants_.wanted_suspended[key] = document["spec"]["suspend"];
    });
}

void People::delete_cron_job() {
    const Key key = ++cron_jobs_touched_ % 2 == 0 ? the_report : the_backup;
    if (!store_.remove("cronjobs", key).ok()) return;  // it comes back already, or was never there
    later(300, [this, key] { make_cron_job(key.name, cron_jobs_touched_ % 3 == 0); });
}

void People::toggle_store() {
    if (!has_stores_) return;
    has_second_store_ = !has_second_store_;
    invariants_.list_is_due_again();
    store_.update("postgresservers", the_server,
                  [this](json& document) { document["spec"] = server_spec(); });
}

void People::wish(const Key& restore, int64_t retain_seconds) {
    json spec{{"serverRef", {{"name", the_server.name}}},
              {"acknowledgeDataLoss", true},
              {"previousData", {{"retainSeconds", retain_seconds}}}};
    if (const auto undone = undoes_.find(restore.name); undone != undoes_.end()) {
        spec["type"] = "Undo";
        spec["undo"]["restoreRef"]["name"] = undone->second;
    } else if (to_a_point_) {
        spec["type"] = "PointInTime";
        spec["pointInTime"] = {{"time", "2026-11-22T10:00:00Z"}};
    } else if (has_stores_) {
        spec["type"] = "ScheduledBackup";
        spec["scheduledBackup"] = {{"store", "nightly"}, {"latest", true}};
    } else {
        spec["type"] = "Dump";
        spec["dump"] = {
            {"persistentVolumeClaim", {{"claimName", the_dump_claim.name}, {"path", "shop.dump"}}}};
        if (!database_.empty()) spec["logical"]["database"] = database_;
    }
    store_.create("databaserestores", {{"metadata", meta_of(restore)}, {"spec", spec}});
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
    const bool deletes_claim =  // by the hand of whoever scales to 0
        existing != nullptr &&
        resources::text_at(*existing, "spec.persistentVolumeClaimRetentionPolicy.whenScaled") == "Delete";
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
            return set_workload([](json& document) { document["spec"]["replicas"] = 1; });
        case Fault::scaled_down:
            if (deletes_claim) return;
            invariants_.wanted_replicas = -1;
            return set_workload([](json& document) { document["spec"]["replicas"] = 0; });
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
        case Fault::cron_job_toggled:
            return toggle_cron_job();
        case Fault::cron_job_deleted:
            return delete_cron_job();
        case Fault::store_toggled:
            return toggle_store();
        case Fault::dump_removed:
            cluster_.behaviour.dump_is_there = false;
            return later(900, [this] { cluster_.behaviour.dump_is_there = true; });
        default:
            return;
    }
}

}  // namespace dbrestore::simulation
