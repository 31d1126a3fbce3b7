#include "decide/ways_out.h"

#include <algorithm>

#include "decide/narrate.h"
#include "decide/validate.h"

namespace dbrestore::decide {

using resources::Phase;

namespace {

bool holds_finalizer(const World& world) {
    return world.restore.meta.has_finalizer(resources::finalizer_name);
}

// The commit ends whole first. After it, only until a client may have written: then the new data is kept.
bool may_still_turn_back(const World& world) {
    const auto& status = world.restore.status;
    if (status.phase == Phase::committing || status.phase == Phase::rolling_back) return false;
    if (status.phase != Phase::starting) return true;
    return !resources::condition_is(status.conditions, "DatabaseReady", resources::Truth::yes) &&
           !may_have_served(world);
}

std::optional<Plan> cancel(const World& world, const std::string& message) {
    const auto& status = world.restore.status;
    if (status.phase == Phase::pending || status.phase == Phase::queued) {
        return finish(world, status, Phase::cancelled, "Cancelled", message + " before anything was stopped");
    }
    if (!may_still_turn_back(world)) return std::nullopt;
    // What a cache has not seen yet may have served.
    const bool fenced = holds_lock(world) && world.server->lock.fence;
    if (status.phase == Phase::starting && !fenced && !world.fresh)
        return look_fresh("looking whether it is too late to cancel");
    return roll_back(world, status, "Cancelled", message, true);
}

// Said once, and beside the summary: the restore itself goes on, or has succeeded.
std::optional<Plan> say_too_late(const World& world) {
    const auto& restore = world.restore;
    const bool too_late = restore.status.phase == Phase::starting || restore.status.phase == Phase::succeeded;
    if (!restore.spec.cancel_requested || !too_late ||
        resources::find_condition(restore.status.conditions, "Cancelled") != nullptr)
        return std::nullopt;
    const std::string message =
        "the restored data may have been served already, so it stays; to bring the old data back, create a "
        "DatabaseRestore of `type` Undo with `undo.restoreRef.name` " +
        restore.meta.name;
    resources::RestoreStatus status = restore.status;
    note(status, world, "Cancelled", resources::Truth::no, "CancelTooLate", message);
    return Plan{{SaveRestore{std::move(status)}, Speak{true, "CancelTooLate", message}},
                message,
                false,
                std::nullopt};
}

// Who asks for the end of it, in words; empty: nobody.
std::string cancelled_by(const World& world) {
    if (world.restore.meta.deleting) return "the restore was deleted";
    if (world.restore.spec.cancel_requested) return "cancellation was requested";
    if (holds_lock(world) && world.server->meta.deleting)
        return "PostgresServer \"" + world.server->meta.name + "\" was deleted";
    return {};
}

std::optional<Plan> check_deadlines(const World& world) {
    const auto& restore = world.restore;
    const auto& status = restore.status;
    if (status.phase <= Phase::queued) {
        if (base::seconds_between(restore.meta.creation_time, world.now) <=
            static_cast<double>(restore.spec.starting_deadline_seconds))
            return std::nullopt;
        const auto* succeeded = resources::find_condition(status.conditions, "Succeeded");
        return finish(world, status, Phase::failed, "StartDeadlineExceeded",
                      "it could not start within " + std::to_string(restore.spec.starting_deadline_seconds) +
                          " s of its creation" +
                          (succeeded == nullptr ? "" : "; it waited for: " + succeeded->message));
    }
    if (status.phase > Phase::verifying || !status.start_time) return std::nullopt;
    if (base::seconds_between(*status.start_time, world.now) <=
        static_cast<double>(restore.spec.active_deadline_seconds))
        return std::nullopt;
    return roll_back(
        world, status, "DeadlineExceeded",
        "it did not reach its commit within " + std::to_string(restore.spec.active_deadline_seconds) + " s");
}

}  // namespace

Plan roll_back(const World& world, resources::RestoreStatus status, const std::string& reason,
               const std::string& message, bool cancelled) {
    status.failure = resources::Failure{reason.empty() ? "StepFailed" : reason, message, cancelled};
    const std::string why = status.failure->reason + ": " + message;
    return enter(world, std::move(status), Phase::rolling_back, why);
}

std::optional<Plan> way_out(const World& world) {
    const auto& restore = world.restore;
    if (world.namespace_terminating) {
        // Nothing can be created here any more, so nothing can be repaired; a finalizer would only keep the
        // namespace.
        Plan plan{{}, "the namespace is terminating", false, std::nullopt};
        if (holds_finalizer(world)) plan.actions.push_back(RemoveFinalizers{});
        return plan;
    }
    if (restore.status.phase == Phase::unknown) return std::nullopt;
    if (!is_final(restore.status.phase)) {
        if (const std::string why = cancelled_by(world); !why.empty()) {
            if (auto plan = cancel(world, why)) return plan;
        }
    }
    if (auto plan = say_too_late(world)) return plan;
    return is_final(restore.status.phase) ? std::nullopt : check_deadlines(world);
}

void look_again_at_deadline(const World& world, Plan& plan) {
    using std::chrono::milliseconds;
    const auto& restore = world.restore;
    if (restore.status.phase > Phase::queued) return;
    const double left = static_cast<double>(restore.spec.starting_deadline_seconds) -
                        base::seconds_between(restore.meta.creation_time, world.now);
    const milliseconds at_deadline(static_cast<int64_t>(left * 1000) + 1);
    plan.look_again_after = std::min(plan.look_again_after.value_or(at_deadline), at_deadline);
}

}  // namespace dbrestore::decide
