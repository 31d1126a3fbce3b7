// type: PointInTime, of which the plan can be asked for.

#include <gtest/gtest.h>

#include "support/decision_table.h"

namespace dbrestore::testing {
namespace {

WorldBuilder a_point(const std::function<void(World&)>& change = [](World&) {}) {
    return a_restore().where([&](World& w) {
        w.restore.spec.type = "PointInTime";
        w.restore.spec.backup = {};
        w.restore.spec.point_in_time.time = "2026-11-22T10:00:00.123456Z";
        w.restore.spec.dry_run = "Plan";
        w.server->repository = resources::PgBackRestRepository{"shop", "shop-pgbackrest"};
        change(w);
    });
}

TEST(PointInTime, is_planned_where_the_server_has_a_repository) {
    const std::string refused = "SaveRestore(Failed) Speak(";
    check({
        {"all is there", a_point(), "SaveRestore(Queued) Speak(Queued)"},
        {"no repository", a_point([](World& w) { w.server->repository.reset(); }), "SaveRestore(Pending)",
         "RepositoryNotFound", "`spec.pointInTimeRecovery.pgBackRest`"},
        {"two targets", a_point([](World& w) { w.restore.spec.point_in_time.latest = true; }),
         refused + "BadTarget)", "BadTarget", "exactly one of"},
        {"to be restored", a_point([](World& w) { w.restore.spec.dry_run = "None"; }),
         refused + "NotSupportedYet)", "NotSupportedYet", "can be checked"},
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
    const World given = WorldBuilder(a_point())
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
