#include "decide/catalog.h"

#include <algorithm>

#include "decide/jobs.h"
#include "decide/narrate.h"

namespace dbrestore::decide {

using namespace std::chrono_literals;
using resources::AgentResult;
using resources::ServerStatus;
using resources::Store;
using resources::StoreStatus;
using resources::Truth;

namespace {

constexpr int64_t list_within_seconds = 600;
constexpr double late_report_seconds = 60;
// All of them lie in one object, which has a bound.
constexpr size_t max_listed_bytes = 256 << 10;

// A store, or the repository where it is none.
struct Listable {
    std::string name;
    const Store* store = nullptr;
};

std::vector<Listable> all_listable(const resources::PostgresServer& server) {
    std::vector<Listable> all;
    // An HTTP server has no list to show.
    for (const auto& store : server.stores) {
        if (!store.http) all.push_back({store.name, &store});
    }
    if (server.repository) all.push_back({resources::repository_store_name, nullptr});
    return all;
}

std::string job_of(const ServerWorld& world, const StoreStatus& listing) {
    return job_name(world.server.meta.uid, catalog_step, listing.attempt);
}

CreateJob catalog_job(const ServerWorld& world, const Listable& listable, const StoreStatus& listing) {
    const auto& inferred = *world.server.status.inferred;
    const auto& meta = world.server.meta;
    JobRecipe recipe;
    recipe.namespace_name = meta.namespace_name;
    recipe.server_name = meta.name;
    // No restore asks for it: the server itself stands in the labels.
    recipe.restore_name = meta.name;
    recipe.restore_uid = meta.uid;
    recipe.step = catalog_step;
    recipe.attempt = listing.attempt;
    recipe.agent_image = world.settings.agent_image;
    recipe.request = base_request(inferred, *world.workload, meta.name, meta.uid);
    recipe.request.step = catalog_step;
    recipe.request.attempt = listing.attempt;
    if (listable.store != nullptr) {
        recipe.request.store = *listable.store;
        recipe.store = *listable.store;
    } else {
        recipe.request.stanza = world.server.repository->stanza;
        recipe.repository_secret = world.server.repository->config_secret;
        // The repository may be a folder on another claim of the database.
        recipe.node = node_with_claim(world.pods, inferred.claim_name);
    }
    if (inferred.uid) {
        recipe.uid = *inferred.uid;
        recipe.gid = inferred.gid.value_or(*inferred.uid);
    }
    recipe.deadline_seconds = list_within_seconds;
    return CreateJob{job_manifest(recipe, inferred, *world.workload)};
}

// Of a bucket only the newest are looked into; what was seen of one stays true as long as it is the same.
void keep_what_was_seen(const std::vector<resources::ListedBackup>& before, const std::string& store,
                        resources::Backup& backup) {
    if (!backup.format.empty()) return;
    const auto same = std::ranges::find_if(before, [&](const auto& listed) {
        return listed.store == store && listed.backup.name == backup.name &&
               listed.backup.completion_time == backup.completion_time &&
               listed.backup.size_bytes == backup.size_bytes;
    });
    if (same == before.end()) return;
    backup.format = same->backup.format;
    backup.server_version = same->backup.server_version;
}

void take_backups(const Store& store, const AgentResult& result, ServerStatus& status) {
    const auto before = status.backups;
    std::erase_if(status.backups, [&](const auto& listed) { return listed.store == store.name; });
    for (auto backup : result.backups) {
        keep_what_was_seen(before, store.name, backup);
        status.backups.push_back({store.name, store.kind, std::move(backup)});
    }
    std::ranges::stable_sort(status.backups, std::greater<>(),
                             [](const auto& listed) { return listed.backup.completion_time; });
    size_t bytes = 0, kept = 0;
    while (kept < status.backups.size() &&
           (bytes += status.backups[kept].backup.name.size()) <= max_listed_bytes)
        ++kept;
    status.backups.resize(kept);
}

void take_list(const Listable& listable, const AgentResult& result, StoreStatus& listing,
               ServerStatus& status) {
    const bool done = result.outcome == AgentResult::Outcome::done;
    listing.reason = done ? "" : result.reason;
    listing.message = done ? "" : result.message;
    if (!done) return;  // what was known before is better than nothing
    listing.backup_count = result.backup_count;
    if (listable.store != nullptr)
        take_backups(*listable.store, result, status);
    else
        status.reachable = result.reachable;
}

// Not by comparing times: a clock may have been set back since.
bool is_under_way(const StoreStatus& listing) {
    return listing.start_time.has_value();
}

bool is_due(const StoreStatus& listing, std::chrono::seconds interval, base::Time now) {
    return !listing.list_time || *listing.list_time > now || now - *listing.list_time >= interval;
}

// A Job that was made and is over, with a result or without one.
bool settle(const ServerWorld& world, const Listable& listable, StoreStatus& listing, ServerStatus& status) {
    const std::string name = job_of(world, listing);
    if (const auto report = world.reports.find(name);
        report != world.reports.end() && report->second.result) {
        take_list(listable, *report->second.result, listing, status);
        return true;
    }
    const auto job = std::ranges::find_if(world.jobs, [&](const auto& j) { return j.meta.name == name; });
    const bool over = job != world.jobs.end() && job->finished();
    // The pod's end, and its log, may be heard of a little later than the Job's.
    const double waited_seconds = base::seconds_between(
        over ? job->end_time.value_or(*listing.start_time) : *listing.start_time, world.now);
    if (waited_seconds < (over ? late_report_seconds : list_within_seconds)) return false;
    listing.reason = "ResultLost";
    listing.message = "Job " + name + " ended without a result";
    return true;
}

void keep_only(const std::vector<Listable>& all, ServerStatus& status) {
    const auto is_known = [&](const std::string& name) {
        return std::ranges::find(all, name, &Listable::name) != all.end();
    };
    std::erase_if(status.stores, [&](const StoreStatus& s) { return !is_known(s.name); });
    std::erase_if(status.backups, [&](const auto& listed) { return !is_known(listed.store); });
    if (!is_known(resources::repository_store_name)) status.reachable.reset();
    for (const auto& [name, store] : all) {
        if (std::ranges::find(status.stores, name, &StoreStatus::name) != status.stores.end()) continue;
        StoreStatus listing;
        listing.name = name;
        status.stores.push_back(std::move(listing));
    }
}

// The restore on whose account there must be a list of this: each begins with one of its store, beside its
// own checks; and where one has ended, a timeline may begin in the repository.
std::string occasion_of(const ServerWorld& world, const ServerStatus& status, const StoreStatus& listing) {
    if (listing.name == resources::repository_store_name)
        return status.history.empty() ? "" : status.history.back().uid;
    return world.holder && world.holder->spec.backup.store == listing.name ? world.holder->meta.uid : "";
}

bool is_wanted(const ServerWorld& world, const ServerStatus& status, const StoreStatus& listing) {
    const std::string occasion = occasion_of(world, status, listing);
    return !occasion.empty() && occasion != listing.restore_uid;
}

// The one under way; else the one that a restore wants; else the one that was listed longest ago.
StoreStatus& next_listing(const ServerWorld& world, ServerStatus& status) {
    const auto running = std::ranges::find_if(status.stores, is_under_way);
    if (running != status.stores.end()) return *running;
    const auto wanted = std::ranges::find_if(
        status.stores, [&](const StoreStatus& listing) { return is_wanted(world, status, listing); });
    return wanted != status.stores.end()
               ? *wanted
               : *std::ranges::min_element(status.stores, {}, &StoreStatus::list_time);
}

// One store at a time: the others wait until its Job is over.
void list_next(const ServerWorld& world, ServerStatus& status, Plan& plan) {
    const std::chrono::seconds interval(world.server.catalog_interval_seconds);
    StoreStatus& listing = next_listing(world, status);
    const auto all = all_listable(world.server);
    const Listable& listable = *std::ranges::find(all, listing.name, &Listable::name);
    if (is_under_way(listing)) {
        if (settle(world, listable, listing, status)) {
            listing.list_time = world.now;
            listing.start_time.reset();
            return look_again(plan, 100ms);
        }
        const std::string name = job_of(world, listing);
        const bool made = std::ranges::any_of(world.jobs, [&](const auto& j) { return j.meta.name == name; });
        // Its attempt was saved in an earlier round: a crash in between makes no second one.
        if (!made) plan.actions.push_back(catalog_job(world, listable, listing));
        return look_again(plan, 10s);
    }
    if (is_due(listing, interval, world.now) || is_wanted(world, status, listing)) {
        // A Job's name is never used twice, also where the store that it listed is gone.
        listing.attempt = ++status.listings;
        if (is_wanted(world, status, listing)) listing.restore_uid = occasion_of(world, status, listing);
        listing.start_time = world.now;
        return look_again(plan, 100ms);
    }
    look_again(plan, std::max<std::chrono::milliseconds>(*listing.list_time + interval - world.now, 1s));
}

// Of each store the last one stays, for people to read; one that never began must not wait for ever.
void remove_old_jobs(const ServerWorld& world, const ServerStatus& status, Plan& plan) {
    for (const auto& job : world.jobs) {
        if (job.meta.label(step_label) != catalog_step || job.meta.deleting) continue;
        const bool is_last = std::ranges::any_of(status.stores, [&](const StoreStatus& listing) {
            return job_of(world, listing) == job.meta.name;
        });
        if (!is_last) plan.actions.push_back(DeleteJob{job.meta.name, job.meta.uid});
    }
}

void tell(const ServerWorld& world, ServerStatus& status) {
    std::string failures;
    int64_t count = 0;
    bool all_listed = true;
    for (const auto& listing : status.stores) {
        all_listed = all_listed && (listing.list_time || !listing.reason.empty());
        count += listing.backup_count;
        if (!listing.reason.empty())
            failures += (failures.empty() ? "" : "; ") + listing.name + ": " + listing.message;
    }
    if (!all_listed) return;
    const auto first = std::ranges::find_if(status.stores, [](const auto& s) { return !s.reason.empty(); });
    const bool good = first == status.stores.end();
    resources::set_condition(
        status.conditions,
        {"BackupsListed", good ? Truth::yes : Truth::no, good ? "Listed" : first->reason,
         good ? std::to_string(count) + " backups in " + std::to_string(status.stores.size()) + " stores"
              : failures,
         world.server.meta.generation, world.now});
}

}  // namespace

bool awaits_list(const resources::PostgresServer& server, const std::string& job) {
    return std::ranges::any_of(server.status.stores, [&](const StoreStatus& listing) {
        return is_under_way(listing) && job_name(server.meta.uid, catalog_step, listing.attempt) == job;
    });
}

void list_stores(const ServerWorld& world, ServerStatus& status, Plan& plan) {
    keep_only(all_listable(world.server), status);
    remove_old_jobs(world, status, plan);
    if (status.stores.empty()) {
        std::erase_if(status.conditions,
                      [](const auto& condition) { return condition.type == "BackupsListed"; });
        return;
    }
    if (world.workload && world.server.status.inferred) list_next(world, status, plan);
    tell(world, status);
}

}  // namespace dbrestore::decide
