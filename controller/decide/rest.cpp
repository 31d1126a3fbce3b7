#include "decide/rest.h"

#include "decide/cron_jobs.h"
#include "decide/narrate.h"
#include "decide/steps.h"
#include "decide/undo.h"
#include "decide/validate.h"

namespace dbrestore::decide {

using namespace std::chrono_literals;

namespace {

Plan hold(const World& world, const std::string& reason, const std::string& message,
          std::chrono::milliseconds again) {
    Plan plan = save(world, world.restore.status, reason, message);
    plan.look_again_after = again;
    return plan;
}

Plan save_lock(const World& world, std::optional<resources::Fence> fence, const std::string& why) {
    const auto& restore = world.restore;
    resources::LockState lock = world.server->lock;
    lock.active_restore = resources::ActiveRestore{restore.meta.name, restore.meta.uid};
    lock.original_replicas = restore.status.original_replicas;
    lock.fence = std::move(fence);
    lock.data_owner = restore.status.data_owner;
    lock.database = database_of(world);
    lock.point_in_time = is_physical(restore);
    if (restore.status.phase == resources::Phase::starting && !lock.fence) lock.may_be_served = true;
    return {{SaveLock{std::move(lock)}}, why, false, 1000ms};
}

std::optional<Plan> raise_fence(const World& world) {
    if (auto plan = wait_for_server(world)) return plan;
    const resources::Fence fence{
        world.restore.meta.uid, world.restore.meta.name, {world.server->status.inferred->claim_name}};
    if (holds_lock(world) && world.server->lock.fence == fence) return std::nullopt;
    return save_lock(world, fence, "raising the fence");
}

std::optional<Plan> wait_for_foreign_pods(const World& world) {
    const auto foreign = foreign_pods(world);
    if (foreign.empty()) return std::nullopt;
    const auto& stop_time = world.restore.status.stop_time;
    const double waited = stop_time ? base::seconds_between(*stop_time, world.now) : 0;
    const std::string message = "waiting until pod \"" + foreign[0]->meta.name + "\" has ended";
    if (!foreign[0]->meta.deleting || waited <= pod_ready_within_seconds) return hold(world, "", message, 1s);
    return hold(world, "FencingUnknown",
                message + ": its node \"" + foreign[0]->node_name +
                    "\" may be unreachable, and no guess is made whether it still writes",
                10s);
}

}  // namespace

std::optional<Plan> wait_for_server(const World& world) {
    if (!world.server || !world.server->status.inferred || !world.workload) {
        return hold(world, "ServerNotFound",
                    "the PostgresServer or its workload is gone; waiting for it to come back", 30s);
    }
    // Two restores on one data directory would destroy it, so a lock that somebody else holds is never taken
    // from him.
    const auto& holder = world.server->lock.active_restore;
    if (holder && !holds_lock(world))
        return hold(world, "LockLost",
                    "DatabaseRestore \"" + holder->name + "\" holds the lock; waiting until it has ended",
                    10s);
    return std::nullopt;
}

std::optional<Plan> scale_down(const World& world) {
    if (world.workload->replicas == 0) return std::nullopt;
    if (!world.fresh) return look_fresh("scaling the database to 0");
    if (world.workload->when_scaled == "Delete") {
        return hold(world, "ClaimWouldBeDeleted",
                    "`whenScaled` was set to Delete: stopping would delete the volume; it must be Retain",
                    10s);
    }
    return Plan{{Scale{0}}, "scaling the database to 0", false, 1000ms};
}

std::optional<Plan> bring_to_rest(const World& world) {
    if (auto plan = raise_fence(world)) return plan;
    if (auto plan = pause_cron_jobs(world)) return plan;
    if (!world.fresh) return look_fresh("looking who uses the volume");
    if (auto plan = scale_down(world)) return plan;
    return wait_for_foreign_pods(world);
}

// Somebody (GitOps, a person) may scale the workload up while it must rest. The fence refuses its pods;
// scaling down again keeps their creation from backing off for minutes.
std::optional<Plan> keep_at_rest(const World& world) {
    if (auto plan = raise_fence(world)) return plan;
    if (auto plan = scale_down(world)) {
        if (!plan->actions.empty() && std::holds_alternative<Scale>(plan->actions[0])) {
            plan->why = "scaling the database to 0 again";
            plan->actions.push_back(Speak{true, "ScaledDuringRestore",
                                          "somebody scaled the workload up during the restore; it is scaled "
                                          "to 0 again, and to its former size afterwards"});
        }
        return plan;
    }
    const auto& step = world.restore.status.step;
    const bool under_way = step && !step->job_uid.empty();
    return under_way ? std::nullopt : bring_to_rest(world);
}

Plan note_that_nobody_was_served(const World& world) {
    resources::LockState lock = world.server->lock;
    lock.may_be_served = false;
    return {{SaveLock{std::move(lock)}}, "no pod became ready on the restored data", false, 1000ms};
}

// Fence down first, or the workload's pods would be refused.
std::optional<Plan> let_run(const World& world) {
    if (auto plan = wait_for_server(world)) return plan;
    if (world.server->lock.fence) {
        // A Job that a paused controller made late must not outlive the fence: beside the database it would
        // destroy the data.
        if (!world.fresh) return look_fresh("lowering the fence");
        if (auto plan = end_other_jobs(world, "")) return plan;
        return save_lock(world, std::nullopt, "lowering the fence");
    }
    const int64_t wanted = world.restore.status.original_replicas.value_or(1);
    if (world.workload->replicas == wanted) return std::nullopt;
    if (!world.fresh) return look_fresh("scaling the database back");
    if (wanted == 0) return scale_down(world);
    return Plan{{Scale{wanted}}, "scaling the database to " + std::to_string(wanted), false, 1000ms};
}

}  // namespace dbrestore::decide
