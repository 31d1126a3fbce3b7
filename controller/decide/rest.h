#pragma once
// Stopping the database's workload and letting it run again. Between the two stands the fence.

#include <optional>

#include "decide/action.h"
#include "decide/world.h"

namespace dbrestore::decide {

// What waits for a pod: the database's own to become ready, or a foreign one to end.
inline constexpr double pod_ready_within_seconds = 600;

// Nothing where the server is there and this restore may speak for it.
std::optional<Plan> wait_for_server(const World& world);

// Fence up, workload at 0, nobody else on the volume. Nothing where all of that holds, seen fresh.
std::optional<Plan> bring_to_rest(const World& world);

// Workload at 0, decided on a fresh look; nothing where it is.
std::optional<Plan> scale_down(const World& world);

// The same for a phase that may have a Job under way: then only fence and size are kept up.
std::optional<Plan> keep_at_rest(const World& world);

// To be saved before anything is taken back, on a look at the database at rest.
Plan note_that_nobody_was_served(const World& world);

// Fence down, former size. Nothing where that holds.
std::optional<Plan> let_run(const World& world);

}  // namespace dbrestore::decide
