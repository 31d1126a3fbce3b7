#pragma once
// Builds what a decision is made on, so that tests read as sentences:
//     a_restore().in(Phase::preparing).at_rest().with_job("prepare", 1).that_ended(done())

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>

#include "decide/action.h"
#include "decide/jobs.h"
#include "decide/phases.h"
#include "decide/world.h"

namespace dbrestore::testing {

using decide::Plan;
using decide::World;
using resources::AgentResult;
using resources::Phase;
using resources::PreflightFinding;
using resources::Truth;

inline constexpr const char* restore_uid = "11111111-aaaa-bbbb-cccc-000000000000";
inline const base::Time noon = *base::parse_time("2026-11-22T12:00:00Z");

inline AgentResult done() {
    AgentResult result;
    result.outcome = AgentResult::Outcome::done;
    return result;
}

inline AgentResult ended(AgentResult::Outcome outcome, const std::string& reason,
                         const std::string& message) {
    AgentResult result;
    result.outcome = outcome;
    result.reason = reason;
    result.message = message;
    return result;
}

inline AgentResult failed(const std::string& reason = "RestoreFailed",
                          const std::string& message = "pg_restore said no") {
    return ended(AgentResult::Outcome::failed, reason, message);
}

inline AgentResult retryable(const std::string& reason = "Busy",
                             const std::string& message = "the disk was away") {
    return ended(AgentResult::Outcome::retryable, reason, message);
}

inline resources::Inferred the_inferred() {
    resources::Inferred inferred;
    inferred.container = "postgres";
    inferred.image = "postgres:15";
    inferred.data_directory = "/var/lib/postgresql/data/pgdata";
    inferred.volume = "data";
    inferred.claim_name = "data-shop-0";
    inferred.mount_path = "/var/lib/postgresql/data";
    inferred.secret_name = "shop";
    inferred.user.value = "shop";
    inferred.database.value = "shop";
    inferred.password.secret_key = "password";
    inferred.uid = 999;
    return inferred;
}

inline nlohmann::json the_pod_spec() {
    return nlohmann::json::parse(R"({"containers": [{"name": "postgres", "image": "postgres:15",
        "args": ["-c", "shared_buffers=64MB"],
        "env": [{"name": "PGDATA", "value": "/var/lib/postgresql/data/pgdata"},
                {"name": "POSTGRES_USER", "value": "shop"},
                {"name": "POSTGRES_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "shop", "key": "password"}}}],
        "ports": [{"containerPort": 5432}],
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}},
        "volumeMounts": [{"name": "data", "mountPath": "/var/lib/postgresql/data"}]}]})");
}

inline resources::Workload the_workload() {
    resources::Workload workload;
    workload.meta.namespace_name = "shop";
    workload.meta.name = "shop";
    workload.meta.uid = "workload-uid";
    workload.kind = "StatefulSet";
    workload.when_scaled = "Retain";
    workload.pod_spec = the_pod_spec();
    workload.claim_templates.push_back({"data", {"ReadWriteOnce"}});
    return workload;
}

inline resources::PostgresServer the_server() {
    resources::PostgresServer server;
    server.meta.namespace_name = "shop";
    server.meta.name = "shop";
    server.meta.uid = "server-uid";
    server.meta.generation = 1;
    server.workload_kind = "StatefulSet";
    server.workload_name = "shop";
    server.status.observed_generation = 1;
    server.status.inferred = the_inferred();
    server.status.conditions.push_back({"Ready", Truth::yes, "Inferred", "all of it", 1, noon});
    return server;
}

inline resources::Pod a_pod(const std::string& name, const std::string& claim) {
    resources::Pod pod;
    pod.meta.namespace_name = "shop";
    pod.meta.name = name;
    pod.meta.uid = name + "-uid";
    pod.phase = "Running";
    pod.claim_names.push_back(claim);
    return pod;
}

inline resources::Pod::Container a_container(const std::string& name, bool running = true) {
    resources::Pod::Container container;
    container.name = name;
    container.running = running;
    return container;
}

inline resources::Pod a_database_pod(bool ready = true) {
    resources::Pod pod = a_pod("shop-0", "data-shop-0");
    pod.owner_uid = "workload-uid";
    pod.ready = ready;
    pod.pod_ip = "10.0.0.7";
    pod.containers.push_back(a_container("postgres"));
    return pod;
}

class WorldBuilder {
public:
    WorldBuilder() {
        world_.now = noon + std::chrono::seconds(60);
        world_.settings.agent_image = "agent:1";
        auto& restore = world_.restore;
        restore.meta.namespace_name = "shop";
        restore.meta.name = "bring-it-back";
        restore.meta.uid = restore_uid;
        restore.meta.generation = 1;
        restore.meta.creation_time = noon;
        restore.spec.server_name = "shop";
        restore.spec.type = "Dump";
        restore.spec.backup.claim_name = "dumps";
        restore.spec.backup.choice.name = "shop.dump";
        restore.spec.acknowledge_data_loss = true;
        world_.server = the_server();
        world_.workload = the_workload();
        for (const char* name : {"data-shop-0", "dumps"}) {
            resources::Claim claim;
            claim.meta.name = name;
            claim.phase = "Bound";
            claim.access_modes = {"ReadWriteOnce"};
            world_.claims[name] = claim;
        }
        world_.pods.push_back(a_database_pod());
    }

    WorldBuilder& in(Phase phase) {
        auto& status = world_.restore.status;
        status.phase = phase;
        if (phase > Phase::queued) status.start_time = noon;
        if (phase >= Phase::validating) status.data_owner = resources::DataOwner{999, 999};
        if (phase > Phase::validating) status.original_replicas = 1;
        return *this;
    }
    WorldBuilder& with_lock() {
        world_.server->lock.active_restore = resources::ActiveRestore{"bring-it-back", restore_uid};
        for (auto* meta : {&world_.restore.meta, &world_.server->meta})
            meta->finalizers = {resources::finalizer_name};
        return *this;
    }
    WorldBuilder& with_lock_of(const std::string& other) {
        world_.server->lock.active_restore = resources::ActiveRestore{other, other + "-uid"};
        return *this;
    }
    WorldBuilder& with_fence() {
        world_.server->lock.fence = resources::Fence{restore_uid, "bring-it-back", {"data-shop-0"}};
        world_.server->lock.original_replicas = world_.restore.status.original_replicas;
        return *this;
    }
    // The lock, the annotation, and the moment from which the database counts as down.
    WorldBuilder& asked_to_stop() {
        with_lock().executed();
        world_.restore.status.stop_time = noon;
        return *this;
    }
    // As it is from Preparing to Committing: fence up, scaled to 0, nobody on the volume.
    WorldBuilder& at_rest() {
        asked_to_stop().with_fence().scaled_to(0).without_pods();
        resources::set_condition(world_.restore.status.conditions,
                                 {"DatabaseStopped", Truth::yes, "ScaledToZero", "", 1, noon});
        return *this;
    }
    WorldBuilder& executed() {
        world_.restore.meta.annotations[resources::executed_annotation] = restore_uid;
        return *this;
    }
    WorldBuilder& scaled_to(int64_t replicas) {
        world_.workload->replicas = replicas;
        return *this;
    }
    WorldBuilder& without_pods() {
        world_.pods.clear();
        return *this;
    }
    WorldBuilder& with_pod(resources::Pod pod) {
        world_.pods.push_back(std::move(pod));
        return *this;
    }
    WorldBuilder& in_step(const std::string& name, int64_t attempt, const std::string& job_uid = {}) {
        world_.restore.status.step =
            resources::StepAttempt{name, attempt, noon, job_uid, attempt, attempt - 1};
        return *this;
    }
    // The step's Job was made and seen, and its pod runs.
    WorldBuilder& with_job(const std::string& step, int64_t attempt) {
        const std::string name = decide::job_name(restore_uid, step, attempt);
        in_step(step, attempt, name + "-uid");
        resources::Job job;
        job.meta.namespace_name = "shop";
        job.meta.name = name;
        job.meta.uid = name + "-uid";
        job.meta.creation_time = noon;
        job.meta.labels = {{decide::restore_uid_label, restore_uid},
                           {decide::step_label, step},
                           {decide::attempt_label, std::to_string(attempt)}};
        resources::Pod pod = a_pod(name + "-abcde", "data-shop-0");
        pod.meta.labels = job.meta.labels;
        pod.meta.labels[decide::job_name_label] = name;
        pod.containers.push_back(a_container("agent"));
        world_.jobs.push_back(std::move(job));
        world_.pods.push_back(std::move(pod));
        return *this;
    }
    WorldBuilder& that_ended(const AgentResult& result) {
        that_lost_its_result();
        world_.report->result = result;
        world_.report->result_lost = false;
        return *this;
    }
    WorldBuilder& that_lost_its_result() {
        world_.jobs.back().failed = true;
        world_.pods.back().phase = "Failed";
        world_.pods.back().containers[0].running = false;
        world_.pods.back().containers[0].terminated = true;
        world_.report = resources::AgentReport{{}, {}, true};
        return *this;
    }
    WorldBuilder& seen_fresh() {
        world_.fresh = true;
        return *this;
    }
    WorldBuilder& after_seconds(int64_t seconds) {
        world_.now = noon + std::chrono::seconds(seconds);
        return *this;
    }
    WorldBuilder& noted(const char* type, Truth truth) {
        resources::set_condition(world_.restore.status.conditions, {type, truth, "Noted", "", 1, noon});
        return *this;
    }
    // Whatever has no verb of its own.
    WorldBuilder& where(const std::function<void(World&)>& change) {
        change(world_);
        return *this;
    }

    operator World() const { return world_; }  // NOLINT(google-explicit-constructor)

private:
    World world_;
};

inline WorldBuilder a_restore() {
    return {};
}

template <typename A>
const A* find_action(const Plan& plan) {
    for (const auto& action : plan.actions) {
        if (const A* found = std::get_if<A>(&action)) return found;
    }
    return nullptr;
}

template <typename A>
bool asks_for(const Plan& plan) {
    return find_action<A>(plan) != nullptr;
}

// The status that the plan saves, or the one there is.
inline resources::RestoreStatus status_after(const World& world, const Plan& plan) {
    const auto* save = find_action<decide::SaveRestore>(plan);
    return save == nullptr ? world.restore.status : save->status;
}

inline std::string reason_of(const resources::RestoreStatus& status, const char* type) {
    const auto* condition = resources::find_condition(status.conditions, type);
    return condition == nullptr ? "" : condition->reason;
}

inline std::string message_of(const resources::RestoreStatus& status, const char* type) {
    const auto* condition = resources::find_condition(status.conditions, type);
    return condition == nullptr ? "" : condition->message;
}

// The name of the Job that the plan makes; empty where it makes none.
inline std::string job_made_by(const Plan& plan) {
    const auto* create = find_action<decide::CreateJob>(plan);
    return create == nullptr ? "" : create->manifest["metadata"]["name"].get<std::string>();
}

// What a plan does, in one line: "SaveRestore(Stopping) Speak(Stopping)".
inline std::string told(const Plan& plan) {
    struct Teller {
        std::string operator()(const decide::SaveRestore& a) const {
            return "SaveRestore(" + to_text(a.status.phase) + ")";
        }
        std::string operator()(const decide::SaveServer&) const { return "SaveServer"; }
        std::string operator()(const decide::SaveLock& a) const {
            return std::string("SaveLock(") + (a.lock.active_restore ? "held" : "free") +
                   (a.lock.fence ? ",fence" : "") + ")";
        }
        std::string operator()(const decide::AddFinalizers&) const { return "AddFinalizers"; }
        std::string operator()(const decide::RemoveFinalizers&) const { return "RemoveFinalizers"; }
        std::string operator()(const decide::MarkExecuted& a) const {
            return a.executed ? "MarkExecuted" : "UnmarkExecuted";
        }
        std::string operator()(const decide::CreateJob& a) const {
            return "CreateJob(" + a.manifest["metadata"]["labels"][decide::step_label].get<std::string>() +
                   ")";
        }
        std::string operator()(const decide::DeleteJob& a) const { return "DeleteJob(" + a.name + ")"; }
        std::string operator()(const decide::Scale& a) const {
            return "Scale(" + std::to_string(a.replicas) + ")";
        }
        std::string operator()(const decide::SuspendCronJob& a) const {
            return (a.suspended ? "SuspendCronJob(" : "ResumeCronJob(") + a.name + ")";
        }
        std::string operator()(const decide::Speak& a) const { return "Speak(" + a.reason + ")"; }
    };
    std::string text;
    for (const auto& action : plan.actions) text += (text.empty() ? "" : " ") + std::visit(Teller{}, action);
    if (plan.needs_fresh) text += text.empty() ? "LookFresh" : " LookFresh";
    return text;
}

}  // namespace dbrestore::testing
