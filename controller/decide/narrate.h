#pragma once
// What a restore's status says of itself: conditions that `kubectl wait`, Argo CD, Flux and Helm understand.

#include <string>

#include "decide/action.h"
#include "decide/world.h"

namespace dbrestore::decide {

void note(resources::RestoreStatus& status, const World& world, const char* type, resources::Truth truth,
          const std::string& reason, const std::string& message);

// Sets the summary conditions from the phase. While active, `reason` (empty: the phase) shows in kubectl's
// Status column.
void summarize(resources::RestoreStatus& status, const World& world, const std::string& reason,
               const std::string& message);

// A plan that saves this status, unless nothing in it changed.
Plan save(const World& world, resources::RestoreStatus status, const std::string& reason,
          const std::string& message);

// A plan that saves the status with another phase and says so in an event.
Plan enter(const World& world, resources::RestoreStatus status, resources::Phase phase,
           const std::string& why);

// Plans that change nothing: look again later, or at once and at the API server itself.
Plan wait(const std::string& why, std::chrono::milliseconds again = std::chrono::milliseconds(2000));
Plan look_fresh(const std::string& why);
// Not later than this, whatever else the plan waits for.
void look_again(Plan& plan, std::chrono::milliseconds after);

// Ends the restore: completion time, summary, event. What it held is let go in the rounds after.
Plan finish(const World& world, resources::RestoreStatus status, resources::Phase phase,
            const std::string& reason, const std::string& message);

}  // namespace dbrestore::decide
