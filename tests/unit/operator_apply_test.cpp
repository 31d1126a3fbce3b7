#include <gtest/gtest.h>

#include "operator/apply.h"
#include "support/fake_http.h"
#include "support/world_builder.h"

namespace dbrestore::op {
namespace {

using nlohmann::json;
using test::FakeHttp;

class StoppedClock final : public base::Clock {
public:
    base::Time now() const override { return testing::noon; }
};

class Apply : public ::testing::Test {
protected:
    Apply() {
        world_.restore.meta.namespace_name = "shop";
        world_.restore.meta.name = "friday";
        world_.restore.meta.uid = "11111111-2222";
        world_.restore.meta.resource_version = "7";
        world_.server.emplace();
        world_.server->meta.namespace_name = "shop";
        world_.server->meta.name = "db";
        world_.server->meta.resource_version = "70";
        world_.workload.emplace();
        world_.workload->kind = "StatefulSet";
        world_.workload->meta.namespace_name = "shop";
        world_.workload->meta.name = "db";
        world_.workload->meta.resource_version = "700";
    }

    base::Status apply(std::vector<decide::Action> actions) {
        return applier_.apply(world_, {std::move(actions), "", false, std::nullopt});
    }
    json sent(size_t index) const { return json::parse(server_.requests.at(index).body); }
    void answer_with_version(const std::string& version) {
        server_.respond(200, R"({"metadata": {"resourceVersion": ")" + version + R"("}})");
    }

    FakeHttp server_;
    kube::Client client_{server_};
    OwnWrites own_writes_;
    Metrics metrics_;
    StoppedClock clock_;
    Applier applier_{client_, own_writes_, metrics_, clock_};
    decide::World world_;
};

TEST_F(Apply, StatusIsSavedWithTheVersionThatWasRead) {
    answer_with_version("8");
    auto status = world_.restore.status;
    status.phase = resources::Phase::queued;
    ASSERT_TRUE(apply({decide::SaveRestore{status}}));
    EXPECT_NE(server_.target(0).find("/databaserestores/friday/status?"), std::string::npos);
    EXPECT_NE(server_.target(0).find("fieldManager=dbrestore&"), std::string::npos);
    EXPECT_EQ(sent(0)["metadata"]["resourceVersion"], "7");
    EXPECT_EQ(sent(0)["status"]["phase"], "Queued");
}

TEST_F(Apply, TwoWritesOfOneServerCarryEachOthersVersion) {
    answer_with_version("71");
    answer_with_version("72");
    ASSERT_TRUE(apply({decide::SaveServer{}, decide::SaveLock{}}));
    EXPECT_EQ(sent(0)["metadata"]["resourceVersion"], "70");
    EXPECT_EQ(sent(1)["metadata"]["resourceVersion"], "71");
    EXPECT_NE(server_.target(0).find("fieldManager=dbrestore&"), std::string::npos);
    EXPECT_NE(server_.target(1).find("fieldManager=dbrestore-lock&"), std::string::npos);
}

TEST_F(Apply, TheFirstErrorEndsTheRound) {
    server_.respond(409, R"({"message": "the object has been modified"})");
    const auto applied = apply({decide::SaveRestore{}, decide::Scale{0}});
    ASSERT_FALSE(applied);
    EXPECT_EQ(applied.error().kind, base::ErrorKind::conflict);
    EXPECT_EQ(server_.requests.size(), 1u) << "the scale must not follow a status that was not saved";
}

TEST_F(Apply, ScalingDownIsBoundToWhatWasChecked) {
    answer_with_version("701");
    ASSERT_TRUE(apply({decide::Scale{0}}));
    EXPECT_NE(server_.target(0).find("/statefulsets/db/scale"), std::string::npos);
    EXPECT_EQ(sent(0)["metadata"]["resourceVersion"], "700");
    EXPECT_EQ(sent(0)["spec"]["replicas"], 0);
    world_.workload->kind = "Deployment";
    answer_with_version("702");
    ASSERT_TRUE(apply({decide::Scale{0}}));
    EXPECT_NE(server_.target(1).find("/deployments/db/scale"), std::string::npos);
}

TEST_F(Apply, FinalizersOfOthersStay) {
    world_.restore.meta.finalizers = {"example.com/theirs"};
    answer_with_version("8");
    answer_with_version("71");
    ASSERT_TRUE(apply({decide::AddFinalizers{}}));
    EXPECT_EQ(sent(0)["metadata"]["finalizers"], (json{"example.com/theirs", resources::finalizer_name}));
    EXPECT_EQ(sent(1)["metadata"]["finalizers"], (json{resources::finalizer_name}));
}

TEST_F(Apply, TheServersFinalizerStaysWhileAnotherRestoreHoldsItsLock) {
    world_.restore.meta.finalizers = world_.server->meta.finalizers = {resources::finalizer_name};
    world_.server->lock.active_restore = resources::ActiveRestore{"saturday", "other-uid"};
    answer_with_version("8");
    ASSERT_TRUE(apply({decide::RemoveFinalizers{}}));
    ASSERT_EQ(server_.requests.size(), 1u);
    EXPECT_NE(server_.target(0).find("/databaserestores/friday"), std::string::npos);
}

json job_of(const std::string& uid) {
    return {{"metadata",
             {{"name", "dbr-11111111-prepare-1"},
              {"namespace", "shop"},
              {"resourceVersion", "9"},
              {"labels", {{decide::restore_uid_label, uid}}}}}};
}

// In a terminating namespace: its restore is gone, so nobody else would take it away.
TEST_F(Apply, TheServersOwnDecisionRemovesItsFinalizerWhoeverHoldsTheLock) {
    decide::ServerWorld world;
    world.server = *world_.server;
    world.server.meta.finalizers = {resources::finalizer_name};
    world.server.lock.active_restore = resources::ActiveRestore{"gone", "its-uid"};
    answer_with_version("71");
    ASSERT_TRUE(applier_.apply(world, {{decide::RemoveFinalizers{}}, "", false, std::nullopt}));
    ASSERT_EQ(server_.requests.size(), 1u);
    EXPECT_NE(server_.target(0).find("/postgresservers/db?"), std::string::npos);
    EXPECT_EQ(sent(0)["metadata"]["finalizers"], json::array());
}

TEST_F(Apply, AJobThatExistsAlreadyAndIsOursIsSuccess) {
    server_.respond(409, R"({"reason": "AlreadyExists"})").respond(200, job_of("11111111-2222").dump());
    EXPECT_TRUE(apply({decide::CreateJob{job_of("11111111-2222")}}));
}

TEST_F(Apply, AJobOfThatNameThatIsNotOursIsRefused) {
    server_.respond(409, R"({"reason": "AlreadyExists"})").respond(200, job_of("somebody-else").dump());
    const auto applied = apply({decide::CreateJob{job_of("11111111-2222")}});
    ASSERT_FALSE(applied);
    EXPECT_EQ(applied.error().kind, base::ErrorKind::refused);
}

TEST_F(Apply, AJobThatIsBeingDeletedIsNoSuccess) {
    json dying = job_of("11111111-2222");
    dying["metadata"]["deletionTimestamp"] = "2026-11-22T12:00:00Z";
    server_.respond(409, R"({"reason": "AlreadyExists"})").respond(200, dying.dump());
    EXPECT_FALSE(apply({decide::CreateJob{job_of("11111111-2222")}}));
}

TEST_F(Apply, AnEventThatCannotBeRecordedDoesNotStopTheRestore) {
    server_.respond(403, R"({"message": "no"})");
    answer_with_version("8");
    EXPECT_TRUE(apply({decide::Speak{false, "Stopping", "all checks passed"}, decide::SaveRestore{}}));
    EXPECT_EQ(server_.requests.size(), 2u);
}

TEST_F(Apply, AnEventsLongNoteIsCutBetweenCharacters) {
    answer_with_version("8");
    std::string note = "x";
    while (note.size() < 1200) note += "ü";
    ASSERT_TRUE(apply({decide::Speak{true, "RestoreFailed", note}}));
    EXPECT_EQ(sent(0)["note"].get<std::string>().size(), 999u);
}

TEST_F(Apply, ARestoreThatEndedIsCountedOnce) {
    auto status = world_.restore.status;
    world_.restore.spec.type = "Dump";
    status.phase = resources::Phase::succeeded;
    status.downtime_seconds = 12;
    answer_with_version("8");
    answer_with_version("9");
    ASSERT_TRUE(apply({decide::SaveRestore{status}, decide::SaveRestore{status}}));
    kube::WorkQueue queue;
    Caches caches(queue, queue);
    const std::string text = metrics_.expose(caches, {{"restore", &queue}}, 2, true);
    EXPECT_NE(text.find(R"(dbrestore_restores_total{namespace="shop",result="Succeeded",type="Dump"} 1)"),
              std::string::npos)
        << text;
    EXPECT_NE(text.find("dbrestore_database_downtime_seconds_sum"), std::string::npos);
}

TEST(OwnWrites, AKeyWaitsUntilTheCacheHasSeenOurWrite) {
    OwnWrites writes;
    kube::Cache<resources::Job> cache(
        [](const json& o) { return std::optional(resources::job_from_json(o)); });
    cache.begin_replace();
    cache.finish_replace(5);
    const resources::Key key{"shop", "friday"};
    EXPECT_TRUE(writes.seen("job", key, cache, testing::noon));
    writes.remember("job", key, "6", testing::noon);
    EXPECT_FALSE(writes.seen("job", key, cache, testing::noon));
    cache.advance(6);
    EXPECT_TRUE(writes.seen("job", key, cache, testing::noon));
}

TEST(OwnWrites, AnApiServerThatCountsAnewDoesNotBlockAKeyForever) {
    OwnWrites writes;
    kube::Cache<resources::Job> cache(
        [](const json& o) { return std::optional(resources::job_from_json(o)); });
    writes.remember("job", {"shop", "friday"}, "6000", testing::noon);
    EXPECT_FALSE(writes.seen("job", {"shop", "friday"}, cache, testing::noon + std::chrono::seconds(9)));
    EXPECT_TRUE(writes.seen("job", {"shop", "friday"}, cache, testing::noon + std::chrono::seconds(11)));
}

}  // namespace
}  // namespace dbrestore::op
