#include "decide/steps.h"

#include <algorithm>

#include "decide/backup.h"
#include "decide/narrate.h"
#include "decide/undo.h"

namespace dbrestore::decide {

using namespace std::chrono_literals;
using resources::AgentResult;
using resources::RestoreStatus;

namespace {

constexpr auto poll_interval = 2000ms;
constexpr double late_after_seconds = 60;
constexpr double given_up_after_seconds = 600;

const resources::Job* current_job(const World& world) {
    const auto& step = *world.restore.status.step;
    const std::string name = job_name(world.restore.meta.uid, step.name, step.attempt);
    const auto at =
        std::ranges::find_if(world.jobs, [&](const resources::Job& job) { return job.meta.name == name; });
    return at == world.jobs.end() ? nullptr : &*at;
}

const resources::Pod* pod_of(const World& world, const std::string& job) {
    const auto at = std::ranges::find_if(
        world.pods, [&](const resources::Pod& pod) { return pod.meta.label(job_name_label) == job; });
    return at == world.pods.end() ? nullptr : &*at;
}

Plan begin(const World& world, const StepWish& wish, int64_t attempt, int64_t failures,
           const std::string& why) {
    RestoreStatus status = world.restore.status;
    status.step = next_attempt(world, wish.name, attempt, failures);
    status.progress = resources::Progress{wish.name, wish.telling, 0, 0, 0, 0, 0, std::nullopt};
    return save(world, std::move(status), {}, why);
}

// Where what is restored comes from, and what of it must be mounted.
void name_source(const World& world, const StepWish& wish, JobRecipe& recipe) {
    const auto& restore = world.restore;
    if (is_undo(restore)) {
        recipe.request.undo = true;
        recipe.request.new_database = restore.status.source_name;
    }
    if (const auto& repository = world.server->repository; is_physical(restore) && repository) {
        recipe.request.point_in_time = restore.spec.point_in_time;
        if (brings_files_back(restore)) {
            recipe.request.point_in_time->latest = true;
            recipe.request.undone_uid = restore.status.source_name.substr(kept_directory_prefix.size());
        }
        if (restore.status.recovered_to) recipe.request.timeline = restore.status.recovered_to->timeline;
        recipe.request.stanza = repository->stanza;
        recipe.repository_secret = repository->config_secret;
    } else if (wish.backup && !is_undo(restore)) {
        recipe.store = store_of(world);
        recipe.request.store = recipe.store.value_or(resources::Store{});
        recipe.request.choice = restore.spec.backup.choice;
        recipe.request.backup_name = restore.status.source_name;
        recipe.request.backup_identity = restore.status.source_identity;
    }
}

Plan make_job(const World& world, const StepWish& wish) {
    Plan plan;
    plan.why = wish.telling;
    // A cache may show the Job's end before the status that says it was there; it would be made twice. And
    // the fence is only as good as what was looked at.
    if (!world.fresh) return look_fresh(wish.telling);
    if (wish.data == DataMount::read_write) {
        const auto& step = *world.restore.status.step;
        if (auto others = end_other_jobs(world, job_name(world.restore.meta.uid, step.name, step.attempt)))
            return *others;
    }
    const auto& restore = world.restore;
    const auto& inferred = *world.server->status.inferred;
    JobRecipe recipe;
    recipe.namespace_name = restore.meta.namespace_name;
    recipe.server_name = restore.spec.server_name;
    recipe.restore_name = restore.meta.name;
    recipe.restore_uid = restore.meta.uid;
    recipe.step = wish.name;
    recipe.attempt = restore.status.step->attempt;
    recipe.agent_image = world.settings.agent_image;
    recipe.request = base_request(inferred, *world.workload, restore.meta.name, restore.meta.uid);
    recipe.request.step = wish.subcommand;
    recipe.request.attempt = recipe.attempt;
    recipe.request.sequence = restore.status.step->sequence;
    recipe.request.host = wish.host;
    recipe.request.jobs = restore.spec.jobs;
    recipe.request.clean = restore.spec.mode == "Clean";
    recipe.request.as_superuser = restore.spec.run_as == "Superuser";
    recipe.request.verification = restore.spec.verification;
    recipe.data = wish.data;
    if (const std::string database = database_of(world); !database.empty()) {
        recipe.request.database = database;
        recipe.request.database_key.clear();
    }
    name_source(world, wish, recipe);
    if (wish.data != DataMount::none) recipe.node = node_with_claim(world.pods, inferred.claim_name);
    if (wish.data != DataMount::none && restore.status.data_owner) {
        recipe.uid = restore.status.data_owner->uid;
        recipe.gid = restore.status.data_owner->gid;
    }
    recipe.deadline_seconds = wish.deadline_seconds;
    recipe.database_stopped = wish.data == DataMount::read_write;
    plan.actions.push_back(CreateJob{job_manifest(recipe, inferred, *world.workload)});
    plan.look_again_after = poll_interval;
    return plan;
}

// Quota, Pod Security, a mount or an image: none of them shows in the Job's status, only in events.
std::string why_not_started(const World& world, const resources::Pod* pod) {
    for (const auto& note : world.notes) {
        if (note.reason.starts_with("Failed")) return note.reason + ": " + note.message;
    }
    if (pod != nullptr) {
        for (const auto* containers : {&pod->init_containers, &pod->containers}) {
            for (const auto& container : *containers) {
                if (!container.waiting_message.empty())
                    return container.waiting_reason + ": " + container.waiting_message;
            }
        }
    }
    return pod == nullptr ? "no pod was made for the Job" : "the pod is " + pod->phase;
}

bool agent_started(const resources::Pod* pod) {
    return pod != nullptr && (pod->finished() || std::ranges::any_of(pod->containers, [](const auto& c) {
                                  return c.name == "agent" && (c.running || c.terminated);
                              }));
}

// Since its Job was made: the intent may have been saved long before, while the restore waited for something
// else.
double seconds_waited(const World& world, const resources::Job& job) {
    return base::seconds_between(std::max(world.restore.status.step->start_time, job.meta.creation_time),
                                 world.now);
}

Plan watch_running(const World& world, const StepWish& wish, const resources::Job& job,
                   const resources::Pod* pod) {
    RestoreStatus status = world.restore.status;
    status.step->job_uid = job.meta.uid;
    if (world.report && world.report->progress) {
        status.progress = world.report->progress;
        status.progress->step = wish.name;
    }
    const double waited = seconds_waited(world, job);
    Plan plan;
    if (pod != nullptr && pod->meta.deleting && waited > given_up_after_seconds) {
        plan = save(world, std::move(status), "FencingUnknown",
                    "pod \"" + pod->meta.name + "\" does not end: its node \"" + pod->node_name +
                        "\" may be unreachable, and no guess is made whether it still writes");
    } else if (!agent_started(pod) && waited > late_after_seconds) {
        plan = save(world, std::move(status), "PodNotStarted",
                    "Job " + job.meta.name + ": " + why_not_started(world, pod));
    } else {
        plan = save(world, std::move(status), {}, wish.telling);
    }
    plan.look_again_after = poll_interval;
    return plan;
}

// The attempt is over without a result that settles the matter.
StepView try_again(const World& world, const StepWish& wish, AgentResult result) {
    const auto& step = *world.restore.status.step;
    const int64_t failures = step.failures + 1;
    if (!wish.endless && failures >= world.restore.spec.max_attempts) {
        result.outcome = AgentResult::Outcome::failed;
        result.message += " (after " + std::to_string(failures) + " attempts)";
        return {std::nullopt, std::move(result)};
    }
    const int64_t pause_seconds = wish.endless ? std::min<int64_t>(failures * 5, 300) : 0;
    if (base::seconds_between(step.start_time, world.now) < static_cast<double>(pause_seconds)) {
        Plan plan = save(world, world.restore.status, result.reason, result.message);
        plan.look_again_after = poll_interval;
        return {std::move(plan), std::nullopt};
    }
    Plan plan =
        begin(world, wish, step.attempt + 1, failures, wish.telling + ", once more: " + result.message);
    plan.actions.push_back(
        Speak{true, result.reason.empty() ? "StepRepeated" : result.reason, result.message});
    return {std::move(plan), std::nullopt};
}

AgentResult retryable(const std::string& reason, const std::string& message) {
    AgentResult result;
    result.outcome = AgentResult::Outcome::retryable;
    result.reason = reason;
    result.message = message;
    return result;
}

// A Job that was there and is not any more: given up by us because it did not start, or deleted by somebody.
AgentResult why_gone(const World& world, const StepWish& wish) {
    const auto* summary = resources::find_condition(world.restore.status.conditions, "Succeeded");
    if (summary != nullptr && summary->reason == "PodNotStarted")
        return retryable(summary->reason, summary->message);
    return retryable("JobDeleted", "somebody deleted Job " + job_name(world.restore.meta.uid, wish.name,
                                                                      world.restore.status.step->attempt));
}

StepView view_of_end(const World& world, const StepWish& wish, const resources::Job& job,
                     const resources::Pod* pod) {
    if (world.report && world.report->result) {
        const auto outcome = world.report->result->outcome;
        const bool again = outcome == AgentResult::Outcome::retryable ||
                           (wish.endless && outcome == AgentResult::Outcome::failed);
        if (again) return try_again(world, wish, *world.report->result);
        return {std::nullopt, world.report->result};
    }
    std::string how = job.failure_reason.empty() ? "its pod ended without a result"
                                                 : job.failure_reason + ": " + job.failure_message;
    if (pod == nullptr) how = "its pod is gone, and the result with it";
    return try_again(world, wish, retryable("ResultLost", "Job " + job.meta.name + ": " + how));
}

}  // namespace

resources::StepAttempt next_attempt(const World& world, const std::string& name, int64_t attempt,
                                    int64_t failures) {
    const auto& last = world.restore.status.step;
    return {name, attempt, world.now, {}, last ? last->sequence + 1 : 1, failures};
}

Plan begin_stage(const World& world, RestoreStatus status, const char* name, const std::string& why) {
    status.step = next_attempt(world, name, 1);
    return save(world, std::move(status), {}, why);
}

std::optional<Plan> end_other_jobs(const World& world, const std::string& kept_job) {
    Plan plan{{}, "ending the restore's other Jobs", false, poll_interval};
    for (const auto& job : world.jobs) {
        const resources::Pod* pod = pod_of(world, job.meta.name);
        const bool over =
            job.finished() || (pod != nullptr && pod->finished());  // its log stays for people to read
        if (!over && !job.meta.deleting && job.meta.name != kept_job)
            plan.actions.push_back(DeleteJob{job.meta.name, job.meta.uid});
    }
    if (!plan.actions.empty()) return plan;
    for (const auto& pod : world.pods) {
        if (pod.finished() || pod.meta.label(restore_uid_label) != world.restore.meta.uid ||
            pod.meta.label(job_name_label) == kept_job)
            continue;
        plan = save(world, world.restore.status, {},
                    "waiting until pod \"" + pod.meta.name + "\" of another step has ended");
        plan.look_again_after = poll_interval;
        return plan;
    }
    return std::nullopt;
}

StepView run_step(const World& world, const StepWish& wish) {
    const auto& status = world.restore.status;
    if (!status.step || status.step->name != wish.name)
        return {begin(world, wish, 1, 0, wish.telling), std::nullopt};
    const resources::Job* job = current_job(world);
    // A pod tells of its Job too: one that was deleted before anybody noted its UID. Made again under the
    // same name, its pod would write beside the first one's.
    const bool was_made =
        !status.step->job_uid.empty() ||
        pod_of(world, job_name(world.restore.meta.uid, wish.name, status.step->attempt)) != nullptr;
    if (job == nullptr && was_made) {
        if (!world.fresh) return {Plan{{}, wish.telling, true, std::nullopt}, std::nullopt};
        return try_again(world, wish, why_gone(world, wish));
    }
    if (job == nullptr) return {make_job(world, wish), std::nullopt};
    const resources::Pod* pod = pod_of(world, job->meta.name);
    // A Job counts a pod as failed once it is being deleted; its last process may still write then.
    const bool may_write = pod != nullptr && wish.data == DataMount::read_write && !pod->finished();
    if ((job->finished() && !may_write) || (pod != nullptr && pod->finished()))
        return view_of_end(world, wish, *job, pod);
    if (!agent_started(pod) && seconds_waited(world, *job) > given_up_after_seconds && !job->meta.deleting) {
        Plan plan = watch_running(world, wish, *job, pod);  // says why, and remembers that the Job was there
        plan.actions.push_back(DeleteJob{job->meta.name, job->meta.uid});
        return {std::move(plan), std::nullopt};
    }
    return {watch_running(world, wish, *job, pod), std::nullopt};
}

}  // namespace dbrestore::decide
