// What a restore finds beside the database and must leave as it was: CronJobs. And what the server tells of
// its stores.

#include <algorithm>

#include "resources/json_fields.h"
#include "simulation/agent.h"
#include "simulation/invariants.h"

namespace dbrestore::simulation {

using resources::flag_at;
using resources::integer_at;
using resources::list_at;
using resources::text_at;

namespace {

const json* paused_of(const json& server, const std::string& name) {
    const auto& paused = list_at(server, "status.pausedCronJobs");
    const auto at = std::ranges::find_if(paused, [&](const json& p) { return text_at(p, "name") == name; });
    return at == paused.end() ? nullptr : &*at;
}

const json* named_in(const json& list, const std::string& name) {
    const auto at =
        std::ranges::find_if(list, [&](const json& item) { return text_at(item, "name") == name; });
    return at == list.end() ? nullptr : &*at;
}

}  // namespace

void Invariants::cron_job_changed(const json& before, const json& after) {
    const bool was = flag_at(before, "spec.suspend"), is = flag_at(after, "spec.suspend");
    if (was == is || !operator_is_acting) return;
    const std::string name = text_at(after, "metadata.name");
    bool noted = false;
    for (const auto& [key, server] : store_.all("postgresservers").objects) {
        const json* paused = paused_of(server.document, name);
        noted = noted || (paused != nullptr && !flag_at(*paused, "wasSuspended"));
    }
    if (!noted) broken("CronJob " + name + " is changed, and it is not noted what it was");
}

void Invariants::cron_jobs_are_noted(const json& server) {
    for (const auto& wanted : list_at(server, "spec.suspend")) {
        const std::string name = text_at(wanted, "name");
        if (store_.find("cronjobs", {text_at(server, "metadata.namespace"), name}) != nullptr &&
            paused_of(server, name) == nullptr)
            broken("the database is stopped before CronJob " + name + " was looked at");
    }
}

void Invariants::cron_jobs_run_again() {
    for (const auto& [key, object] : store_.all("cronjobs").objects) {
        if (flag_at(object.document, "spec.suspend") && !wanted_suspended.at(key))
            broken("the lock is freed while CronJob " + key.name + " is paused");
    }
}

void Invariants::listing_job_created(const json& job) {
    const auto request = request_of(job);
    if (!request) return broken("a Job that lists has no request");
    Listing& last = list_made_[request->restore_uid + "/" + request->store.name];
    if (last.attempt == request->attempt) return;  // somebody deleted the first
    const bool early =
        last.attempt != 0 && clock_.steady() - last.made < std::chrono::seconds(list_interval_seconds);
    if (early && last.owed-- <= 0)
        broken("store " + request->store.name + " is listed again before its interval has passed");
    last.owed = std::max(last.owed, 0);
    last.attempt = request->attempt;
    last.made = clock_.steady();
    list_writes_[request->restore_uid] = 0;
}

// What is owed to a restore still is.
void Invariants::list_is_due_again() {
    for (auto& [store, listing] : list_made_) listing.attempt = 0;
    list_writes_.clear();
}

void Invariants::list_is_owed(const json& server, const json& restore) {
    const std::string store = resources::restore_from_json(restore).spec.backup.store;
    if (!store.empty()) list_is_owed(server, store, text_at(restore, "metadata.uid"));
}

void Invariants::list_is_owed(const json& server, const std::string& store, const std::string& restore_uid) {
    Listing& last = list_made_[text_at(server, "metadata.uid") + "/" + store];
    if (last.restore_uid != restore_uid) ++last.owed;
    last.restore_uid = restore_uid;
}

void Invariants::list_changed(const json& before, const json& after) {
    // The repository is listed once more after each restore; its request names no store.
    if (const auto& history = list_at(after, "status.history"); !history.empty())
        list_is_owed(after, "", text_at(history.back(), "uid"));
    if (resources::field(before, "status.stores") == resources::field(after, "status.stores")) return;
    if (++list_writes_[text_at(after, "metadata.uid")] > 6)
        broken("how far the lists are is written again and again");
}

void Invariants::listed(const resources::AgentRequest& request, const resources::AgentResult& result) {
    auto& names =
        told_lists_[request.restore_uid + "/" + request.store.name + "/" + std::to_string(request.attempt)]
            .emplace_back();
    for (const auto& backup : result.backups) names.push_back(backup.name);
}

void Invariants::check_list(const json& server, const json& store) {
    const std::string name = text_at(store, "name"), uid = text_at(server, "metadata.uid");
    const json* status = named_in(list_at(server, "status.stores"), name);
    if (status == nullptr) return broken("I5: store " + name + " was never listed");
    const auto time = resources::time_at(*status, "listTime");
    if (!time || base::seconds_between(*time, clock_.now()) > list_interval_seconds + 3600)
        return broken("I5: store " + name + " was not listed for long");
    if (const std::string reason = text_at(*status, "reason"); !reason.empty())
        return broken("I5: store " + name + " cannot be listed: " + reason);
    std::vector<std::string> shown;
    for (const auto& backup : list_at(server, "status.backups"))
        if (text_at(backup, "store") == name) shown.push_back(text_at(backup, "name"));
    const auto told =
        told_lists_.find(uid + "/" + name + "/" + std::to_string(integer_at(*status, "attempt")));
    if (told == told_lists_.end() || std::ranges::find(told->second, shown) == told->second.end())
        broken("the list of store " + name + " is not what its Job found");
}

void Invariants::check_lists() {
    if (namespace_deleted) return;
    for (const auto& [key, server] : store_.all("postgresservers").objects) {
        const auto& stores = list_at(server.document, "spec.stores");
        for (const auto& store : stores) check_list(server.document, store);
        const bool has_repository = present_at(server.document, "spec.pointInTimeRecovery");
        if (has_repository != present_at(server.document, "status.pointInTimeRecovery"))
            broken("I5: the points in time of the repository are not told, or it is gone");
        for (const auto& status : list_at(server.document, "status.stores"))
            if (named_in(stores, text_at(status, "name")) == nullptr &&
                !(has_repository && text_at(status, "name") == resources::repository_store_name))
                broken("I5: store " + text_at(status, "name") + " is gone and still told of");
    }
}

}  // namespace dbrestore::simulation
