// Where a restore's backup lies, and the lists of the server's stores.

#include <gtest/gtest.h>

#include <set>

#include "decide/catalog.h"
#include "support/decision_table.h"

namespace dbrestore::testing {
namespace {

resources::Store s3_store(const std::string& name, const std::string& kind) {
    resources::Store store;
    store.name = name;
    store.kind = kind;
    store.s3 =
        resources::S3Location{"https://s3.example.com", "shop", "nightly", "eu-1", "shop-s3", "shop-ca"};
    return store;
}

resources::Store http_store() {
    resources::Store store;
    store.name = "web";
    store.kind = "Manual";
    store.http = resources::HttpLocation{"https://backups.example.com", "shop-headers", ""};
    return store;
}

resources::Store claim_store() {
    resources::Store store;
    store.name = "by-hand";
    store.kind = "Manual";
    store.claim_name = "backups";
    return store;
}

WorldBuilder asking(const std::string& type, const std::string& store, resources::BackupChoice choice) {
    return a_restore().where([=](World& w) {
        w.server->stores = {s3_store("nightly", "Scheduled"), http_store(), claim_store()};
        w.restore.spec.type = type;
        w.restore.spec.backup = {"", store, choice};
    });
}

const resources::BackupChoice latest{"", true, {}}, by_name{"shop.tar.gz", false, {}};

TEST(Backup, is_looked_for_in_a_store_of_the_right_kind) {
    const std::string queued = "SaveRestore(Queued) Speak(Queued)";
    check({
        {"the newest scheduled one", asking("ScheduledBackup", "nightly", latest), queued, "Queued"},
        {"a store of another kind", asking("ManualBackup", "nightly", latest),
         "SaveRestore(Failed) Speak(StoreKindMismatch)", "StoreKindMismatch",
         "`spec.manualBackup.store` must name a store of kind Manual"},
        {"the newest one of a server that cannot be listed", asking("ManualBackup", "web", latest),
         "SaveRestore(Failed) Speak(StoreNotListable)", "StoreNotListable",
         "`spec.manualBackup.name` must be set"},
        {"a named one of it", asking("ManualBackup", "web", by_name), queued, "Queued"},
        {"a store that the server does not have yet", asking("ScheduledBackup", "weekly", latest),
         "SaveRestore(Pending)", "StoreNotFound", "\"weekly\""},
        {"a store whose claim is not there yet", asking("ManualBackup", "by-hand", latest),
         "SaveRestore(Pending)", "ClaimNotFound", "\"backups\""},
    });
}

TEST(Backup, is_told_in_status) {
    const auto status_of = [](const World& world) { return status_after(world, decide::decide(world)); };
    const auto newest = status_of(asking("ScheduledBackup", "nightly", latest));
    EXPECT_EQ(newest.target, "nightly: the newest backup");
    EXPECT_EQ(newest.source_store, "nightly");
    EXPECT_EQ(newest.source_name, "") << "not chosen yet";
    EXPECT_EQ(status_of(asking("ScheduledBackup", "nightly", by_name)).target, "nightly/shop.tar.gz");
    EXPECT_EQ(status_of(a_restore()).source_store, "persistentVolumeClaim/dumps");
}

// The manifest of the Job that the plan makes; null where it makes none.
nlohmann::json job_in(const Plan& plan) {
    const auto* create = find_action<decide::CreateJob>(plan);
    return create == nullptr ? nlohmann::json() : create->manifest;
}

resources::AgentRequest request_in(const nlohmann::json& manifest) {
    const auto& environment = manifest["spec"]["template"]["spec"]["containers"][0]["env"];
    return *resources::request_from_text(environment[0]["value"]);
}

TEST(Backup, what_preflight_chose_is_what_prepare_gets) {
    resources::AgentResult found;
    found.outcome = resources::AgentResult::Outcome::done;
    found.chosen = resources::Backup{"20261122.tar.gz", noon, 12, "\"e1\""};
    const World checked = asking("ScheduledBackup", "nightly", latest)
                              .in(Phase::validating)
                              .with_lock()
                              .with_job("preflight", 1)
                              .that_ended(found);
    const auto status = status_after(checked, decide::decide(checked));
    EXPECT_EQ(status.source_name, "20261122.tar.gz");
    EXPECT_EQ(status.source_identity, "\"e1\"");
    World preparing =
        asking("ScheduledBackup", "nightly", latest).in(Phase::preparing).at_rest().in_step("prepare", 1);
    preparing.restore.status.source_name = status.source_name;
    preparing.restore.status.source_identity = status.source_identity;
    preparing.fresh = true;
    const auto manifest = job_in(decide::decide(preparing));
    ASSERT_TRUE(manifest.is_object());
    const auto request = request_in(manifest);
    EXPECT_EQ(request.backup_name, "20261122.tar.gz");
    EXPECT_EQ(request.backup_identity, "\"e1\"");
    EXPECT_EQ(request.store, s3_store("nightly", "Scheduled"));
}

TEST(Backup, only_secrets_of_its_store_are_mounted_and_none_is_in_the_request) {
    const World checking = asking("ScheduledBackup", "nightly", latest)
                               .in(Phase::validating)
                               .with_lock()
                               .in_step("preflight", 1)
                               .where([](World& w) { w.fresh = true; });
    const auto manifest = job_in(decide::decide(checking));
    std::map<std::string, std::string> secrets;
    for (const auto& volume : manifest["spec"]["template"]["spec"]["volumes"]) {
        if (!volume.contains("secret")) continue;
        EXPECT_EQ(volume["secret"]["optional"], true) << "so that the agent names what is missing";
        secrets[volume["name"]] = volume["secret"]["secretName"];
    }
    EXPECT_EQ(secrets["store-credentials"], "shop-s3");
    EXPECT_EQ(secrets["store-ca"], "shop-ca");
    EXPECT_FALSE(secrets.contains("store-headers"));
}

decide::ServerWorld a_server_with_stores() {
    decide::ServerWorld world;
    world.now = noon;
    world.settings.agent_image = "agent:1";
    world.server = the_server();
    world.server.stores = {s3_store("nightly", "Scheduled"), http_store(), claim_store()};
    world.workload = the_workload();
    return world;
}

// One round, on a fresh look where it asks for one: the plan, with what it saves taken over.
Plan round(decide::ServerWorld& world) {
    Plan plan = decide::decide_server(world);
    if (plan.needs_fresh) {
        world.fresh = true;
        plan = decide::decide_server(world);
        world.fresh = false;
    }
    if (const auto* save = find_action<decide::SaveServer>(plan)) world.server.status = save->status;
    return plan;
}

// Rounds until a Job is asked for; a plan without one where none is.
Plan until_job(decide::ServerWorld& world) {
    Plan plan = round(world);
    for (int i = 0; i < 3 && job_in(plan).is_null(); ++i) plan = round(world);
    return plan;
}

// The Job of the plan ends with this result.
void end_job(decide::ServerWorld& world, const Plan& plan, const resources::AgentResult& result) {
    resources::Job job;
    job.meta.name = job_in(plan)["metadata"]["name"];
    job.meta.uid = job.meta.name + "-uid";
    job.meta.labels[decide::step_label] = decide::catalog_step;
    job.complete = true;
    world.jobs.push_back(job);
    world.reports[job.meta.name].result = result;
}

TEST(Catalog, lists_one_store_after_the_other_and_again_after_the_interval) {
    decide::ServerWorld world = a_server_with_stores();
    EXPECT_TRUE(job_in(round(world)).is_null()) << "the attempt is saved before its Job is made";
    Plan plan = until_job(world);
    ASSERT_TRUE(job_in(plan).is_object());
    EXPECT_EQ(request_in(job_in(plan)).store.name, "nightly");
    resources::AgentResult found;
    found.outcome = resources::AgentResult::Outcome::done;
    found.backup_count = 250;
    found.backups = {{"monday", noon, 1, "\"e\""}, {"sunday", noon - std::chrono::hours(24), 1, ""}};
    end_job(world, plan, found);
    world.now += std::chrono::seconds(3);
    plan = until_job(world);
    ASSERT_TRUE(job_in(plan).is_object());
    EXPECT_EQ(request_in(job_in(plan)).store.name, "by-hand") << "an HTTP server is not listed";
    found.backups = {{"by me", noon - std::chrono::hours(1), 1, ""}};
    found.backup_count = 1;
    end_job(world, plan, found);
    world.now += std::chrono::seconds(3);
    plan = round(world);
    const auto& status = world.server.status;
    std::vector<std::string> names;
    for (const auto& listed : status.backups) names.push_back(listed.store + "/" + listed.backup.name);
    EXPECT_EQ(names, (std::vector<std::string>{"nightly/monday", "by-hand/by me", "nightly/sunday"}));
    EXPECT_TRUE(resources::condition_is(status.conditions, "BackupsListed", Truth::yes));
    EXPECT_NE(resources::find_condition(status.conditions, "BackupsListed")
                  ->message.find("251 backups in 2 stores"),
              std::string::npos);
    EXPECT_TRUE(job_in(until_job(world)).is_null());
    world.now += std::chrono::seconds(600);
    plan = until_job(world);
    ASSERT_TRUE(job_in(plan).is_object());
    EXPECT_EQ(std::string(job_in(plan)["metadata"]["name"]).substr(12), "-catalog-3");
    EXPECT_TRUE(asks_for<decide::DeleteJob>(plan)) << "the last Job of each store is enough";
}

TEST(Catalog, lists_a_store_anew_for_each_restore_from_it_and_once) {
    decide::ServerWorld world = a_server_with_stores();
    resources::AgentResult found;
    found.outcome = resources::AgentResult::Outcome::done;
    for (const char* store : {"nightly", "by-hand"}) {
        const Plan plan = until_job(world);
        ASSERT_EQ(request_in(job_in(plan)).store.name, store);
        end_job(world, plan, found);
        round(world);
    }
    world.now += std::chrono::seconds(60);
    EXPECT_TRUE(job_in(until_job(world)).is_null());
    world.holder = World(asking("ManualBackup", "by-hand", latest)).restore;
    world.now -= std::chrono::seconds(5);  // no time decides it
    const Plan plan = until_job(world);
    ASSERT_TRUE(job_in(plan).is_object());
    EXPECT_EQ(request_in(job_in(plan)).store.name, "by-hand");
    end_job(world, plan, found);
    round(world);
    EXPECT_TRUE(job_in(until_job(world)).is_null());
}

TEST(Catalog, lists_the_repository_and_once_more_after_each_restore) {
    decide::ServerWorld world = a_server_with_stores();
    world.server.stores.clear();
    world.server.repository = {"shop", "shop-pgbackrest"};
    Plan plan = until_job(world);
    ASSERT_TRUE(job_in(plan).is_object());
    EXPECT_EQ(request_in(job_in(plan)).stanza, "shop");
    bool mounts_data = false, mounts_repository = false;
    const auto manifest = job_in(plan);
    for (const auto& volume : manifest["spec"]["template"]["spec"]["volumes"]) {
        mounts_data = mounts_data || volume["name"] == "data";
        mounts_repository = mounts_repository || volume["name"] == "repository";
    }
    EXPECT_TRUE(mounts_repository);
    EXPECT_FALSE(mounts_data) << "beside whatever happens to the data";
    resources::AgentResult found;
    found.outcome = resources::AgentResult::Outcome::done;
    found.backup_count = 2;
    found.reachable = {"2026-11-22T10:00:00Z", "2026-11-22T11:00:00Z", {{1, 0, "", "", ""}}};
    end_job(world, plan, found);
    round(world);
    EXPECT_EQ(world.server.status.reachable, found.reachable);
    EXPECT_EQ(resources::find_condition(world.server.status.conditions, "BackupsListed")->message,
              "2 backups in 1 stores");
    world.now += std::chrono::seconds(5);
    EXPECT_TRUE(job_in(until_job(world)).is_null());
    world.server.status.history.push_back({"back", "b-1", "Succeeded", "", world.now, "", 0, {}});
    plan = until_job(world);
    ASSERT_TRUE(job_in(plan).is_object()) << "a timeline may have begun";
    resources::AgentResult refused;
    refused.reason = "RepositoryUnreadable";
    end_job(world, plan, refused);
    round(world);
    EXPECT_EQ(world.server.status.reachable, found.reachable) << "what was known is better than nothing";
    EXPECT_TRUE(job_in(until_job(world)).is_null());
    world.server.repository.reset();
    round(world);
    EXPECT_FALSE(world.server.status.reachable);
    EXPECT_TRUE(world.server.status.stores.empty());
}

TEST(Catalog, what_was_seen_of_a_backup_stays_while_it_is_the_same) {
    decide::ServerWorld world = a_server_with_stores();
    world.server.stores.resize(1);
    const auto listed = [](resources::Backup backup, const char* format, const char* version) {
        backup.format = format;
        backup.server_version = version;
        return resources::ListedBackup{"nightly", "Scheduled", backup};
    };
    const resources::Backup monday{"monday", noon, 1, ""},
        sunday{"sunday", noon - std::chrono::hours(24), 1, ""};
    world.server.status.backups = {listed(monday, "custom", "15.17"), listed(sunday, "custom", "15.17")};
    round(world);
    const Plan plan = round(world);
    resources::AgentResult found;
    found.outcome = resources::AgentResult::Outcome::done;
    found.backups = {listed({"tuesday", noon + std::chrono::hours(24), 1, ""}, "tar", "15.18").backup, monday,
                     sunday};
    found.backups[2].size_bytes = 2;
    end_job(world, plan, found);
    round(world);
    std::vector<std::string> seen;
    for (const auto& [store, kind, backup] : world.server.status.backups)
        seen.push_back(backup.name + " " + backup.format + " " + backup.server_version);
    EXPECT_EQ(seen, (std::vector<std::string>{"tuesday tar 15.18", "monday custom 15.17", "sunday  "}));
}

TEST(Catalog, says_what_failed_and_keeps_what_was_known) {
    decide::ServerWorld world = a_server_with_stores();
    world.server.stores.resize(1);
    world.server.status.backups = {{"nightly", "Scheduled", {"monday", noon, 1, ""}},
                                   {"gone", "Dump", {"x", noon, 1, ""}}};
    round(world);
    const Plan plan = round(world);
    resources::AgentResult refused;
    refused.reason = "StoreAccessDenied";
    refused.message = "403";
    end_job(world, plan, refused);
    round(world);
    const auto& status = world.server.status;
    ASSERT_EQ(status.backups.size(), 1u) << "a store that is gone is forgotten";
    EXPECT_EQ(status.backups[0].backup.name, "monday");
    const auto* condition = resources::find_condition(status.conditions, "BackupsListed");
    ASSERT_NE(condition, nullptr);
    EXPECT_EQ(condition->reason, "StoreAccessDenied");
    EXPECT_EQ(condition->message, "nightly: 403");
    world.server.stores.clear();
    round(world);
    EXPECT_TRUE(world.server.status.backups.empty());
    EXPECT_EQ(resources::find_condition(world.server.status.conditions, "BackupsListed"), nullptr);
}

TEST(Catalog, a_store_that_never_answers_keeps_none_of_the_others_waiting) {
    decide::ServerWorld world = a_server_with_stores();
    world.server.stores = {s3_store("dead", "Scheduled"), claim_store()};
    world.server.catalog_interval_seconds = 30;
    std::set<std::string> asked;
    for (int i = 0; i < 6; ++i) {
        const Plan plan = until_job(world);
        ASSERT_TRUE(job_in(plan).is_object());
        asked.insert(request_in(job_in(plan)).store.name);
        world.now += std::chrono::seconds(601);
    }
    EXPECT_EQ(asked, (std::set<std::string>{"dead", "by-hand"}));
}

TEST(Catalog, a_job_is_made_and_removed_on_a_fresh_look_only) {
    decide::ServerWorld world = a_server_with_stores();
    world.server.stores.resize(1);
    round(world);
    EXPECT_EQ(told(decide::decide_server(world)), "LookFresh") << "a cache may not show yet that it is there";
    end_job(world, round(world), {});
    world.now += std::chrono::seconds(3);
    round(world);
    world.server.stores.clear();
    EXPECT_EQ(told(decide::decide_server(world)), "LookFresh") << "it may be another leader's newest";
}

TEST(Catalog, a_clock_that_was_set_back_neither_lists_without_end_nor_stops_the_listing) {
    decide::ServerWorld world = a_server_with_stores();
    world.server.stores.resize(1);
    const Plan plan = until_job(world);
    end_job(world, plan, {});
    world.now -= std::chrono::minutes(15);
    round(world);
    EXPECT_EQ(told(round(world)), "") << "its end is taken note of once";
    world.now += std::chrono::seconds(601);
    EXPECT_TRUE(job_in(until_job(world)).is_object());
    world.server.status.stores[0].start_time.reset();
    world.server.status.stores[0].list_time = world.now + std::chrono::hours(24 * 365);
    EXPECT_TRUE(job_in(until_job(world)).is_object()) << "what was listed in a future was listed too early";
}

TEST(Catalog, the_end_of_a_long_listing_may_be_heard_of_before_its_result) {
    decide::ServerWorld world = a_server_with_stores();
    world.server.stores.resize(1);
    end_job(world, until_job(world), {});
    world.now += std::chrono::seconds(300);
    world.jobs[0].end_time = world.now - std::chrono::seconds(1);
    world.reports.clear();
    round(world);
    EXPECT_EQ(world.server.status.stores[0].reason, "") << "it is waited for";
    world.now += std::chrono::seconds(61);
    round(world);
    EXPECT_EQ(world.server.status.stores[0].reason, "ResultLost");
}

TEST(Catalog, a_jobs_name_is_not_used_again_for_a_store_that_was_away) {
    decide::ServerWorld world = a_server_with_stores();
    world.server.stores.resize(1);
    const auto stores = world.server.stores;
    const std::string first = job_in(until_job(world))["metadata"]["name"];
    world.server.stores.clear();
    round(world);
    world.jobs.clear();
    world.server.stores = stores;
    EXPECT_NE(job_in(until_job(world))["metadata"]["name"], first);
}

TEST(Catalog, a_jobs_name_is_never_used_for_another_store) {
    decide::ServerWorld world = a_server_with_stores();
    world.server.stores = {s3_store("old", "Scheduled")};
    Plan plan = until_job(world);
    const std::string first = job_in(plan)["metadata"]["name"];
    end_job(world, plan, {});
    round(world);
    world.server.stores = {s3_store("new", "Scheduled")};
    plan = until_job(world);
    ASSERT_TRUE(job_in(plan).is_object());
    EXPECT_NE(job_in(plan)["metadata"]["name"], first);
}

TEST(Catalog, a_job_without_an_end_is_given_up) {
    decide::ServerWorld world = a_server_with_stores();
    world.server.stores.resize(1);
    round(world);
    round(world);
    world.now += std::chrono::seconds(601);
    round(world);
    EXPECT_EQ(world.server.status.stores[0].reason, "ResultLost");
}

}  // namespace
}  // namespace dbrestore::testing
