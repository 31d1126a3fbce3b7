#include "decide/phases.h"

#include <algorithm>
#include <array>

#include "decide/backup.h"
#include "decide/cron_jobs.h"
#include "decide/history.h"
#include "decide/judge.h"
#include "decide/narrate.h"
#include "decide/rest.h"
#include "decide/rolling_back.h"
#include "decide/steps.h"
#include "decide/undo.h"
#include "decide/validate.h"
#include "decide/ways_out.h"

namespace dbrestore::decide {

using namespace std::chrono_literals;
using resources::AgentResult;
using resources::Phase;
using resources::RestoreStatus;
using resources::Truth;

namespace {

Plan pending(const World&);
Plan queued(const World&);
Plan validating(const World&);
Plan stopping(const World&);
Plan preparing(const World&);
Plan verifying(const World&);
Plan committing(const World&);
Plan starting(const World&);
Plan ended(const World&);

struct PhaseEntry {
    Phase phase;
    Plan (*handle)(const World&);
};

// In life order. AwaitingApproval belongs to strategy StageFirst.
constexpr std::array<PhaseEntry, 12> phase_table{{
    {Phase::pending, pending},
    {Phase::queued, queued},
    {Phase::validating, validating},
    {Phase::stopping, stopping},
    {Phase::preparing, preparing},
    {Phase::verifying, verifying},
    {Phase::committing, committing},
    {Phase::starting, starting},
    {Phase::rolling_back, rolling_back},
    {Phase::succeeded, ended},
    {Phase::failed, ended},
    {Phase::cancelled, ended},
}};

constexpr int64_t short_deadline_seconds = 300;
constexpr int64_t long_deadline_seconds = 86400;

// A file that was not there makes no event when it appears: look again, ever more rarely.
double preflight_pause_seconds(int64_t looked_times) {
    return std::min(15.0 * static_cast<double>(int64_t{1} << std::clamp<int64_t>(looked_times - 1, 0, 5)),
                    300.0);
}

void name_target(const World& world, RestoreStatus& status) {
    const auto& spec = world.restore.spec;
    if (is_undo(world.restore)) {
        const auto* entry = undone_entry(world);
        status.target = "before " + spec.undo_name;
        if (entry != nullptr)
            status.source_name =
                entry->previous_directory.empty() ? entry->previous_database : entry->previous_directory;
    } else if (status.target.empty()) {
        status.target = target_of(spec);
        status.source_store = name_of_source(spec);
        status.source_name = spec.backup.choice.name;
    }
}

Plan pending(const World& world) {
    RestoreStatus status = world.restore.status;
    if (holds_lock(world)) {
        if (world.server->lock.fence) {
            // Never reached by ourselves. To free the lock now would leave a stopped database to whoever
            // comes next.
            return save(world, std::move(status), "StatusLost",
                        "this restore's status was taken away while it ran; the database is stopped, see "
                        "`status.originalReplicas` of its PostgresServer");
        }
        // It waits for something: others may go first.
        if (auto plan = end_other_jobs(world, "")) return *plan;
        return {{SaveLock{}, RemoveFinalizers{}}, "giving the lock back while waiting", false, 1000ms};
    }
    name_target(world, status);
    if (const auto never = never_runs(world)) {
        note(status, world, "Validated", Truth::no, never->reason, never->message);
        return finish(world, std::move(status), Phase::failed, never->reason, never->message);
    }
    if (const auto missing = still_missing(world))
        return wait_for_missing(world, std::move(status), *missing);
    if (status.step && status.step->attempt > 1) {
        const double left = preflight_pause_seconds(status.step->attempt - 1) -
                            base::seconds_between(status.step->start_time, world.now);
        if (left > 0)
            return wait("looking again for what was missing",
                        std::chrono::milliseconds(static_cast<int64_t>(left * 1000) + 100));
    }
    note(status, world, "Validated", Truth::unknown, "NotYet", "nothing is missing; the checks follow");
    return enter(world, std::move(status), Phase::queued,
                 "waiting for its turn on PostgresServer \"" + world.restore.spec.server_name + "\"");
}

// The one that was created first goes first; equal times are settled by name.
const resources::DatabaseRestore* ahead_in_queue(const World& world) {
    const auto order = [](const resources::DatabaseRestore& r) {
        return std::pair(r.meta.creation_time, r.meta.name);
    };
    for (const auto& rival : world.rivals) {
        if (rival.status.phase == Phase::queued && order(rival) < order(world.restore)) return &rival;
    }
    return nullptr;
}

Plan queued(const World& world) {
    if (const auto missing = still_missing(world))
        return wait_for_missing(world, world.restore.status, *missing);
    const auto& holder = world.server->lock.active_restore;
    if (holder && !holds_lock(world)) {
        return save(world, world.restore.status, {},
                    "waiting for DatabaseRestore \"" + holder->name + "\" to finish on the same server");
    }
    if (const auto* first = ahead_in_queue(world); first != nullptr && !holder) {
        Plan plan = save(world, world.restore.status, {},
                         "waiting behind DatabaseRestore \"" + first->meta.name + "\"");
        plan.look_again_after = 10s;
        return plan;
    }
    RestoreStatus status = world.restore.status;
    status.start_time = status.start_time ? status.start_time : world.now;
    Plan plan =
        enter(world, std::move(status), Phase::validating, "checking everything before anything is stopped");
    // A crash after the lock leaves it held by a queued restore, which then goes on here.
    if (!holds_lock(world))
        plan.actions.insert(
            plan.actions.begin(),
            {AddFinalizers{},
             SaveLock{{{{world.restore.meta.name, world.restore.meta.uid}}, {}, {}, {}, {}, {}}}});
    return plan;
}

Plan validating(const World& world) {
    RestoreStatus status = world.restore.status;
    if (!holds_lock(world)) {
        // Its Job may be there and is ended in Pending: the next one is another attempt.
        if (status.step) status.step = next_attempt(world, status.step->name, status.step->attempt + 1);
        return enter(world, std::move(status), Phase::pending, "the lock is gone; starting over");
    }
    if (const auto missing = still_missing(world))
        return look_again_later(world, std::move(status), *missing);
    // What went before it in the queue may have changed what it can undo.
    if (const auto never = never_runs(world)) {
        note(status, world, "Validated", Truth::no, never->reason, never->message);
        return roll_back(world, std::move(status), never->reason, never->message);
    }
    const auto& inferred = *world.server->status.inferred;
    if (!status.data_owner && inferred.uid) {
        status.data_owner = resources::DataOwner{*inferred.uid, inferred.gid.value_or(*inferred.uid)};
        return save(world, std::move(status), {}, "the data directory's owner is known");
    }
    if (!status.data_owner) {
        auto probe = run_step(world, {.name = "probe",
                                      .subcommand = "probe",
                                      .telling = "finding the data directory's owner",
                                      .data = DataMount::read_only});
        if (probe.plan) return *probe.plan;
        return judge_probe(world, std::move(status), *probe.result);
    }
    const auto* pod = ready_database_pod(world);
    auto preflight = run_step(world, {.name = "preflight",
                                      .subcommand = "preflight",
                                      .telling = words_of(world.restore).checking,
                                      .data = DataMount::read_only,
                                      .backup = true,
                                      .host = pod == nullptr ? "" : pod->pod_ip,
                                      .deadline_seconds = long_deadline_seconds});
    if (preflight.plan) return *preflight.plan;
    return judge_preflight(world, std::move(status), *preflight.result);
}

Plan stopping(const World& world) {
    RestoreStatus status = world.restore.status;
    if (!world.server || !world.workload || !world.server->status.inferred)
        return roll_back(world, status, "ServerNotFound", "the PostgresServer or its workload is gone");
    // Before anything is stopped: from here on a copy of this object must not run.
    if (const auto at = world.restore.meta.annotations.find(resources::executed_annotation);
        at == world.restore.meta.annotations.end()) {
        return {{MarkExecuted{true}}, "marking the restore as executed", false, 1000ms};
    }
    if (!status.stop_time) {
        if (world.workload->when_scaled == "Delete" || world.workload->replicas > 1)
            return roll_back(world, status, "WorkloadChanged", failed_messages(workload_findings(world)));
        if (const auto* pod = ready_database_pod(world); pod != nullptr) {
            const auto quiesce =
                run_step(world, {.name = "quiesce",
                                 .subcommand = "quiesce",
                                 .telling = "writing a checkpoint, so that the stop is short",
                                 .host = pod->pod_ip,
                                 .deadline_seconds = 60});
            if (quiesce.plan) return *quiesce.plan;  // how it ended is of no matter: the stop works without
        }
        if (!world.fresh) return look_fresh("looking once more before anything is stopped");
        status.original_replicas = world.workload->replicas;
        status.stop_time = world.now;
        return save(world, std::move(status), {}, "stopping the database");
    }
    if (auto plan = bring_to_rest(world)) return *plan;
    note(status, world, "DatabaseStopped", Truth::yes, "ScaledToZero",
         "no pod but the restore's own can use the volume");
    return enter(world, std::move(status), Phase::preparing,
                 "the database is stopped; " + words_of(world.restore).preparing);
}

Plan step_at_rest(const World& world, const StepWish& wish, Phase next, const std::string& next_why) {
    if (auto plan = keep_at_rest(world)) return *plan;
    auto step = run_step(world, wish);
    if (step.plan) return *step.plan;
    if (step.result->outcome != AgentResult::Outcome::done)
        return roll_back(world, world.restore.status, step.result->reason, step.result->message);
    return enter(world, world.restore.status, next, next_why);
}

Plan preparing(const World& world) {
    return step_at_rest(world,
                        {.name = "prepare",
                         .subcommand = "prepare",
                         .telling = words_of(world.restore).preparing,
                         .data = DataMount::read_write,
                         .backup = true,
                         .deadline_seconds = world.restore.spec.active_deadline_seconds},
                        Phase::verifying, words_of(world.restore).prepared);
}

Plan verifying(const World& world) {
    return step_at_rest(world,
                        {.name = "verify",
                         .subcommand = "verify",
                         .telling = "verifying the database that is to be served",
                         .data = DataMount::read_write,
                         .deadline_seconds = long_deadline_seconds},
                        Phase::committing, words_of(world.restore).verified);
}

Plan committing(const World& world) {
    if (auto plan = keep_at_rest(world)) return *plan;
    const auto commit = run_step(world, {.name = "commit",
                                         .subcommand = "commit",
                                         .telling = words_of(world.restore).committing,
                                         .data = DataMount::read_write,
                                         .deadline_seconds = 3600});
    if (commit.plan) return *commit.plan;
    RestoreStatus status = world.restore.status;
    if (commit.result->outcome != AgentResult::Outcome::done)
        return roll_back(world, status, commit.result->reason, commit.result->message);
    status.previous_data = kept_data(world.restore, commit.result->bytes);
    status.replaced_database = commit.result->database;
    if (commit.result->recovered_to) {
        status.recovered_to = commit.result->recovered_to;
        if (!status.recovered_to->time.empty())
            status.lost_interval =
                resources::LostInterval{status.recovered_to->time, status.stop_time.value_or(world.now)};
    }
    note(status, world, "DataRestored", Truth::yes, "Exchanged", words_of(world.restore).committed);
    return enter(world, std::move(status), Phase::starting, "the restored data is in place; starting");
}

void start_expiry(const World& world, RestoreStatus& status) {
    if (status.previous_data)
        status.previous_data->expiration_time =
            world.now + std::chrono::seconds(world.restore.spec.retain_seconds);
}

Plan succeed(const World& world, RestoreStatus status, const std::string& message) {
    start_expiry(world, status);
    return finish(world, std::move(status), Phase::succeeded, "Succeeded", message);
}

// A client may have written already, so nothing is taken back.
Plan fail_on_new_data(const World& world, RestoreStatus status, const std::string& reason,
                      const std::string& message) {
    note(status, world, "DatabaseReady", Truth::no, reason, message);
    start_expiry(world, status);
    return finish(world, std::move(status), Phase::failed, reason,
                  message + "; clients may have written already, so the restored data stays; " +
                      kept_data_text(world.restore));
}

Plan starting(const World& world) {
    RestoreStatus status = world.restore.status;
    const bool ready = resources::condition_is(status.conditions, "DatabaseReady", Truth::yes);
    if (!status.step || (status.step->name != "start" && status.step->name != "verify-live"))
        return begin_stage(world, std::move(status), "start", "starting the database");
    if (!ready) {
        if (auto plan = let_run(world)) return *plan;
        if (status.original_replicas == 0)
            return succeed(world, std::move(status),
                           words_of(world.restore).succeeded + "; the database stays scaled to 0, as it was");
        if (ready_database_pod(world) == nullptr) {
            if (base::seconds_between(status.step->start_time, world.now) < pod_ready_within_seconds)
                return wait("waiting until the database's pod is ready", 2000ms);
            if (!world.fresh)
                return look_fresh(
                    "the database's pod is not ready; looking once more before the old data comes back");
            if (may_have_served(world))
                return fail_on_new_data(
                    world, std::move(status), "DatabaseNotReady",
                    "the database's pod was ready on the restored data, and then no more");
            return roll_back(world, std::move(status), "DatabaseNotReady",
                             "the database's pod did not become ready on the restored data");
        }
        // From here on nothing is started any more: the pod must not be one that a cache remembers.
        if (!world.fresh) return look_fresh("the database's pod is ready; looking once more");
        note(status, world, "DatabaseReady", Truth::yes, "PodReady", "the database's pod is ready");
        if (status.stop_time)
            status.downtime_seconds =
                static_cast<int64_t>(base::seconds_between(*status.stop_time, world.now));
        return save(world, std::move(status), {},
                    "the database's pod is ready; verifying through the network");
    }
    // Raised by a rollback that came too late. Whoever takes over would roll back behind it.
    if (world.server && world.server->lock.fence) {
        if (auto plan = let_run(world)) return *plan;
    }
    const auto* pod = ready_database_pod(world);
    const bool asked = status.step->name == "verify-live" && !status.step->job_uid.empty();
    if (pod == nullptr && !asked) {
        // It was being stopped when it turned out to be ready.
        if (auto plan = let_run(world)) return *plan;
        const auto ready_since =
            resources::find_condition(status.conditions, "DatabaseReady")->last_transition_time;
        if (base::seconds_between(ready_since, world.now) < pod_ready_within_seconds)
            return wait("waiting until the database's pod is ready again");
        return fail_on_new_data(world, std::move(status), "DatabaseNotReady",
                                "the database's pod was ready on the restored data, and then no more");
    }
    if (auto plan = wait_for_server(world)) return *plan;
    const auto verify = run_step(world, {.name = "verify-live",
                                         .subcommand = "verify",
                                         .telling = "verifying through the network",
                                         .host = pod == nullptr ? "" : pod->pod_ip,
                                         .deadline_seconds = short_deadline_seconds});
    if (verify.plan) return *verify.plan;
    if (verify.result->outcome == AgentResult::Outcome::done) {
        const bool opens = verify.result->credentials_match.value_or(true);
        const std::string message = words_of(world.restore).succeeded + ", and the database serves";
        if (verify.result->credentials_match)
            note(status, world, "CredentialsMatch", opens ? Truth::yes : Truth::no,
                 opens ? "Opened" : "PasswordsOfThen",
                 opens ? "the connection Secret opens the database" : verify.result->message);
        return succeed(world, std::move(status), opens ? message : message + "; " + verify.result->message);
    }
    return fail_on_new_data(world, std::move(status), verify.result->reason, verify.result->message);
}

const resources::HistoryEntry* own_entry(const World& world) {
    const auto& history = world.server->status.history;
    const auto at = std::ranges::find(history, world.restore.meta.uid, &resources::HistoryEntry::uid);
    return at == history.end() ? nullptr : &*at;
}

// Lets go of what it held, the lock last. A crash in between leaves it to the next round.
Plan ended(const World& world) {
    const auto& restore = world.restore;
    const bool succeeded = restore.status.phase == Phase::succeeded;
    Plan plan{{}, to_text(restore.status.phase), false, std::nullopt};
    // A copy of another restore keeps its annotation: it must not run elsewhere either.
    const auto mark = restore.meta.annotations.find(resources::executed_annotation);
    if (!succeeded && mark != restore.meta.annotations.end() && mark->second == restore.meta.uid)
        plan.actions.push_back(MarkExecuted{false});
    if (holds_lock(world)) {
        // What missed its time while it was paused begins at once, and finds the database as it will be.
        if (auto resume = resume_cron_jobs(world)) return *resume;
        if (own_entry(world) == nullptr && !is_dry_run(restore))
            plan.actions.push_back(SaveServer{with_history_of(restore, world.server->status)});
        plan.actions.push_back(SaveLock{});
    }
    if (restore.meta.has_finalizer(resources::finalizer_name)) plan.actions.push_back(RemoveFinalizers{});
    if (!plan.actions.empty()) return plan;
    RestoreStatus status = restore.status;
    if (status.previous_data && world.server) {
        // One that was made anew does not know yet.
        const auto* entry = own_entry(world);
        if (entry != nullptr) status.previous_data->available = entry->keeps_data();
    }
    const auto* summary = resources::find_condition(status.conditions, "Succeeded");
    return save(world, std::move(status), summary == nullptr ? "" : summary->reason,
                summary == nullptr ? "" : summary->message);
}

Plan decide_as_seen(const World& world) {
    if (auto plan = way_out(world)) return *plan;
    const auto at = std::ranges::find(phase_table, world.restore.status.phase, &PhaseEntry::phase);
    // A phase of another version's making: leave it alone, and say so.
    if (at == phase_table.end())
        return {{},
                "this version does not know the phase " + to_text(world.restore.status.phase),
                false,
                std::nullopt};
    Plan plan = at->handle(world);
    look_again_at_deadline(world, plan);
    return plan;
}

}  // namespace

Plan decide(const World& world) {
    Plan plan = decide_as_seen(world);
    // Whatever acts on more than the restore's own status: a version guard on one object says nothing of how
    // old the others were. And what ends it: nobody looks after the workload afterwards.
    const bool acts = std::ranges::any_of(plan.actions, [&](const Action& action) {
        const auto* saved = std::get_if<SaveRestore>(&action);
        const bool ends =
            saved != nullptr && is_final(saved->status.phase) && !is_final(world.restore.status.phase);
        return ends || (saved == nullptr && !std::holds_alternative<Speak>(action));
    });
    return acts && !world.fresh ? look_fresh(plan.why) : plan;
}

}  // namespace dbrestore::decide
