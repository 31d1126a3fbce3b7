#include <algorithm>

#include "decide/catalog.h"
#include "decide/history.h"
#include "decide/inference.h"
#include "decide/jobs.h"
#include "decide/narrate.h"
#include "decide/phases.h"
#include "decide/take_over.h"
#include "decide/undo.h"
#include "decide/validate.h"

namespace dbrestore::decide {

using namespace std::chrono_literals;
using resources::HistoryEntry;
using resources::PostgresServer;
using resources::ServerStatus;
using resources::Truth;

namespace {

constexpr size_t max_history_entries = 100;
constexpr double cleanup_pause_seconds = 60;
constexpr double cleanup_given_up_seconds = 900;  // its pod's own deadline is a third of that

void set_ready(const ServerWorld& world, ServerStatus& status, Truth truth, const std::string& reason,
               const std::string& message) {
    resources::set_condition(status.conditions,
                             {"Ready", truth, reason, message, world.server.meta.generation, world.now});
}

// Of two servers on one claim the older one keeps it: otherwise each would have its own lock on the same
// data.
const PostgresServer* earlier_claimant(const ServerWorld& world, const resources::Inferred& inferred) {
    for (const auto& other : world.others) {
        const bool same_workload = other.workload_kind == world.server.workload_kind &&
                                   other.workload_name == world.server.workload_name;
        const bool same_claim =
            other.status.inferred && other.status.inferred->claim_name == inferred.claim_name;
        const bool earlier = std::pair(other.meta.creation_time, other.meta.name) <
                             std::pair(world.server.meta.creation_time, world.server.meta.name);
        if ((same_workload || same_claim) && earlier) return &other;
    }
    return nullptr;
}

ServerStatus observed_status(const ServerWorld& world) {
    ServerStatus status = world.server.status;
    status.observed_generation = world.server.meta.generation;
    const Inference inference = infer(world.server, world.workload);
    if (const auto* problem = std::get_if<NotInferable>(&inference)) {
        // While a restore runs, what it was started with must not change under it.
        if (!world.server.lock.active_restore) status.inferred.reset();
        set_ready(world, status, Truth::no, problem->reason, problem->message);
        return status;
    }
    const auto& inferred = std::get<resources::Inferred>(inference);
    if (const auto* other = earlier_claimant(world, inferred); other != nullptr) {
        set_ready(world, status, Truth::no, "WorkloadClaimedTwice",
                  "PostgresServer \"" + other->meta.name +
                      "\" stands for the same workload or claim already; there must be one");
        return status;
    }
    if (!world.server.lock.active_restore) status.inferred = inferred;
    set_ready(world, status, Truth::yes, "Inferred",
              "container \"" + inferred.container + "\", data directory " + inferred.data_directory +
                  " on claim \"" + inferred.claim_name + "\"");
    return status;
}

void forget_previous_data(HistoryEntry& entry) {
    entry.previous_database.clear();
    entry.previous_directory.clear();
    entry.data_owner.reset();
    entry.previous_size_bytes = 0;
    entry.expiration_time.reset();
    entry.cleanup_attempt = 0;
}

// What an Undo brought back is no longer kept: it is served.
void forget_what_came_back(const resources::DatabaseRestore& restore, std::vector<HistoryEntry>& history) {
    const std::string& source = restore.status.source_name;
    const auto own = std::ranges::find(history, restore.meta.uid, &HistoryEntry::uid);
    if (!is_undo(restore) || !restore.status.previous_data || source.empty() || own == history.end()) return;
    for (auto& undone : history) {
        if (undone.previous_database != source && undone.previous_directory != source) continue;
        own->database = undone.database;
        forget_previous_data(undone);
    }
}

// A PostgresServer that was made anew has no history: its restores remember. Only then, since they are more
// than a history holds.
void rebuild_history(const ServerWorld& world, ServerStatus& status) {
    if (!status.history.empty()) return;
    auto ended = world.ended;
    std::ranges::sort(ended, {}, [](const auto& restore) { return restore.status.completion_time; });
    for (const auto& restore : ended) {
        const bool changed_data =
            restore.status.phase == resources::Phase::succeeded || restore.status.previous_data;
        if (changed_data && !is_dry_run(restore)) status = with_history_of(restore, std::move(status));
    }
    // By a clock that was set back, an Undo has ended before what it brought back.
    for (const auto& restore : ended) forget_what_came_back(restore, status.history);
}

const resources::Pod* ready_pod(const ServerWorld& world) {
    const auto at = std::ranges::find_if(world.pods, [&](const resources::Pod& pod) {
        return world.workload && is_pod_of(*world.workload, pod) && pod.ready && !pod.meta.deleting;
    });
    return at == world.pods.end() ? nullptr : &*at;
}

const resources::Job* newest_cleanup(const ServerWorld& world, const HistoryEntry& entry) {
    const resources::Job* newest = nullptr;
    for (const auto& job : world.jobs) {
        if (job.meta.label(restore_uid_label) != entry.uid) continue;
        if (newest == nullptr || attempt_of(*newest) < attempt_of(job)) newest = &job;
    }
    return newest;
}

CreateJob cleanup_job(const ServerWorld& world, const HistoryEntry& entry, const std::string& host) {
    const auto& inferred = *world.server.status.inferred;
    JobRecipe recipe;
    recipe.namespace_name = world.server.meta.namespace_name;
    recipe.server_name = world.server.meta.name;
    recipe.restore_name = entry.restore;
    recipe.restore_uid = entry.uid;
    recipe.step = "cleanup";
    recipe.attempt = entry.cleanup_attempt;
    recipe.agent_image = world.settings.agent_image;
    recipe.request = base_request(inferred, *world.workload, entry.restore, entry.uid);
    recipe.request.step = "cleanup";
    recipe.request.attempt = entry.cleanup_attempt;
    recipe.request.host = host;
    recipe.deadline_seconds = 300;
    if (entry.previous_directory.empty()) {
        recipe.request.old_database = entry.previous_database;
    } else {
        recipe.request.point_in_time.emplace();
        recipe.data = DataMount::read_write;
        recipe.node = node_with_claim(world.pods, inferred.claim_name);
        if (entry.data_owner) recipe.uid = entry.data_owner->uid, recipe.gid = entry.data_owner->gid;
    }
    return CreateJob{job_manifest(recipe, inferred, *world.workload)};
}

bool was_cleaned_up(const ServerWorld& world, const HistoryEntry& entry) {
    return std::ranges::any_of(world.jobs, [&](const resources::Job& job) {
        const auto report = world.reports.find(job.meta.name);
        return job.meta.label(restore_uid_label) == entry.uid && report != world.reports.end() &&
               report->second.result &&
               report->second.result->outcome == resources::AgentResult::Outcome::done;
    });
}

// True while this Job works, or failed not long ago.
bool waits_for(const ServerWorld& world, const resources::Job& job, Plan& plan) {
    const double age_seconds = base::seconds_between(job.meta.creation_time, world.now);
    if (!world.reports.contains(job.meta.name) && !job.finished()) {
        // Its pod may never have been let in; the next attempt is made once it is gone.
        if (age_seconds > cleanup_given_up_seconds && !job.meta.deleting)
            plan.actions.push_back(DeleteJob{job.meta.name, job.meta.uid});
        look_again(plan, age_seconds < cleanup_pause_seconds ? 2s : 30s);
        return true;
    }
    // Ever more rarely: ended Jobs are kept for a day.
    const double pause = std::min(cleanup_pause_seconds * static_cast<double>(attempt_of(job)), 3600.0);
    if (age_seconds >= pause) return false;
    look_again(plan, 30s);
    return true;
}

// Removes what one expired entry keeps; the entry forgets it only once that is reported. A crash between its
// number and the Job leaves out that number.
void expire(const ServerWorld& world, HistoryEntry& entry, Plan& plan) {
    if (!entry.keeps_data() || !entry.expiration_time) return;
    if (was_cleaned_up(world, entry)) return forget_previous_data(entry);
    const resources::Job* job = newest_cleanup(world, entry);
    // One that was made anew does not know it yet, and the Job may be removed.
    if (job != nullptr) entry.cleanup_attempt = std::max(entry.cleanup_attempt, attempt_of(*job));
    // What was begun is ended, also where the clock was set back since.
    if (entry.cleanup_attempt == 0 && *entry.expiration_time > world.now)
        return look_again(plan,
                          std::min<std::chrono::milliseconds>(*entry.expiration_time - world.now + 1ms, 1h));
    if (world.server.lock.active_restore) return;  // its end brings this server here again
    if (job != nullptr && waits_for(world, *job, plan)) return;
    const resources::Pod* pod = ready_pod(world);
    const bool needs_server = entry.previous_directory.empty();
    if ((needs_server && pod == nullptr) || !world.server.status.inferred || !world.workload)
        return look_again(plan, 30s);
    ++entry.cleanup_attempt;
    plan.actions.push_back(cleanup_job(world, entry, needs_server ? pod->pod_ip : ""));
    look_again(plan, 2s);
}

}  // namespace

ServerStatus with_history_of(const resources::DatabaseRestore& restore, ServerStatus status) {
    const bool is_there =
        std::ranges::find(status.history, restore.meta.uid, &HistoryEntry::uid) != status.history.end();
    if (is_there) return status;
    HistoryEntry entry;
    entry.restore = restore.meta.name;
    entry.uid = restore.meta.uid;
    entry.result = to_text(restore.status.phase);
    entry.database = restore.status.replaced_database.empty() ? restore.spec.logical_database
                                                              : restore.status.replaced_database;
    entry.completion_time = restore.status.completion_time.value_or(base::Time{});
    if (restore.status.previous_data && restore.status.previous_data->available) {
        entry.previous_database = restore.status.previous_data->database;
        entry.previous_directory = restore.status.previous_data->directory;
        if (!entry.previous_directory.empty()) entry.data_owner = restore.status.data_owner;
        entry.previous_size_bytes = restore.status.previous_data->size_bytes;
        entry.expiration_time = restore.status.previous_data->expiration_time;
    }
    status.history.push_back(std::move(entry));
    forget_what_came_back(restore, status.history);
    while (status.history.size() > max_history_entries) {
        const auto oldest =
            std::ranges::find_if(status.history, [](const HistoryEntry& e) { return !e.keeps_data(); });
        if (oldest == status.history.end()) break;
        status.history.erase(oldest);
    }
    return status;
}

Plan decide_server(const ServerWorld& world) {
    if (world.server.meta.deleting && (world.namespace_terminating || !world.server.lock.active_restore)) {
        // In a terminating namespace nothing can be repaired any more; elsewhere nothing is left to repair.
        Plan plan{{}, "the PostgresServer is deleted", false, std::nullopt};
        if (world.server.meta.has_finalizer(resources::finalizer_name))
            plan.actions.push_back(RemoveFinalizers{});
        return plan;
    }
    if (world.vanished) return take_over(*world.vanished);
    // Left by an end that was interrupted once the lock was free. Whoever takes the lock meanwhile adds it
    // again.
    if (!world.server.lock.active_restore && world.server.meta.has_finalizer(resources::finalizer_name)) {
        if (!world.fresh) return look_fresh("no restore holds the lock any more");
        return {{RemoveFinalizers{}}, "no restore holds the lock any more", false, std::nullopt};
    }
    Plan plan{{}, "nothing to do", false, std::nullopt};
    ServerStatus status = observed_status(world);
    rebuild_history(world, status);
    for (auto& entry : status.history) expire(world, entry, plan);
    list_stores(world, status, plan);
    // A cache may show neither the Job that is to be made nor the status that one is made for.
    const bool acts = std::ranges::any_of(plan.actions, [](const Action& action) {
        return std::holds_alternative<CreateJob>(action) || std::holds_alternative<DeleteJob>(action);
    });
    if (acts && !world.fresh) return look_fresh("looking once more before Jobs are made or removed");
    if (status != world.server.status)
        plan.actions.insert(plan.actions.begin(), SaveServer{std::move(status)});
    return plan;
}

}  // namespace dbrestore::decide
