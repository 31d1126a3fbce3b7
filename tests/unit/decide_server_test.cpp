// The PostgresServer: whether it can be restored, and the cleanup of previous data.

#include <gtest/gtest.h>

#include "decide/history.h"
#include "support/world_builder.h"

namespace dbrestore::testing {
namespace {

decide::ServerWorld a_server_world() {
    decide::ServerWorld world;
    world.now = noon;
    world.settings.agent_image = "agent:1";
    world.server = the_server();
    world.server.meta.creation_time = noon;
    world.workload = the_workload();
    world.pods.push_back(a_database_pod());
    world.fresh = true;
    return world;
}

resources::ServerStatus server_status_after(const decide::ServerWorld& world) {
    const auto plan = decide::decide_server(world);
    const auto* save = find_action<decide::SaveServer>(plan);
    return save == nullptr ? world.server.status : save->status;
}

std::string ready_reason(const decide::ServerWorld& world) {
    const auto status = server_status_after(world);
    const auto* ready = resources::find_condition(status.conditions, "Ready");
    return (ready->status == Truth::yes ? "+" : "-") + ready->reason;
}

resources::PostgresServer another(const std::string& name, const std::string& workload,
                                  const std::string& claim, int64_t created_after_seconds) {
    resources::PostgresServer other = the_server();
    other.meta.name = name;
    other.workload_name = workload;
    other.status.inferred->claim_name = claim;
    other.meta.creation_time = noon + std::chrono::seconds(created_after_seconds);
    return other;
}

TEST(Server, becomes_ready_once_all_is_inferred) {
    decide::ServerWorld world = a_server_world();
    world.server.status = {};
    const auto status = server_status_after(world);
    EXPECT_EQ(ready_reason(world), "+Inferred");
    EXPECT_EQ(status.observed_generation, 1);
    ASSERT_TRUE(status.inferred);
    EXPECT_EQ(status.inferred->claim_name, "data-shop-0");
    world.server.status = status;
    EXPECT_EQ(told(decide::decide_server(world)), "") << "what is saved is not saved again";
    world.workload.reset();
    EXPECT_EQ(ready_reason(world), "-WorkloadNotFound");
    EXPECT_FALSE(server_status_after(world).inferred);
}

// A take-over that was interrupted once the lock was free comes back to nothing else.
TEST(Server, keeps_no_finalizer_for_which_no_restore_holds_the_lock) {
    decide::ServerWorld world = a_server_world();
    world.server.meta.finalizers = {resources::finalizer_name};
    world.fresh = false;
    EXPECT_EQ(told(decide::decide_server(world)), "LookFresh") << "a restore may be taking the lock just now";
    world.fresh = true;
    EXPECT_EQ(told(decide::decide_server(world)), "RemoveFinalizers");
    world.server.lock.active_restore = resources::ActiveRestore{"bring-it-back", restore_uid};
    EXPECT_FALSE(asks_for<decide::RemoveFinalizers>(decide::decide_server(world)));
}

TEST(Server, of_two_on_one_workload_or_claim_the_older_is_served) {
    const auto beside = [](resources::PostgresServer other) {
        decide::ServerWorld world = a_server_world();
        world.others.push_back(std::move(other));
        return ready_reason(world);
    };
    EXPECT_EQ(beside(another("older", "shop", "x", -5)), "-WorkloadClaimedTwice");
    EXPECT_EQ(beside(another("older", "else", "data-shop-0", -5)), "-WorkloadClaimedTwice");
    EXPECT_EQ(beside(another("a-twin", "shop", "x", 0)), "-WorkloadClaimedTwice");
    EXPECT_EQ(beside(another("z-twin", "shop", "x", 0)), "+Inferred");
    EXPECT_EQ(beside(another("younger", "shop", "data-shop-0", 5)), "+Inferred");
    EXPECT_EQ(beside(another("neighbour", "else", "other", -5)), "+Inferred");
}

TEST(Server, keeps_what_a_running_restore_was_started_with) {
    decide::ServerWorld world = a_server_world();
    world.server.lock.active_restore = resources::ActiveRestore{"r", "uid"};
    world.workload->pod_spec["containers"][0]["image"] = "postgres:17";
    EXPECT_EQ(server_status_after(world).inferred->image, "postgres:15");
    world.workload.reset();
    EXPECT_EQ(server_status_after(world).inferred->image, "postgres:15");
    EXPECT_EQ(ready_reason(world), "-WorkloadNotFound");
}

decide::ServerWorld with_previous_data(int64_t expires_in_seconds) {
    decide::ServerWorld world = a_server_world();
    world.server.status = server_status_after(world);
    world.server.status.history.push_back({"bring-it-back", restore_uid, "Succeeded", "", noon,
                                           "dbrestore_old_11111111", 7,
                                           noon + std::chrono::seconds(expires_in_seconds)});
    return world;
}

resources::Job a_cleanup_job(int64_t attempt, int64_t age_seconds, bool finished) {
    resources::Job job;
    job.meta.name = decide::job_name(restore_uid, "cleanup", attempt);
    job.meta.labels = {{decide::restore_uid_label, restore_uid},
                       {decide::step_label, "cleanup"},
                       {decide::attempt_label, std::to_string(attempt)}};
    job.meta.creation_time = noon - std::chrono::seconds(age_seconds);
    job.complete = finished;
    return job;
}

TEST(Server, drops_previous_data_when_it_has_expired_and_not_before) {
    const auto early = decide::decide_server(with_previous_data(60));
    EXPECT_EQ(told(early), "");
    EXPECT_LE(*early.look_again_after, std::chrono::milliseconds(60001));
    EXPECT_EQ(told(decide::decide_server(with_previous_data(0))), "SaveServer CreateJob(cleanup)");
    auto cached = with_previous_data(0);
    cached.fresh = false;
    EXPECT_EQ(told(decide::decide_server(cached)), "LookFresh")
        << "a cache may not show yet that it is there";
    const auto job = find_action<decide::CreateJob>(decide::decide_server(with_previous_data(0)))->manifest;
    EXPECT_EQ(job["metadata"]["name"], "dbr-11111111-cleanup-1");
    const auto& agent = job["spec"]["template"]["spec"]["containers"][0];
    const auto request = nlohmann::json::parse(agent["env"][0]["value"].get<std::string>());
    EXPECT_EQ(request["oldDatabase"], "dbrestore_old_11111111");
    EXPECT_EQ(request["host"], "10.0.0.7");
    for (const auto& volume : job["spec"]["template"]["spec"]["volumes"])
        EXPECT_NE(volume["name"], "data") << "dropping needs no volume";
}

// Beside a server that runs, and also where none does: it takes nothing but the volume.
TEST(Server, removes_kept_files_on_the_volume_as_their_owner) {
    decide::ServerWorld world = with_previous_data(0);
    auto& entry = world.server.status.history[0];
    entry.previous_database.clear();
    entry.previous_directory = std::string(".dbrestore/beside-") + restore_uid;
    entry.data_owner = resources::DataOwner{1001, 1002};
    world.pods[0].node_name = "node-7";
    EXPECT_EQ(resources::server_from_json({{"status", to_json(world.server.status)}}).status.history[0],
              entry);
    const auto plan = decide::decide_server(world);
    ASSERT_EQ(told(plan), "SaveServer CreateJob(cleanup)");
    const auto& pod = find_action<decide::CreateJob>(plan)->manifest["spec"]["template"]["spec"];
    EXPECT_EQ(pod["securityContext"]["runAsUser"], 1001);
    EXPECT_EQ(pod["securityContext"]["runAsGroup"], 1002);
    EXPECT_NE(pod.dump().find(R"("claimName":"data-shop-0","readOnly":false)"), std::string::npos);
    EXPECT_NE(pod["affinity"].dump().find("node-7"), std::string::npos);
    const auto request = nlohmann::json::parse(pod["containers"][0]["env"][0]["value"].get<std::string>());
    EXPECT_TRUE(request.contains("pointInTime"));
    EXPECT_FALSE(request.contains("host"));

    auto down = world;
    down.pods.clear();
    EXPECT_EQ(told(decide::decide_server(down)), "SaveServer CreateJob(cleanup)");
    auto good = world;
    good.jobs.push_back(a_cleanup_job(1, 5, true));
    good.reports[good.jobs[0].meta.name] = resources::AgentReport{{}, done(), false};
    const auto forgotten = server_status_after(good).history[0];
    EXPECT_FALSE(forgotten.keeps_data());
    EXPECT_FALSE(forgotten.data_owner);
}

TEST(Server, drops_nothing_while_a_restore_runs_or_nobody_answers) {
    decide::ServerWorld locked = with_previous_data(0);
    locked.server.lock.active_restore = resources::ActiveRestore{"r", "uid"};
    EXPECT_EQ(told(decide::decide_server(locked)), "");
    decide::ServerWorld down = with_previous_data(0);
    down.pods.clear();
    EXPECT_EQ(told(decide::decide_server(down)), "");
    EXPECT_TRUE(decide::decide_server(down).look_again_after.has_value());
}

TEST(Server, forgets_previous_data_only_when_the_drop_is_reported) {
    const auto with_job = [](resources::Job job, const resources::AgentResult* result) {
        decide::ServerWorld world = with_previous_data(0);
        world.server.status.history[0].cleanup_attempt = std::stoll(job.meta.labels[decide::attempt_label]);
        if (result != nullptr) world.reports[job.meta.name] = resources::AgentReport{{}, *result, false};
        world.jobs.push_back(std::move(job));
        return world;
    };
    const AgentResult good = done(), bad = failed();
    EXPECT_EQ(told(decide::decide_server(with_job(a_cleanup_job(1, 5, false), nullptr))), "") << "it runs";
    EXPECT_EQ(told(decide::decide_server(with_job(a_cleanup_job(1, 899, false), nullptr))), "");
    EXPECT_EQ(told(decide::decide_server(with_job(a_cleanup_job(1, 901, false), nullptr))),
              "DeleteJob(dbr-11111111-cleanup-1)")
        << "no pod of it was let in";
    EXPECT_EQ(told(decide::decide_server(with_job(a_cleanup_job(1, 5, true), &bad))), "")
        << "not at once again";
    EXPECT_EQ(told(decide::decide_server(with_job(a_cleanup_job(1, 61, true), &bad))),
              "SaveServer CreateJob(cleanup)");
    EXPECT_EQ(told(decide::decide_server(with_job(a_cleanup_job(5, 299, true), &bad))), "")
        << "ever more rarely";
    EXPECT_EQ(told(decide::decide_server(with_job(a_cleanup_job(5, 301, true), &bad))),
              "SaveServer CreateJob(cleanup)");
    EXPECT_EQ(told(decide::decide_server(with_job(a_cleanup_job(900, 3601, true), &bad))),
              "SaveServer CreateJob(cleanup)")
        << "but at least every hour";
    const auto forgotten = with_job(a_cleanup_job(1, 5, true), &good);
    EXPECT_EQ(told(decide::decide_server(forgotten)), "SaveServer");
    EXPECT_EQ(server_status_after(forgotten).history[0].previous_database, "");
    EXPECT_FALSE(server_status_after(forgotten).history[0].expiration_time);
}

// Its Job may be gone: deleted by somebody, or since no pod of it was let in.
TEST(Server, goes_on_with_a_cleanup_that_was_begun_under_another_number) {
    for (const int64_t expires_in_seconds : {-60, 900}) {
        decide::ServerWorld world = with_previous_data(expires_in_seconds);
        world.server.status.history[0].cleanup_attempt = 3;
        const auto plan = decide::decide_server(world);
        ASSERT_EQ(told(plan), "SaveServer CreateJob(cleanup)")
            << "the clock may have been set back since: " << expires_in_seconds;
        EXPECT_EQ(find_action<decide::CreateJob>(plan)->manifest["metadata"]["name"],
                  "dbr-11111111-cleanup-4");
        const auto& saved = find_action<decide::SaveServer>(plan)->status;
        EXPECT_EQ(saved.history[0].cleanup_attempt, 4);
        EXPECT_EQ(resources::server_from_json({{"status", to_json(saved)}}).status.history[0],
                  saved.history[0]);
    }
    decide::ServerWorld early = with_previous_data(900);
    early.jobs.push_back(a_cleanup_job(1, 61, true));
    EXPECT_EQ(told(decide::decide_server(early)), "SaveServer CreateJob(cleanup)")
        << "a PostgresServer that was made anew remembers no number";
}

// Seed 46412: the Job was removed, and the next one had its name.
TEST(Server, that_was_made_anew_learns_the_number_of_a_cleanup_from_its_job) {
    decide::ServerWorld anew = with_previous_data(900);
    anew.jobs.push_back(a_cleanup_job(3, 5, false));
    EXPECT_EQ(told(decide::decide_server(anew)), "SaveServer");
    EXPECT_EQ(server_status_after(anew).history[0].cleanup_attempt, 3);
    anew.jobs[0] = a_cleanup_job(3, 901, false);
    EXPECT_EQ(told(decide::decide_server(anew)), "SaveServer DeleteJob(dbr-11111111-cleanup-3)");
}

TEST(Server, an_edited_attempt_label_breaks_nothing) {
    decide::ServerWorld world = with_previous_data(0);
    world.jobs.push_back(a_cleanup_job(1, 5000, true));
    for (const char* label :
         {"99999999999999999999999999", "9223372036854775807", "2147483647", "-7", "", "many"}) {
        world.jobs[0].meta.labels[decide::attempt_label] = label;
        const auto plan = decide::decide_server(world);
        ASSERT_EQ(told(plan), "SaveServer CreateJob(cleanup)") << label;
        EXPECT_EQ(find_action<decide::SaveServer>(plan)->status.history[0].cleanup_attempt, 1) << label;
    }
}

resources::DatabaseRestore ended(const char* name, Phase phase, int64_t minute, bool keeps) {
    const World world = a_restore().in(phase);
    resources::DatabaseRestore restore = world.restore;
    restore.meta.name = name;
    restore.meta.uid = std::string(name) + "-uid";
    restore.status.completion_time = noon + std::chrono::minutes(minute);
    if (keeps)
        restore.status.previous_data = resources::PreviousData{true, std::string("dbrestore_old_") + name, 9,
                                                               noon + std::chrono::hours(1)};
    return restore;
}

TEST(History, of_a_server_that_was_made_anew_comes_from_its_restores) {
    decide::ServerWorld world = a_server_world();
    world.server.status = {};
    auto plan = ended("plan", Phase::succeeded, 0, false);
    plan.spec.dry_run = "Plan";
    world.ended = {ended("third", Phase::failed, 3, true), ended("first", Phase::succeeded, 1, true),
                   ended("refused", Phase::failed, 2, false), ended("second", Phase::succeeded, 2, false),
                   plan};
    const auto status = server_status_after(world);
    std::string told;
    for (const auto& entry : status.history)
        told += entry.restore + " " + entry.result + " " + entry.previous_database + "; ";
    EXPECT_EQ(told,
              "first Succeeded dbrestore_old_first; second Succeeded ; third Failed dbrestore_old_third; ");
    EXPECT_EQ(status.history[0].expiration_time, noon + std::chrono::hours(1)) << "it expires when it was to";
    world.server.status = status;
    world.ended.push_back(ended("older", Phase::succeeded, -1, true));
    EXPECT_EQ(server_status_after(world).history, status.history) << "what it remembers is not added to";
}

TEST(History, of_a_server_that_was_made_anew_forgets_what_came_back_also_where_the_clock_was_set_back) {
    const auto undo = [](const char* name, int64_t minute, const char* source) {
        auto restore = ended(name, Phase::succeeded, minute, true);
        restore.spec.type = "Undo";
        restore.status.source_name = source;
        return restore;
    };
    auto first = ended("first", Phase::succeeded, 9, true);
    first.status.replaced_database = "shop";
    decide::ServerWorld world = a_server_world();
    world.server.status = {};
    world.ended = {undo("undo", 2, "dbrestore_old_first"), undo("undo-of-it", 3, "dbrestore_old_undo"),
                   first};
    const auto history = server_status_after(world).history;
    ASSERT_EQ(history.size(), 3u);
    for (const auto& entry : history)
        EXPECT_EQ(entry.keeps_data(), entry.restore == "undo-of-it") << entry.restore;
    EXPECT_EQ(history[0].database, "shop");
    // One that was taken back brought nothing.
    world.ended[0].status.previous_data.reset();
    world.ended.erase(world.ended.begin() + 1);
    world.ended[0].status.phase = Phase::cancelled;
    EXPECT_TRUE(server_status_after(world).history.back().keeps_data());
}

TEST(History, makes_room_without_forgetting_databases_that_must_still_be_dropped) {
    resources::ServerStatus status;
    for (int i = 0; i < 100; ++i)
        status.history.push_back(
            {"r" + std::to_string(i), "uid", "Succeeded", "", noon, i < 50 ? "kept" : "", 0, {}});
    const World restore = a_restore().in(Phase::failed);
    status = decide::with_history_of(restore.restore, status);
    EXPECT_EQ(status.history.size(), 100u);
    EXPECT_EQ(status.history[49].restore, "r49");
    EXPECT_EQ(status.history[50].restore, "r51");
    EXPECT_EQ(status.history.back().restore, "bring-it-back");
    EXPECT_EQ(status.history.back().result, "Failed");
}

}  // namespace
}  // namespace dbrestore::testing
