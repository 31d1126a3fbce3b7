// A lock whose holder's object is gone: not freed, but taken over.

#include <gtest/gtest.h>

#include "decide/take_over.h"
#include "support/world_builder.h"

namespace dbrestore::testing {
namespace {

// What the lock says, and nothing else of the restore.
decide::ServerWorld abandoned(const WorldBuilder& left) {
    const World seen = left;
    decide::ServerWorld world;
    world.now = seen.now;
    world.settings = seen.settings;
    world.server = *seen.server;
    world.workload = seen.workload;
    world.vanished = seen;
    world.vanished->vanished = true;
    world.vanished->restore = decide::vanished_holder(world.server, seen.now);
    return world;
}

WorldBuilder fenced() {
    return a_restore().in(Phase::preparing).at_rest().where([](World& w) {
        w.server->lock.data_owner = resources::DataOwner{70, 70};
    });
}

WorldBuilder in_take_over(const char* step, int64_t sequence) {
    return fenced().seen_fresh().where([=](World& w) {
        w.server->status.take_over = resources::StepAttempt{step, 1, noon, {}, sequence, 0};
    });
}

TEST(TakeOver, rolls_back_what_the_restore_began_as_the_datas_owner_with_a_number_above_all_others) {
    EXPECT_EQ(told(decide::decide_server(abandoned(fenced()))), "LookFresh");
    const auto first = decide::decide_server(abandoned(fenced().seen_fresh()));
    EXPECT_EQ(told(first), "Speak(LockTakenOver) SaveServer");
    const auto& step = find_action<decide::SaveServer>(first)->status.take_over;
    ASSERT_TRUE(step);
    EXPECT_EQ(step->name, "rollback");
    const auto job = decide::decide_server(abandoned(in_take_over("rollback", step->sequence)));
    EXPECT_EQ(told(job), "CreateJob(rollback)");
    const auto& pod = find_action<decide::CreateJob>(job)->manifest["spec"]["template"]["spec"];
    EXPECT_EQ(pod["securityContext"]["runAsUser"], 70);
    const auto request = nlohmann::json::parse(pod["containers"][0]["env"][0]["value"].get<std::string>());
    EXPECT_GT(request["sequence"], 1'000'000);
}

TEST(TakeOver, waits_for_the_pods_that_the_restore_left) {
    const auto plan = decide::decide_server(abandoned(fenced().with_job("prepare", 1).seen_fresh()));
    EXPECT_EQ(told(plan), "Speak(LockTakenOver) DeleteJob(dbr-11111111-prepare-1)");
}

TEST(TakeOver, gives_the_workload_its_size_and_frees_the_lock_last) {
    const auto step = [](WorldBuilder world) { return told(decide::decide_server(abandoned(world))); };
    EXPECT_EQ(step(in_take_over("restart", 1'000'000'001)), "SaveLock(held)") << "fence down first";
    const auto open = [](World& w) { w.server->lock.fence.reset(); };
    EXPECT_EQ(step(in_take_over("restart", 1'000'000'001).where(open)), "Scale(1)");
    const auto ended =
        abandoned(in_take_over("restart", 1'000'000'001).where(open).scaled_to(1).with_pod(a_database_pod()));
    const auto plan = decide::decide_server(ended);
    EXPECT_EQ(told(plan), "SaveServer SaveLock(free) RemoveFinalizers");
    const auto& status = find_action<decide::SaveServer>(plan)->status;
    EXPECT_FALSE(status.take_over);
    ASSERT_EQ(status.history.size(), 1u);
    EXPECT_EQ(status.history[0].result, "Failed");
    EXPECT_EQ(status.history[0].previous_database, "") << "it was rolled back";
}

TEST(TakeOver, without_the_fence_keeps_what_may_have_been_served_and_the_old_database_beside_it) {
    const auto started = [](const char* step) {
        return a_restore().in(Phase::starting).with_lock().seen_fresh().where([=](World& w) {
            w.server->lock.original_replicas = 1;
            if (step != nullptr)
                w.server->status.take_over = resources::StepAttempt{step, 1, noon, {}, 1'000'000'000, 0};
        });
    };
    const auto first = decide::decide_server(abandoned(started(nullptr)));
    EXPECT_EQ(told(first), "Speak(LockTakenOver) SaveServer");
    EXPECT_EQ(find_action<decide::SaveServer>(first)->status.take_over->name, "restart") << "no rollback";
    const auto last = decide::decide_server(abandoned(started("restart")));
    EXPECT_EQ(find_action<decide::SaveServer>(last)->status.history[0].previous_database,
              "dbrestore_old_11111111");
}

// A rollback had raised the fence again, and what it saw may have been lost with the object: seed 40785.
TEST(TakeOver, with_the_fence_raised_again_keeps_what_may_have_been_served) {
    const auto plan = decide::decide_server(
        abandoned(fenced().seen_fresh().where([](World& w) { w.server->lock.may_be_served = true; })));
    EXPECT_EQ(told(plan), "Speak(LockTakenOver) SaveServer");
    EXPECT_EQ(find_action<decide::SaveServer>(plan)->status.take_over->name, "restart");
}

TEST(TakeOver, of_a_restore_that_had_stopped_nothing_only_frees_the_lock) {
    const auto plan =
        decide::decide_server(abandoned(a_restore().in(Phase::validating).with_lock().seen_fresh()));
    EXPECT_EQ(told(plan), "Speak(LockTakenOver) SaveServer SaveLock(free) RemoveFinalizers");
}

// It had ended, and vanished between its entry and the freeing of the lock.
TEST(TakeOver, of_a_restore_whose_end_is_in_the_history_leaves_that_as_it_is) {
    const resources::HistoryEntry entry{"bring-it-back",
                                        restore_uid,
                                        "Succeeded",
                                        "",
                                        noon,
                                        "dbrestore_old_11111111",
                                        7,
                                        noon + std::chrono::hours(1)};
    auto ended = abandoned(a_restore().in(Phase::starting).with_lock().seen_fresh().where([&](World& w) {
        w.server->lock.original_replicas = 1;
        w.server->status.history = {entry};
        w.server->status.take_over = resources::StepAttempt{"restart", 1, noon, {}, 1'000'000'000, 0};
    }));
    const auto plan = decide::decide_server(ended);
    EXPECT_EQ(told(plan), "SaveServer SaveLock(free) RemoveFinalizers");
    const auto& status = find_action<decide::SaveServer>(plan)->status;
    EXPECT_EQ(status.history, std::vector{entry});
    EXPECT_FALSE(status.take_over);
}

TEST(TakeOver, in_a_terminating_namespace_only_the_finalizer_goes) {
    decide::ServerWorld world = abandoned(fenced());
    world.vanished.reset();
    world.server.meta.deleting = world.namespace_terminating = true;
    EXPECT_EQ(told(decide::decide_server(world)), "RemoveFinalizers");
}

}  // namespace
}  // namespace dbrestore::testing
