#include "decide/judge.h"

#include <algorithm>

#include "decide/narrate.h"
#include "decide/steps.h"
#include "decide/undo.h"
#include "decide/ways_out.h"

namespace dbrestore::decide {

using namespace std::chrono_literals;
using resources::AgentResult;
using resources::Phase;
using resources::PreflightFinding;
using resources::RestoreStatus;
using resources::Truth;

Plan wait_for_missing(const World& world, RestoreStatus status, const Reason& missing) {
    status.phase = Phase::pending;
    note(status, world, "Validated", Truth::no, missing.reason, missing.message);
    Plan plan = save(world, std::move(status), missing.reason, missing.message);
    plan.look_again_after = 30s;
    return plan;
}

std::string failed_messages(const std::vector<PreflightFinding>& findings) {
    std::string text;
    for (const auto& f : findings) {
        if (f.outcome == PreflightFinding::Outcome::failed)
            text += (text.empty() ? "" : "; ") + f.check + ": " + f.message;
    }
    return text;
}

// The next look is another attempt: what a Job found before the wait says nothing of what is there after it.
Plan look_again_later(const World& world, RestoreStatus status, const Reason& missing) {
    if (status.step) status.step = next_attempt(world, status.step->name, status.step->attempt + 1);
    return wait_for_missing(world, std::move(status), missing);
}

namespace {

std::vector<std::string> steps_of_plan(const World& world) {
    const std::string workload = world.workload->kind + " " + world.workload->meta.name;
    if (is_point_in_time(world.restore))
        return {"stop " + workload,
                "recover a copy of the server to the point in time beside its files",
                "verify it",
                "exchange the two folders",
                "start " + workload,
                "verify again through the network",
                "keep the replaced files for " + std::to_string(world.restore.spec.retain_seconds) + " s"};
    if (brings_files_back(world.restore))
        return {"stop " + workload,
                "open the files that are kept, and verify them",
                "exchange the two folders",
                "start " + workload,
                "verify again through the network",
                "keep the replaced files for " + std::to_string(world.restore.spec.retain_seconds) + " s"};
    return {"stop " + workload,
            is_undo(world.restore) ? "open the kept database"
                                   : "restore the dump into a new database beside the old one",
            "verify it",
            "exchange the two by renaming",
            "start " + workload,
            "verify again through the network",
            "keep the replaced database for " + std::to_string(world.restore.spec.retain_seconds) + " s"};
}

}  // namespace

// Every finding is reported at once. What an object's appearance would cure is waited for; anything else ends
// it.
Plan judge_preflight(const World& world, RestoreStatus status, const AgentResult& result) {
    status.preflight = workload_findings(world);
    status.preflight.insert(status.preflight.end(), result.findings.begin(), result.findings.end());
    std::vector<std::string> failed;
    for (const auto& f : status.preflight) {
        if (f.outcome == PreflightFinding::Outcome::failed) failed.push_back(f.check);
    }
    if (failed.empty() && result.outcome != AgentResult::Outcome::done) {
        failed.push_back(result.reason.empty() ? "PreflightFailed" : result.reason);
        status.preflight.push_back({failed[0], PreflightFinding::Outcome::failed, result.message});
    }
    const std::string message = failed_messages(status.preflight);
    if (!failed.empty()) {
        const bool curable = std::ranges::all_of(failed, [&](const std::string& check) {
            return std::ranges::find(result.waiting_for, check) != result.waiting_for.end();
        });
        if (curable) return look_again_later(world, std::move(status), {failed[0], message});
        note(status, world, "Validated", Truth::no, failed[0], message);
        return roll_back(world, std::move(status), failed[0], message);
    }
    if (result.chosen) {
        status.source_name = result.chosen->name;
        status.source_identity = result.chosen->identity;
    }
    status.original_replicas = world.workload->replicas;
    status.plan = resources::RestorePlan{steps_of_plan(world), result.what_is_lost, result.estimated_seconds,
                                         result.bytes};
    note(status, world, "Validated", Truth::yes, "ChecksPassed",
         std::to_string(status.preflight.size()) + " checks passed");
    if (is_dry_run(world.restore)) {
        return finish(world, std::move(status), Phase::succeeded, "Planned",
                      "all checks passed, and nothing was stopped; the plan is in `status.plan`");
    }
    return enter(world, std::move(status), Phase::stopping, "all checks passed; stopping the database");
}

// The probe's answer, or why no Job can run as the owner that it found.
Plan judge_probe(const World& world, RestoreStatus status, AgentResult result) {
    if (result.outcome == AgentResult::Outcome::done && result.uid.value_or(0) > 0) {
        // The official image makes its directory as root and gives it to the user alone; no Job of ours takes
        // root's group.
        const int64_t gid = result.gid.value_or(0);
        status.data_owner = resources::DataOwner{*result.uid, gid > 0 ? gid : *result.uid};
        return save(world, std::move(status), {},
                    "the data directory belongs to uid " + std::to_string(*result.uid));
    }
    if (result.outcome == AgentResult::Outcome::done) {
        result.outcome = AgentResult::Outcome::failed;
        result.reason = "DataOwnerUnknown";
        result.message =
            result.uid
                ? "the data directory belongs to root; it must belong to the user that runs PostgreSQL"
                : "the probe did not tell who owns the data directory; `spec.postgres.uid` must be set";
    }
    return judge_preflight(world, std::move(status), result);
}

}  // namespace dbrestore::decide
