#include "decide/backup.h"

#include <algorithm>

namespace dbrestore::decide {

namespace {

// The kind of store that each type of restore reads.
std::string kind_for(const std::string& type) {
    return type == "ScheduledBackup" ? "Scheduled" : type == "ManualBackup" ? "Manual" : "Dump";
}

// "spec.scheduledBackup".
std::string member_for(const std::string& type) {
    return type == "ScheduledBackup" ? "scheduledBackup" : type == "ManualBackup" ? "manualBackup" : "dump";
}

}  // namespace

std::optional<resources::Store> store_of(const World& world) {
    const auto& source = world.restore.spec.backup;
    if (!source.claim_name.empty()) {
        resources::Store store;
        store.claim_name = source.claim_name;
        return store;
    }
    if (!world.server || source.store.empty()) return std::nullopt;
    const auto at = std::ranges::find(world.server->stores, source.store, &resources::Store::name);
    if (at == world.server->stores.end()) return std::nullopt;
    return *at;
}

std::optional<Reason> never_in_store(const World& world) {
    const auto& spec = world.restore.spec;
    const auto store = store_of(world);
    if (!store || store->name.empty()) return std::nullopt;
    const std::string field = "`spec." + member_for(spec.type) + ".store`";
    if (store->kind != kind_for(spec.type))
        return Reason{"StoreKindMismatch", field + " must name a store of kind " + kind_for(spec.type) +
                                               "; \"" + store->name + "\" is of kind " + store->kind};
    if (store->http && spec.backup.choice.name.empty())
        return Reason{"StoreNotListable", "store \"" + store->name +
                                              "\" is an HTTP server, which cannot be listed: `spec." +
                                              member_for(spec.type) + ".name` must be set"};
    return std::nullopt;
}

std::string target_of(const resources::RestoreSpec& spec) {
    const auto& source = spec.backup;
    if (spec.type == "PointInTime") return to_text(spec.point_in_time);
    if (!source.claim_name.empty()) return source.claim_name + "/" + source.choice.name;
    if (!source.choice.name.empty()) return source.store + "/" + source.choice.name;
    return source.store.empty() ? spec.type : source.store + ": " + to_text(source.choice);
}

std::string name_of_source(const resources::RestoreSpec& spec) {
    return spec.backup.claim_name.empty() ? spec.backup.store
                                          : "persistentVolumeClaim/" + spec.backup.claim_name;
}

}  // namespace dbrestore::decide
