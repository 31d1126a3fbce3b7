#pragma once
// A cluster small enough to be wrong in every way at once: one restore, its server and workload, their pods
// and Jobs. It carries out the plans of decide() and checks, at each action, the promises that must hold
// whatever happens. Time and chance come from a seed, so a failure can be seen again.

#include <algorithm>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "support/world_builder.h"

namespace dbrestore::testing {

class SimulatedCluster {
public:
    explicit SimulatedCluster(uint32_t seed) : random_(seed) {
        World start = a_restore();
        now_ = noon;
        restore_ = start.restore;
        server_ = *start.server;
        workload_ = *start.workload;
        claims_ = start.claims;
        seen_ = start;
        restore_.spec.retain_seconds = chance(0.2) ? 0 : 3600;
        restore_.spec.starting_deadline_seconds = 86400;
        restore_.spec.active_deadline_seconds = chance(0.2) ? 400 : 86400;
        original_ = chance(0.15) ? 0 : 1;
        workload_.replicas = original_;
        if (chance(0.3)) server_.status.inferred->uid.reset();
        trouble_ = chance(0.2) ? 0.0 : std::uniform_real_distribution<>(0.02, 0.3)(random_);
        never_ready_on_new_data_ = chance(0.1);
        if (original_ == 1) pods_.push_back(a_database_pod());
        remember();
    }

    // One move of everybody else, then one round of the controller.
    void round() {
        const int moves = chance(0.2) ? 4 : 2;
        for (int i = 0; i < moves; ++i) world_moves();
        Plan plan = decide::decide(observe(false));
        if (plan.needs_fresh) {
            plan = decide::decide(observe(true));
            promise(!plan.needs_fresh, "a fresh look is asked for once");
        }
        story_ += std::to_string(round_) + " " + to_text(restore_.status.phase) + ": " + told(plan) + "\n";
        // A crash of the controller, a conflict, a refused call: the rest of the plan is not carried out.
        const size_t count = trouble(0.3) ? below(plan.actions.size() + 1) : plan.actions.size();
        for (size_t i = 0; i < count; ++i) carry_out(plan.actions[i]);
        remember();
        ++round_;
    }

    bool over() const {
        return is_final(restore_.status.phase) && !server_.lock.active_restore &&
               restore_.meta.finalizers.empty();
    }

    void check_the_end() {
        const bool succeeded = restore_.status.phase == Phase::succeeded;
        promise(workload_.replicas == original_ || scaled_by_others_last_,
                "in the end the workload has its former size");
        promise(!succeeded || exchanged_, "success means that the new data is in place");
        promise(succeeded || client_wrote_ || !exchanged_,
                "failure means the old data, unless clients saw the new one");
        promise(restore_.status.completion_time.has_value(), "an ended restore knows when it ended");
        promise(restore_.meta.annotations.contains(resources::executed_annotation) == succeeded,
                "only a success keeps the annotation");
    }

    const std::vector<std::string>& broken_promises() const { return broken_; }
    int rounds() const { return round_; }
    const std::string& story() const { return story_; }

private:
    static constexpr int calm_after_rounds = 100;

    bool chance(double probability) { return std::uniform_real_distribution<>(0, 1)(random_) < probability; }
    size_t below(size_t bound) { return std::uniform_int_distribution<size_t>(0, bound - 1)(random_); }
    // Bad things end at some time, or nothing could be said about the end.
    bool calm() const { return round_ >= calm_after_rounds; }
    bool trouble(double scale) { return !calm() && chance(trouble_ * scale); }

    void promise(bool kept, const std::string& text) {
        if (!kept) broken_.push_back("round " + std::to_string(round_) + ": " + text);
    }

    // --- everybody else
    // -------------------------------------------------------------------------------------------

    void world_moves() {
        now_ += std::chrono::seconds(trouble(0.2) ? 700 : 1 + static_cast<int>(below(15)));
        people_move();
        stateful_set_moves();
        jobs_move();
    }

    void people_move() {
        if (trouble(0.1)) restore_.spec.cancel_requested = true;
        if (trouble(0.05) && !restore_.meta.finalizers.empty()) restore_.meta.deleting = true;
        if (trouble(0.2)) {
            workload_.replicas = original_ == 0 ? 0 : 1;
            note("somebody scales up");
        }
        if (trouble(0.1)) workload_.when_scaled = "Delete";
        if (calm() || chance(0.2)) workload_.when_scaled = "Retain";
        if (trouble(0.1) && !server_.lock.fence && find_pod("backup") == pods_.end()) {
            pods_.push_back(a_pod("backup", "data-shop-0"));
            note("a backup mounts the claim");
        }
        if (calm() || chance(0.1))
            std::erase_if(pods_, [](const auto& pod) { return pod.meta.name == "backup"; });
        if (trouble(0.1)) claims_.erase("dumps");
        if (calm() || chance(0.5)) claims_.try_emplace("dumps");
        if (trouble(0.1) && !jobs_.empty()) {
            jobs_[below(jobs_.size())].meta.deleting = true;
            note("somebody deletes a Job");
        }
    }

    std::vector<resources::Pod>::iterator find_pod(const std::string& name) {
        return std::ranges::find_if(pods_, [&](const auto& pod) { return pod.meta.name == name; });
    }

    void stateful_set_moves() {
        const auto pod = find_pod("shop-0");
        if (pod == pods_.end()) {
            // The admission policy refuses it while the fence is up.
            if (workload_.replicas > 0 && !server_.lock.fence && chance(0.7))
                pods_.push_back(a_database_pod(false));
            return;
        }
        if (pod->meta.deleting) {
            if (chance(0.6)) pods_.erase(pod);
            return;
        }
        if (workload_.replicas == 0) {
            pod->meta.deleting = true;
            pod->ready = false;
            return;
        }
        const bool comes_up = !(exchanged_ && never_ready_on_new_data_);
        pod->ready = comes_up && chance(pod->ready ? 0.97 : 0.6);
        if (pod->ready && exchanged_) client_wrote_ = true;
    }

    void jobs_move() {
        for (auto& job : jobs_) job_moves(job);
        std::erase_if(jobs_, [this](const auto& job) {
            return job.meta.deleting && find_pod(job.meta.name + "-pod") == pods_.end();
        });
    }

    static bool writes(const std::string& step) {
        return step == "prepare" || step == "verify" || step == "commit" || step == "rollback";
    }

    void job_moves(resources::Job& job) {
        const auto pod = find_pod(job.meta.name + "-pod");
        if (job.meta.deleting) {
            if (pod != pods_.end() && chance(0.5)) pods_.erase(pod);
            return;
        }
        if (job.finished()) return;
        if (pod == pods_.end()) {
            if (chance(0.8)) start_pod_of(job);
            return;
        }
        if (!pod->containers[0].running) {
            pod->containers[0].running = !stuck_.contains(job.meta.name) || calm();
            pod->phase = pod->containers[0].running ? "Running" : "Pending";
            return;
        }
        if (writes(job.meta.label(decide::step_label))) check_writer(*pod);
        if (chance(0.5)) end_job(job, *pod);
    }

    void start_pod_of(const resources::Job& job) {
        const bool mounts =
            writes(job.meta.label(decide::step_label)) || job.meta.label(decide::step_label) == "preflight";
        resources::Pod pod = a_pod(job.meta.name + "-pod", mounts ? "data-shop-0" : "other");
        pod.phase = "Pending";
        pod.meta.labels = job.meta.labels;
        pod.meta.labels[decide::job_name_label] = job.meta.name;
        pod.containers.push_back(a_container("agent", false));
        if (trouble(0.3)) stuck_.insert({job.meta.name, true});
        pods_.push_back(std::move(pod));
    }

    void end_job(resources::Job& job, resources::Pod& pod) {
        const std::string step = job.meta.label(decide::step_label);
        const bool lost = trouble(0.5);
        AgentResult result = done();
        if (trouble(0.4)) result = chance(0.5) ? failed() : retryable();
        resources::AgentReport report;
        report.result_lost = lost;
        if (step == "probe") result.uid = 999;
        if (step == "preflight" && trouble(0.5)) {
            result = failed("DumpNotFound", "no such file");
            result.findings = {{"DumpNotFound", PreflightFinding::Outcome::failed, "no such file"}};
            result.waiting_for = {"DumpNotFound"};
        }
        if (result.outcome == AgentResult::Outcome::done && !(lost && chance(0.5))) takes_effect(step);
        if (!lost) report.result = result;
        reports_[job.meta.name] = report;
        const bool good = !lost && result.outcome == AgentResult::Outcome::done;
        (good ? job.complete : job.failed) = true;
        pod.phase = good ? "Succeeded" : "Failed";
        pod.containers[0].running = false;
        pod.containers[0].terminated = true;
        // The Job may say that it ended before its pod's last process is gone.
        if (!good && trouble(1)) {
            pod.phase = "Running";
            pod.meta.deleting = true;
            lingering_.push_back(pod.meta.name);
        }
    }

    void takes_effect(const std::string& step) {
        if (step == "prepare") prepared_ = true;
        if (step == "commit") {
            promise(prepared_, "nothing is exchanged that was not prepared");
            exchanged_ = true;
        }
        if (step == "rollback") {
            promise(!(exchanged_ && client_wrote_), "what clients wrote is never thrown away");
            exchanged_ = prepared_ = false;
        }
    }

    // --- the controller's view and acts
    // ---------------------------------------------------------------------------

    // What a cache knows: all of the controller's own writes, but not yet what others did since.
    void remember() {
        cached_pods_ = pods_;
        cached_jobs_ = jobs_;
        cached_size_ = {workload_.replicas, workload_.when_scaled};
        for (const auto& name : lingering_) {
            if (chance(0.4)) std::erase_if(pods_, [&](const auto& pod) { return pod.meta.name == name; });
        }
    }

    // Only what can change is copied: a pod template takes longer than all decisions.
    const World& observe(bool fresh) {
        seen_.now = now_;
        seen_.fresh = fresh;
        seen_.restore = restore_;
        seen_.server = server_;
        seen_.claims = claims_;
        seen_.report.reset();
        const bool stale = !fresh && chance(0.4);
        std::tie(seen_.workload->replicas, seen_.workload->when_scaled) =
            stale ? cached_size_ : std::pair(workload_.replicas, workload_.when_scaled);
        seen_.pods = stale ? cached_pods_ : pods_;
        seen_.jobs = stale ? cached_jobs_ : jobs_;
        if (restore_.status.step) {
            const std::string job =
                decide::job_name(restore_uid, restore_.status.step->name, restore_.status.step->attempt);
            const auto pod = std::ranges::find_if(
                seen_.pods, [&](const auto& p) { return p.meta.label(decide::job_name_label) == job; });
            if (pod != seen_.pods.end() && pod->finished() && reports_.contains(job))
                seen_.report = reports_[job];
        }
        return seen_;
    }

    void carry_out(const decide::Action& action) {
        if (const auto* save = std::get_if<decide::SaveRestore>(&action)) {
            // Through JSON, as over the network: what does not survive that is not saved.
            restore_.status = resources::restore_from_json({{"status", to_json(save->status)}}).status;
        } else if (const auto* server = std::get_if<decide::SaveServer>(&action)) {
            server_.status = server->status;
        } else if (const auto* lock = std::get_if<decide::SaveLock>(&action)) {
            save_lock(lock->lock);
        } else if (std::get_if<decide::AddFinalizers>(&action) != nullptr) {
            for (auto* meta : {&restore_.meta, &server_.meta}) meta->finalizers = {resources::finalizer_name};
        } else if (std::get_if<decide::RemoveFinalizers>(&action) != nullptr) {
            promise(!server_.lock.active_restore, "finalizers stay as long as the lock");
            for (auto* meta : {&restore_.meta, &server_.meta}) meta->finalizers.clear();
        } else if (const auto* mark = std::get_if<decide::MarkExecuted>(&action)) {
            if (mark->executed)
                restore_.meta.annotations[resources::executed_annotation] = restore_uid;
            else
                restore_.meta.annotations.erase(resources::executed_annotation);
        } else if (const auto* create = std::get_if<decide::CreateJob>(&action)) {
            create_job(create->manifest);
        } else if (const auto* remove = std::get_if<decide::DeleteJob>(&action)) {
            for (auto& job : jobs_) job.meta.deleting = job.meta.deleting || job.meta.uid == remove->uid;
        } else if (const auto* scale = std::get_if<decide::Scale>(&action)) {
            promise(scale->replicas != 0 || workload_.when_scaled != "Delete",
                    "never scaled to 0 where that deletes the volume");
            promise(
                scale->replicas != 0 || restore_.meta.annotations.contains(resources::executed_annotation),
                "nothing is stopped before the restore is marked as executed");
            workload_.replicas = scale->replicas;
        }
    }

    void save_lock(const resources::LockState& lock) {
        if (!lock.active_restore) {
            promise(!server_.lock.fence, "the lock is never freed while the fence is up");
            promise(workload_.replicas > 0 || original_ == 0,
                    "the lock is never freed while the database is stopped");
            promise(std::ranges::none_of(jobs_,
                                         [](const auto& job) {
                                             return !job.finished() && !job.meta.deleting &&
                                                    writes(job.meta.label(decide::step_label));
                                         }),
                    "the lock is never freed while a Job writes");
        }
        server_.lock = resources::server_from_json({{"status", to_json(lock)}}).lock;
    }

    void create_job(const nlohmann::json& manifest) {
        resources::Job job = resources::job_from_json(manifest);
        promise(server_.lock.active_restore.has_value(), "no Job without the lock");
        if (std::ranges::any_of(jobs_, [&](const auto& other) { return other.meta.name == job.meta.name; }))
            return;  // already exists
        job.meta.uid = job.meta.name + "-uid-" + std::to_string(round_);
        job.meta.creation_time = now_;
        if (writes(job.meta.label(decide::step_label))) check_before_writer(job);
        jobs_.push_back(std::move(job));
    }

    void check_before_writer(const resources::Job& job) {
        const std::string what = "a Job that writes (" + job.meta.name + ") is made only ";
        promise(server_.lock.fence.has_value(), what + "behind the fence");
        promise(workload_.replicas == 0, what + "while the workload is at 0");
        for (const auto& other : jobs_) {
            promise(other.finished() || !writes(other.meta.label(decide::step_label)),
                    what + "when no other is unfinished: " + other.meta.name);
        }
        for (const auto& pod : pods_) {
            const bool mounts = std::ranges::find(pod.claim_names, "data-shop-0") != pod.claim_names.end();
            promise(!mounts || pod.finished(), what + "when no pod uses the volume: " + pod.meta.name);
        }
    }

    void check_writer(const resources::Pod& writer) {
        for (const auto& pod : pods_) {
            const bool mounts = std::ranges::find(pod.claim_names, "data-shop-0") != pod.claim_names.end();
            promise(!mounts || pod.finished() || pod.meta.name == writer.meta.name,
                    writer.meta.name + " never runs beside " + pod.meta.name);
        }
    }

    void note(const std::string& text) { story_ += std::to_string(round_) + " -- " + text + "\n"; }

    std::mt19937 random_;
    base::Time now_{};
    int round_ = 0;
    int64_t original_ = 1;
    double trouble_ = 0;
    bool never_ready_on_new_data_ = false, scaled_by_others_last_ = false;
    bool prepared_ = false, exchanged_ = false, client_wrote_ = false;
    resources::DatabaseRestore restore_;
    resources::PostgresServer server_;
    World seen_;
    resources::Workload workload_;
    std::pair<int64_t, std::string> cached_size_;
    std::map<std::string, resources::Claim> claims_;
    std::vector<resources::Pod> pods_, cached_pods_;
    std::vector<resources::Job> jobs_, cached_jobs_;
    std::map<std::string, resources::AgentReport> reports_;
    std::map<std::string, bool> stuck_;
    std::vector<std::string> lingering_, broken_;
    std::string story_;
};

}  // namespace dbrestore::testing
