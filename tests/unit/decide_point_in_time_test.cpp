// type: PointInTime: a whole server from its repository.

#include <gtest/gtest.h>

#include "decide/history.h"
#include "decide/take_over.h"
#include "support/decision_table.h"

namespace dbrestore::testing {
namespace {

WorldBuilder a_point(const std::function<void(World&)>& change = [](World&) {}) {
    return a_restore().where([&](World& w) {
        w.restore.spec.type = "PointInTime";
        w.restore.spec.backup = {};
        w.restore.spec.point_in_time.time = "2026-11-22T10:00:00.123456Z";
        w.server->repository = resources::PgBackRestRepository{"shop", "shop-pgbackrest"};
        change(w);
    });
}

WorldBuilder a_plan_of_it() {
    return a_point([](World& w) { w.restore.spec.dry_run = "Plan"; });
}

WorldBuilder resting(Phase phase) {
    return a_point().in(phase).at_rest();
}

nlohmann::json request_of(const nlohmann::json& job) {
    return nlohmann::json::parse(
        job["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"].get<std::string>());
}

nlohmann::json volume_of(const nlohmann::json& job, const std::string& name) {
    for (const auto& volume : job["spec"]["template"]["spec"]["volumes"]) {
        if (volume["name"] == name) return volume;
    }
    return {};
}

resources::RecoveredTo the_point() {
    return {"2026-11-22T09:59:59.998877Z", "0/3000110", 2};
}

TEST(PointInTime, runs_where_the_server_has_a_repository) {
    const std::string refused = "SaveRestore(Failed) Speak(";
    check({
        {"all is there", a_point(), "SaveRestore(Queued) Speak(Queued)"},
        {"only its plan is asked for", a_plan_of_it(), "SaveRestore(Queued) Speak(Queued)"},
        {"no repository", a_point([](World& w) { w.server->repository.reset(); }), "SaveRestore(Pending)",
         "RepositoryNotFound", "`spec.pointInTimeRecovery.pgBackRest`"},
        {"two targets", a_point([](World& w) { w.restore.spec.point_in_time.latest = true; }),
         refused + "BadTarget)", "BadTarget", "exactly one of"},
    });
    const World given = a_point();
    EXPECT_EQ(status_after(given, decide::decide(given)).target, "2026-11-22T10:00:00.123456Z");
}

TEST(PointInTime, is_checked_with_the_repositorys_secret_and_without_writing_whatever_the_servers_state) {
    const World given = WorldBuilder(a_point())
                            .in(Phase::validating)
                            .with_lock()
                            .without_pods()
                            .in_step("preflight", 1)
                            .seen_fresh();
    const auto plan = decide::decide(given);
    ASSERT_EQ(job_made_by(plan), "dbr-11111111-preflight-1") << told(plan);
    const auto& pod = find_action<decide::CreateJob>(plan)->manifest["spec"]["template"]["spec"];
    const auto named = [](const nlohmann::json& list, const std::string& name) {
        for (const auto& item : list) {
            if (item["name"] == name) return item;
        }
        return nlohmann::json();
    };
    const nlohmann::json secret = named(pod["volumes"], "repository")["secret"];
    EXPECT_EQ(secret["secretName"], "shop-pgbackrest");
    EXPECT_EQ(secret["optional"], true) << "the agent says that it is missing";
    const auto& agent = pod["containers"][0];
    EXPECT_EQ(named(agent["volumeMounts"], "repository")["mountPath"], "/dbrestore-repository");
    EXPECT_EQ(named(agent["volumeMounts"], "data")["readOnly"], true);
    EXPECT_TRUE(named(pod["volumes"], "source").is_null());
    const auto request = nlohmann::json::parse(agent["env"][0]["value"].get<std::string>());
    EXPECT_EQ(request["pointInTime"], nlohmann::json({{"time", "2026-11-22T10:00:00.123456Z"}}));
    EXPECT_EQ(request["stanza"], "shop");
}

TEST(PointInTime, ends_with_its_plan_and_stops_nothing) {
    const World given = a_plan_of_it()
                            .in(Phase::validating)
                            .with_lock()
                            .with_job("preflight", 1)
                            .that_ended(done())
                            .seen_fresh();
    const auto plan = decide::decide(given);
    const auto status = status_after(given, plan);
    EXPECT_EQ(status.phase, Phase::succeeded) << told(plan);
    ASSERT_TRUE(status.plan);
    EXPECT_EQ(status.plan->steps.at(1), "recover a copy of the server to the point in time beside its files");
}

TEST(PointInTime, has_its_repository_at_hand_in_every_step_that_writes) {
    for (const auto& [phase, step] :
         std::vector<std::pair<Phase, const char*>>{{Phase::preparing, "prepare"},
                                                    {Phase::verifying, "verify"},
                                                    {Phase::committing, "commit"},
                                                    {Phase::rolling_back, "rollback"}}) {
        const World given = resting(phase).in_step(step, 1).seen_fresh();
        const auto plan = decide::decide(given);
        const auto* made = find_action<decide::CreateJob>(plan);
        ASSERT_NE(made, nullptr) << step << ": " << told(plan);
        EXPECT_EQ(request_of(made->manifest)["stanza"], "shop");
        EXPECT_TRUE(request_of(made->manifest).contains("pointInTime"));
        EXPECT_EQ(volume_of(made->manifest, "repository")["secret"]["secretName"], "shop-pgbackrest");
    }
}

TEST(PointInTime, reads_a_repository_on_another_claim_of_the_database_where_the_database_has_it) {
    const World given =
        a_point([](World& w) {
            auto& container = w.workload->pod_spec["containers"][0];
            container["volumeMounts"].push_back({{"name", "backups"}, {"mountPath", "/backups"}});
            w.workload->claim_templates.push_back({"backups", {"ReadWriteOnce"}});
        })
            .in(Phase::preparing)
            .at_rest()
            .in_step("prepare", 1)
            .seen_fresh();
    const auto plan = decide::decide(given);
    const auto* made = find_action<decide::CreateJob>(plan);
    ASSERT_NE(made, nullptr) << told(plan);
    const auto& pod = made->manifest["spec"]["template"]["spec"];
    nlohmann::json mount, claim;
    for (const auto& m : pod["containers"][0]["volumeMounts"])
        if (m["mountPath"] == "/backups") mount = m;
    ASSERT_TRUE(mount.is_object());
    EXPECT_EQ(mount["readOnly"], true);
    claim = volume_of(made->manifest, mount["name"])["persistentVolumeClaim"];
    EXPECT_EQ(claim["claimName"], "backups-" + given.workload->meta.name + "-0");
    EXPECT_EQ(claim["readOnly"], true);
}

TEST(PointInTime, tells_at_its_commit_what_was_reached_lost_and_kept) {
    AgentResult result = done();
    result.bytes = 4096;
    result.recovered_to = the_point();
    const World given = resting(Phase::committing).with_job("commit", 1).that_ended(result);
    const auto status = status_after(given, decide::decide(given));
    EXPECT_EQ(status.phase, Phase::starting);
    EXPECT_EQ(status.recovered_to, the_point());
    EXPECT_EQ(status.lost_interval, (resources::LostInterval{"2026-11-22T09:59:59.998877Z", noon}));
    EXPECT_EQ(*status.previous_data,
              (resources::PreviousData{true, "", 4096, std::nullopt,
                                       std::string(".dbrestore/beside-") + restore_uid}));
    const auto again = resources::restore_from_json({{"status", to_json(status)}}).status;
    EXPECT_EQ(again, status) << to_json(status);
}

WorldBuilder served(const AgentResult& result) {
    return a_point()
        .in(Phase::starting)
        .asked_to_stop()
        .noted("DatabaseReady", Truth::yes)
        .with_job("verify-live", 1)
        .that_ended(result)
        .seen_fresh();
}

TEST(PointInTime, is_verified_through_the_network_by_its_timeline) {
    const World given = a_point()
                            .in(Phase::starting)
                            .asked_to_stop()
                            .noted("DatabaseReady", Truth::yes)
                            .in_step("verify-live", 1)
                            .seen_fresh()
                            .where([](World& w) { w.restore.status.recovered_to = the_point(); });
    const auto plan = decide::decide(given);
    const auto* made = find_action<decide::CreateJob>(plan);
    ASSERT_NE(made, nullptr) << told(plan);
    EXPECT_EQ(request_of(made->manifest)["timeline"], 2);

    AgentResult opened = done();
    opened.credentials_match = true;
    const World good = served(opened);
    auto status = status_after(good, decide::decide(good));
    EXPECT_EQ(status.phase, Phase::succeeded);
    EXPECT_TRUE(resources::condition_is(status.conditions, "CredentialsMatch", Truth::yes));
}

// They are part of what was asked for, so the restore has succeeded; but somebody must act.
TEST(PointInTime, says_where_the_passwords_are_those_of_then) {
    AgentResult refused = done();
    refused.credentials_match = false;
    refused.message = "the roles have the passwords of then";
    const World given = served(refused);
    const auto status = status_after(given, decide::decide(given));
    EXPECT_EQ(status.phase, Phase::succeeded);
    EXPECT_EQ(reason_of(status, "CredentialsMatch"), "PasswordsOfThen");
    EXPECT_NE(message_of(status, "Succeeded").find("the passwords of then"), std::string::npos);
}

TEST(PointInTime, where_new_data_stays_says_where_the_old_files_are) {
    const World given = served(failed("NotTheRestoredDatabase", "the server is on timeline 1"));
    const auto status = status_after(given, decide::decide(given));
    EXPECT_EQ(status.phase, Phase::failed);
    EXPECT_NE(message_of(status, "Succeeded").find("kept in .dbrestore/beside-"), std::string::npos)
        << message_of(status, "Succeeded");
}

WorldBuilder an_undo_of_it(Phase phase) {
    return a_point([](World& w) {
               w.restore.spec.type = "Undo";
               w.restore.spec.undo_name = "back";
               w.restore.spec.point_in_time = {};
               resources::HistoryEntry entry{"back", "u-1", "Succeeded", "", noon, "", 9, noon};
               entry.previous_directory = ".dbrestore/beside-u-1";
               w.server->status.history.push_back(entry);
           })
        .in(phase);
}

TEST(PointInTime, is_undone_with_the_files_that_it_keeps) {
    const World given = an_undo_of_it(Phase::pending);
    const auto status = status_after(given, decide::decide(given));
    EXPECT_EQ(status.phase, Phase::queued);
    EXPECT_EQ(status.target, "before back");
    EXPECT_EQ(status.source_name, ".dbrestore/beside-u-1");
    const auto named = [&](World& w) { w.restore.status.source_name = status.source_name; };
    check({{"no repository",
            an_undo_of_it(Phase::pending).where(named).where([](World& w) { w.server->repository.reset(); }),
            "SaveRestore(Pending)", "RepositoryNotFound", "pointInTimeRecovery"}});

    const World prepares =
        an_undo_of_it(Phase::preparing).where(named).at_rest().in_step("prepare", 1).seen_fresh();
    const auto plan = decide::decide(prepares);
    ASSERT_EQ(told(plan), "CreateJob(prepare)");
    const auto& job = find_action<decide::CreateJob>(plan)->manifest;
    EXPECT_EQ(request_of(job)["undo"], true);
    EXPECT_EQ(request_of(job)["undoneUID"], "u-1");
    EXPECT_EQ(request_of(job)["pointInTime"], nlohmann::json({{"latest", true}}));
    EXPECT_EQ(volume_of(job, "repository")["secret"]["secretName"], "shop-pgbackrest");

    AgentResult result = done();
    result.bytes = 7;
    result.recovered_to = resources::RecoveredTo{"", "0/3000110", 3};
    const World commits =
        an_undo_of_it(Phase::committing).where(named).at_rest().with_job("commit", 1).that_ended(result);
    auto committed = status_after(commits, decide::decide(commits));
    EXPECT_FALSE(committed.lost_interval) << "nothing tells when it was";
    EXPECT_EQ(committed.previous_data->directory, std::string(".dbrestore/beside-") + restore_uid);

    resources::DatabaseRestore over = commits.restore;
    over.status = committed;
    over.status.phase = Phase::succeeded;
    const auto history = decide::with_history_of(over, commits.server->status).history;
    ASSERT_EQ(history.size(), 2u);
    EXPECT_FALSE(history[0].keeps_data()) << "it is served";
    EXPECT_EQ(history[1].previous_directory, committed.previous_data->directory);
}

// The repository is needed where a server may have run on the recovered files.
TEST(PointInTime, that_vanished_is_taken_back_with_its_repository) {
    const World left = resting(Phase::preparing).where([](World& w) { w.server->lock.point_in_time = true; });
    EXPECT_TRUE(resources::server_from_json({{"status", to_json(left.server->lock)}}).lock.point_in_time);
    World given = left;
    given.fresh = true;
    given.restore = decide::vanished_holder(*given.server, given.now);
    given.restore.status.step = resources::StepAttempt{"rollback", 1, noon, {}, 1'000'000'000, 0};
    const auto plan = decide::take_over(given);
    const auto* made = find_action<decide::CreateJob>(plan);
    ASSERT_NE(made, nullptr) << told(plan);
    EXPECT_EQ(volume_of(made->manifest, "repository")["secret"]["secretName"], "shop-pgbackrest");
    EXPECT_EQ(request_of(made->manifest)["stanza"], "shop");
}

TEST(PointInTime, is_told_in_words) {
    const auto words = [](const char* text) {
        return to_text(resources::point_in_time_from_json(nlohmann::json::parse(text)));
    };
    EXPECT_EQ(words(R"({"xid":"742","exclusive":true,"timeline":2})"),
              "just before transaction 742 on timeline 2");
    EXPECT_EQ(words(R"({"lsn":"0/16B3748"})"), "position 0/16B3748");
    EXPECT_EQ(words(R"({"name":"before the import"})"), "restore point \"before the import\"");
    EXPECT_EQ(words(R"({"immediate":true})"), "the end of the newest backup");
    EXPECT_EQ(words(R"({"latest":true})"), "the end of the archive");
}

TEST(PointInTime, is_read_from_both_objects) {
    const auto restore = resources::restore_from_json(nlohmann::json::parse(
        R"({"spec": {"type": "PointInTime", "pointInTime": {"name": "a", "timeline": 4294967295}}})"));
    EXPECT_EQ(restore.spec.point_in_time.name, "a");
    EXPECT_EQ(restore.spec.point_in_time.timeline, 4294967295);
    const auto server = resources::server_from_json(nlohmann::json::parse(
        R"({"spec": {"pointInTimeRecovery": {"pgBackRest": {"stanza": "s", "configSecretRef": {"name": "c"}}}}})"));
    ASSERT_TRUE(server.repository);
    EXPECT_EQ(server.repository->stanza, "s");
    EXPECT_EQ(server.repository->config_secret, "c");
    EXPECT_FALSE(resources::server_from_json(nlohmann::json::parse(R"({"spec": {}})")).repository);
}

}  // namespace
}  // namespace dbrestore::testing
