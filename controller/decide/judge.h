#pragma once
// What follows from the answers of probe and preflight: on to the stop, wait, or the end.

#include <string>
#include <vector>

#include "decide/action.h"
#include "decide/validate.h"
#include "decide/world.h"

namespace dbrestore::decide {

// Back to Pending, with Validated=False and its reason, until what is missing appears.
Plan wait_for_missing(const World& world, resources::RestoreStatus status, const Reason& missing);
// The same from a phase that has looked already: the next look is another attempt.
Plan look_again_later(const World& world, resources::RestoreStatus status, const Reason& missing);

Plan judge_preflight(const World& world, resources::RestoreStatus status,
                     const resources::AgentResult& result);
Plan judge_probe(const World& world, resources::RestoreStatus status, resources::AgentResult result);

// The failed findings as one text.
std::string failed_messages(const std::vector<resources::PreflightFinding>& findings);

}  // namespace dbrestore::decide
