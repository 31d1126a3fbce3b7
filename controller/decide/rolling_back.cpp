#include "decide/rolling_back.h"

#include "decide/jobs.h"
#include "decide/narrate.h"
#include "decide/rest.h"
#include "decide/steps.h"
#include "decide/validate.h"

namespace dbrestore::decide {

using namespace std::chrono_literals;
using resources::Phase;
using resources::RestoreStatus;
using resources::Truth;

namespace {

constexpr double crashing_pod_ready_within_seconds = 60;

Plan finish_rolled_back(const World& world, RestoreStatus status) {
    const resources::Failure failure =
        status.failure.value_or(resources::Failure{"Failed", "no reason was recorded", false});
    return finish(world, std::move(status), failure.cancelled ? Phase::cancelled : Phase::failed,
                  failure.reason, failure.message);
}

Plan restart_old(const World& world, RestoreStatus status) {
    if (auto plan = let_run(world)) return *plan;
    if (status.original_replicas != 0 && ready_database_pod(world) == nullptr) {
        // One that keeps crashing did so before, or could still find the stub: the next restore must not wait
        // long for it.
        const double patience_seconds = crash_looping_pod(world) == nullptr
                                            ? pod_ready_within_seconds
                                            : crashing_pod_ready_within_seconds;
        if (base::seconds_between(status.step->start_time, world.now) < patience_seconds)
            return wait("waiting until the database's pod is ready on the old data", 2000ms);
        note(status, world, "DatabaseReady", Truth::no, "PodNotReady",
             "the database is back on its old data, but its pod did not become ready");
        return finish_rolled_back(world, std::move(status));
    }
    if (status.original_replicas != 0)
        note(status, world, "DatabaseReady", Truth::yes, "PodReady", "the old data is served again");
    if (status.stop_time)
        status.downtime_seconds = static_cast<int64_t>(base::seconds_between(*status.stop_time, world.now));
    return finish_rolled_back(world, std::move(status));
}

}  // namespace

Plan rolling_back(const World& world) {
    RestoreStatus status = world.restore.status;
    if (status.step && status.step->name == "restart") return restart_old(world, std::move(status));
    const bool begun = status.step && status.step->name == "rollback";
    if (status.previous_data && !begun && may_have_served(world)) {
        // The restored data came up after all, before it was taken back: a client may have written already.
        status.failure.reset();
        // Noted, since the pod that shows it may be gone at the next look: from now on nothing is taken back.
        note(status, world, "DatabaseReady", Truth::yes, "PodReady", "the database's pod was ready");
        return enter(world, std::move(status), Phase::starting,
                     "the database's pod became ready on the restored data, which therefore stays");
    }
    if (auto plan = end_other_jobs(
            world, begun ? job_name(world.restore.meta.uid, "rollback", status.step->attempt) : ""))
        return *plan;
    if (!status.stop_time) return finish_rolled_back(world, std::move(status));  // nothing was stopped
    if (!resources::condition_is(status.conditions, "DatabaseStopped", Truth::yes)) {
        // With the fence up a leader that is paused may be about to scale, and would do so once all is over.
        // Of two who scale the workload's resourceVersion refuses the later one, so the stop is carried out.
        // Where whenScaled was set to Delete since, that write was the other one.
        if (holds_lock(world) && world.server->lock.fence && world.workload &&
            world.workload->when_scaled != "Delete") {
            if (auto plan = scale_down(world)) return *plan;
        }
        return begin_stage(world, std::move(status), "restart",
                           "the data was not touched; starting");  // no Job has written yet
    }
    const bool asked = begun && !status.step->job_uid.empty();
    if (auto plan = asked ? keep_at_rest(world) : bring_to_rest(world)) return *plan;
    if (world.server->lock.may_be_served) return note_that_nobody_was_served(world);
    const auto rollback = run_step(world, {.name = "rollback",
                                           .subcommand = "rollback",
                                           .telling = "bringing the old data back",
                                           .data = DataMount::read_write,
                                           .deadline_seconds = 3600,
                                           .endless = true});
    if (rollback.plan) return *rollback.plan;
    status.previous_data.reset();
    status.recovered_to.reset();
    status.lost_interval.reset();
    status.replaced_database.clear();
    note(status, world, "DataRestored", Truth::no, status.failure ? status.failure->reason : "RolledBack",
         "the old data is in place");
    return begin_stage(world, std::move(status), "restart", "the old data is in place; starting");
}

}  // namespace dbrestore::decide
