// I5: what must hold once faults have stopped and everything has come to rest.

#include <algorithm>

#include "resources/json_fields.h"
#include "simulation/invariants.h"

namespace dbrestore::simulation {

using resources::list_at;
using resources::Phase;
using resources::present_at;
using resources::text_at;

bool is_listing(const json& server) {
    return std::ranges::any_of(list_at(server, "status.stores"),
                               [](const json& store) { return present_at(store, "startTime"); });
}

void Invariants::check_at_rest() {
    for (const auto& [key, object] : store_.all("databaserestores").objects)
        check_restore_at_rest(resources::restore_from_json(object.document));
    for (const auto& [key, object] : store_.all("postgresservers").objects)
        check_server_at_rest(object.document);
    for (const auto& [key, object] : store_.all("namespaces").objects) {
        if (present_at(object.document, "metadata.deletionTimestamp"))
            broken("I5: namespace " + key.name + " cannot end");
    }
    for (const auto& [key, object] : store_.all("jobs").objects) {
        if (key.name.starts_with("dbr-") && list_at(object.document, "status.conditions").empty())
            broken("I5: Job " + key.name + " is left over");
    }
    if (namespace_deleted) return;
    for (const auto& [key, object] : store_.all("statefulsets").objects) {
        const auto replicas = resources::integer_at(object.document, "spec.replicas", 1);
        if (wanted_replicas >= 0 && replicas != wanted_replicas)
            broken("I5: the workload has " + std::to_string(replicas) + " replicas, its user wanted " +
                   std::to_string(wanted_replicas));
    }
    for (const auto& [key, object] : store_.all("cronjobs").objects) {
        const bool suspended = resources::flag_at(object.document, "spec.suspend");
        if (suspended != wanted_suspended.at(key))
            broken("I5: CronJob " + key.name + (suspended ? " stays paused" : " runs") +
                   ", its owner wanted otherwise");
    }
    for (const auto& [key, volume] : volumes_) {
        if (volume.hidden) broken("I5: the tree of " + key.name + " is left behind the stub");
        const auto at = volume.databases.find("shop");
        if (at == volume.databases.end() || !at->second.whole || at->second.closed)
            broken("I2: " + key.name + " is neither complete-old nor complete-new");
        for (const auto& [name, database] : volume.databases) {
            if (name.starts_with("dbrestore_new_")) broken("I5: " + name + " is left on the volume");
        }
    }
}

void Invariants::check_expired() {
    if (namespace_deleted) return;
    for (const auto& name : overdue()) broken("I3: old data " + name + " is kept for ever");
    nothing_is_being_removed();
}

void Invariants::check_restore_at_rest(const resources::DatabaseRestore& restore) {
    const std::string name = "restore " + restore.meta.name;
    if (present_at(*store_.find("databaserestores", restore.meta.key()), "metadata.deletionTimestamp"))
        return broken("I5: " + name + " is held by a finalizer");
    if (is_final(restore.status.phase)) {
        if (restore.meta.has_finalizer(resources::finalizer_name))
            broken("I5: " + name + " has ended and keeps its finalizer");
        return kept_is_there(restore);
    }
    const auto* summary = resources::find_condition(restore.status.conditions, "Succeeded");
    static const std::set<std::string> missing{"ServerNotFound", "ServerNotReady", "ClaimNotFound",
                                               "BackupNotFound", "ServerDeleting", "RestoreNotFound"};
    if (restore.status.phase == Phase::pending && summary != nullptr && missing.contains(summary->reason))
        return;
    broken("I5: " + name + " hangs in " + to_text(restore.status.phase) + ": " +
           (summary == nullptr ? "" : summary->reason + ": " + summary->message));
}

void Invariants::check_server_at_rest(const json& server) {
    const std::string name = "server " + text_at(server, "metadata.name");
    if (present_at(server, "status.activeRestore"))
        broken("I5: the lock of " + name + " is held by " + text_at(server, "status.activeRestore.name"));
    if (present_at(server, "status.fence")) broken("I5: the fence of " + name + " is up");
    if (is_listing(server)) broken("I5: a list of " + name + " is awaited for ever");
    for (const auto& finalizer : resources::texts_at(server, "metadata.finalizers")) {
        if (finalizer == resources::finalizer_name) broken("I5: " + name + " keeps its finalizer");
    }
    if (present_at(server, "metadata.deletionTimestamp")) broken("I5: " + name + " cannot end");
}

}  // namespace dbrestore::simulation
