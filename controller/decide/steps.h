#pragma once
// One agent step as seen from the controller: a Job per attempt, its intent saved before it is made, its
// result believed only when it is framed and whole.

#include <optional>
#include <string>

#include "decide/action.h"
#include "decide/jobs.h"
#include "decide/world.h"

namespace dbrestore::decide {

struct StepWish {
    std::string name = {};        // as in Job names: probe, preflight, …, verify-live
    std::string subcommand = {};  // of the agent
    std::string telling = {};     // for status: "reading the dump to its last byte"
    DataMount data = DataMount::none;
    bool backup = false;    // what its store needs is mounted
    std::string host = {};  // of a running server
    int64_t deadline_seconds = 600;
    bool endless = false;  // never gives up: for what must be done before the database can run again
};

// Either the plan that brings the step further, or how it ended.
struct StepView {
    std::optional<Plan> plan;
    std::optional<resources::AgentResult> result;  // where there is no plan
};

// Attempts that ended without a believable result, or with `retryable`, are repeated up to spec.maxAttempts;
// the last one's result is then returned as failed.
StepView run_step(const World& world, const StepWish& wish);

// Marks where a phase stands that has no Job of its own.
Plan begin_stage(const World& world, resources::RestoreStatus status, const char* name,
                 const std::string& why);

// The step's next attempt, or the first of another step, with the restore's next sequence number.
resources::StepAttempt next_attempt(const World& world, const std::string& name, int64_t attempt,
                                    int64_t failures = 0);

// Jobs of other steps and attempts must be over, and their pods gone: two agents on one directory would only
// wait for each other. `kept_job` is left alone; empty: none is.
std::optional<Plan> end_other_jobs(const World& world, const std::string& kept_job);

}  // namespace dbrestore::decide
