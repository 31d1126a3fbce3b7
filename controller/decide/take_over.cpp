#include "decide/take_over.h"

#include <algorithm>

#include "decide/cron_jobs.h"
#include "decide/history.h"
#include "decide/jobs.h"
#include "decide/narrate.h"
#include "decide/rolling_back.h"
#include "decide/undo.h"

namespace dbrestore::decide {

using resources::DatabaseRestore;
using resources::Phase;
using resources::RestoreStatus;
using resources::Truth;

namespace {

// Of its attempts and sequence numbers; above all that the restore itself can have had: its own status is
// gone.
constexpr int64_t first_number = 1'000'000'000;
// How long its old database is kept, if there is one: spec.previousData is gone too.
constexpr auto kept_for = std::chrono::hours(24);

// Without a rollback the workload's start is the first step: the fence was down already.
bool found_without_fence(const RestoreStatus& status) {
    return status.step && status.step->name == "restart" && status.step->sequence == first_number;
}

// Found without the fence, its new data may have been in place; then the old database is kept under another
// name. To drop later what is not there does no harm.
resources::ServerStatus ended_status(const World& world, const RestoreStatus& ended) {
    DatabaseRestore restore = world.restore;
    restore.status = ended;
    if (found_without_fence(world.restore.status)) {
        restore.status.previous_data = kept_data(restore, 0);
        restore.status.previous_data->expiration_time = world.now + kept_for;
    }
    resources::ServerStatus status = with_history_of(restore, world.server->status);
    status.take_over.reset();
    return status;
}

}  // namespace

DatabaseRestore vanished_holder(const resources::PostgresServer& server, base::Time now) {
    DatabaseRestore restore;
    restore.meta.namespace_name = server.meta.namespace_name;
    restore.meta.name = server.lock.active_restore->name;
    restore.meta.uid = server.lock.active_restore->uid;
    restore.spec.server_name = server.meta.name;
    // Both are taken back by the journal on the volume; a point in time with its repository at hand.
    restore.spec.type = server.lock.point_in_time ? "PointInTime" : "Dump";
    restore.spec.logical_database = server.lock.database;
    RestoreStatus& status = restore.status;
    status.phase = Phase::rolling_back;
    status.original_replicas = server.lock.original_replicas;
    status.data_owner = server.lock.data_owner;
    status.step = server.status.take_over;
    status.failure = resources::Failure{"RestoreVanished", "its object was taken away while it ran", false};
    if (server.lock.original_replicas) status.stop_time = status.step ? status.step->start_time : now;
    // With the fence up its Jobs may have written; but a rollback may just have raised it again, that had not
    // begun to take anything back.
    if (server.lock.fence && !server.lock.may_be_served)
        resources::set_condition(status.conditions, {"DatabaseStopped", Truth::yes, "Fenced", "", 0, now});
    return restore;
}

Plan take_over(const World& world) {
    if (!world.fresh) return look_fresh("the holder of the lock has vanished; looking once more");
    Plan plan = rolling_back(world);
    const bool ends = std::ranges::any_of(plan.actions, [](const Action& action) {
        const auto* save = std::get_if<SaveRestore>(&action);
        return save != nullptr && is_final(save->status.phase);
    });
    if (ends) {
        if (auto resume = resume_cron_jobs(world)) return *resume;
    }
    std::vector<Action> actions;
    if (!world.restore.status.step) {
        actions.push_back(Speak{true, "LockTakenOver",
                                "DatabaseRestore \"" + world.restore.meta.name +
                                    "\" vanished while it held the lock; what it began is taken back"});
    }
    for (auto& action : plan.actions) {
        auto* save = std::get_if<SaveRestore>(&action);
        if (save == nullptr) {
            if (!std::holds_alternative<Speak>(action)) actions.push_back(std::move(action));
            continue;
        }
        if (is_final(save->status.phase)) {
            actions.insert(actions.end(),
                           {SaveServer{ended_status(world, save->status)}, SaveLock{}, RemoveFinalizers{}});
            continue;
        }
        resources::ServerStatus status = world.server->status;
        status.take_over = save->status.step;
        if (status.take_over && !world.server->status.take_over)
            status.take_over->attempt = status.take_over->sequence = first_number;
        if (status != world.server->status) actions.push_back(SaveServer{std::move(status)});
    }
    plan.actions = std::move(actions);
    return plan;
}

}  // namespace dbrestore::decide
