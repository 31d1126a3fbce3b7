#pragma once
// What outranks every phase: a terminating namespace, deletion, cancellation, deadlines.

#include <optional>

#include "decide/action.h"
#include "decide/world.h"

namespace dbrestore::decide {

std::optional<Plan> way_out(const World& world);

// A deadline makes no event when it passes: whoever waits for its turn is looked at again then.
void look_again_at_deadline(const World& world, Plan& plan);

// From any phase that holds the lock: remember why, and bring the database back to what it was.
Plan roll_back(const World& world, resources::RestoreStatus status, const std::string& reason,
               const std::string& message, bool cancelled = false);

}  // namespace dbrestore::decide
