// Whether an operator could know that the new data was served, and by that written to.

#include "resources/json_fields.h"
#include "simulation/invariants.h"

namespace dbrestore::simulation {

using resources::text_at;

void Invariants::served(const std::string& pod_uid, const Database& database) {
    if (!database.placed_by.empty()) services_.try_emplace(pod_uid, Service{database.placed_by});
}

void Invariants::pods_looked_at(size_t number, const std::string& namespace_name) {
    rounds_[number].looked = true;
    for (const auto& [key, pod] : store_.all("pods").objects) {
        const auto service = services_.find(text_at(pod.document, "metadata.uid"));
        if (key.namespace_name == namespace_name && service != services_.end()) service->second.seen = true;
    }
}

void Invariants::stopping(const std::string& namespace_name) {
    if (!rounds_[acting_operator].looked) return;
    for (const auto& [key, pod] : store_.all("pods").objects) {
        if (key.namespace_name == namespace_name) stopped_pods_.insert(text_at(pod.document, "metadata.uid"));
    }
}

// Of a pod that became ready after the look on which it was stopped, and was gone before the next one, the
// API keeps no trace (docs/reliability.md). Of no other.
bool Invariants::service_is_knowable(const std::string& restore_uid) const {
    for (const auto& [pod_uid, service] : services_) {
        if (service.placed_by == restore_uid && (service.seen || !stopped_pods_.contains(pod_uid)))
            return true;
    }
    return false;
}

}  // namespace dbrestore::simulation
