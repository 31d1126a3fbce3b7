#include "decide/cron_jobs.h"

#include <algorithm>

#include "decide/narrate.h"

namespace dbrestore::decide {

using namespace std::chrono_literals;
using resources::LockState;
using resources::PausedCronJob;

std::optional<Plan> pause_cron_jobs(const World& world) {
    LockState lock = world.server->lock;
    for (const auto& name : world.server->suspend) {
        const auto found = world.cron_jobs.find(name);
        if (found == world.cron_jobs.end()) continue;
        const auto noted = std::ranges::find(lock.paused, name, &PausedCronJob::name);
        if (noted == lock.paused.end())
            lock.paused.push_back({name, found->second.suspended});
        else if (!found->second.suspended || found->second.set_by_others)
            noted->was_suspended = found->second.suspended;  // somebody wants it so since
    }
    if (lock != world.server->lock) return Plan{{SaveLock{lock}}, "noting which CronJobs run", false, 1000ms};
    for (const auto& paused : lock.paused) {
        const auto found = world.cron_jobs.find(paused.name);
        if (found == world.cron_jobs.end() || found->second.suspended) continue;
        if (!world.fresh) return look_fresh("pausing CronJobs");
        return Plan{
            {SuspendCronJob{paused.name, true}}, "pausing CronJob \"" + paused.name + "\"", false, 1000ms};
    }
    return std::nullopt;
}

std::optional<Plan> resume_cron_jobs(const World& world) {
    for (const auto& paused : world.server->lock.paused) {
        const auto found = world.cron_jobs.find(paused.name);
        if (paused.was_suspended || found == world.cron_jobs.end() || !found->second.suspended ||
            found->second.set_by_others)
            continue;
        if (!world.fresh) return look_fresh("resuming CronJobs");
        return Plan{
            {SuspendCronJob{paused.name, false}}, "resuming CronJob \"" + paused.name + "\"", false, 1000ms};
    }
    if (world.server->lock.paused.empty()) return std::nullopt;
    // Whoever suspends one from now on means it.
    LockState lock = world.server->lock;
    lock.paused.clear();
    return Plan{{SaveLock{std::move(lock)}}, "all CronJobs are as they were", false, 1000ms};
}

}  // namespace dbrestore::decide
