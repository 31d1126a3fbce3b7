#pragma once
// What the controller itself can tell of a restore, before or beside the preflight pod.

#include <optional>
#include <string>
#include <vector>

#include "decide/world.h"

namespace dbrestore::decide {

struct Reason {
    std::string reason, message;
};

// It changes nothing, so its name is none that was executed.
inline bool is_dry_run(const resources::DatabaseRestore& restore) {
    return restore.spec.dry_run != "None";
}

// Why this restore can never run as it is written: a later version's feature, or done already.
std::optional<Reason> never_runs(const World& world);

// What has to appear or become ready first. It goes on by itself then.
std::optional<Reason> still_missing(const World& world);

// Checks of the workload's shape; all of them, the passed ones too.
std::vector<resources::PreflightFinding> workload_findings(const World& world);

// The database's pod where it is ready to answer.
const resources::Pod* ready_database_pod(const World& world);

// Whether a pod of the database is ready or has been: then a client may have written.
bool may_have_served(const World& world);

// A pod of the database that keeps crashing.
const resources::Pod* crash_looping_pod(const World& world);

// Pods that mount the data claim and are not this restore's own, unless they have ended.
std::vector<const resources::Pod*> foreign_pods(const World& world);

bool holds_lock(const World& world);

}  // namespace dbrestore::decide
