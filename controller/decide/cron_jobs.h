#pragma once
// CronJobs that a server's owner wants paused while a restore runs (spec.suspend), such as those that back it
// up.

#include <optional>

#include "decide/action.h"
#include "decide/world.h"

namespace dbrestore::decide {

// Saves each one's own `suspend` before it is changed; then pauses those that were not. Nothing once all are
// paused.
std::optional<Plan> pause_cron_jobs(const World& world);

// Those that we paused run again, and nobody else's: one that its owner paused since stays so, and one that
// is gone is forgotten. Nothing once all do.
std::optional<Plan> resume_cron_jobs(const World& world);

}  // namespace dbrestore::decide
