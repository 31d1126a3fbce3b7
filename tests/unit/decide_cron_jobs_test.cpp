// CronJobs that are paused while a restore runs.

#include <gtest/gtest.h>

#include "support/decision_table.h"

namespace dbrestore::testing {
namespace {

resources::CronJob cron_job(bool suspended) {
    resources::CronJob job;
    job.suspended = suspended;
    return job;
}

// As the database is about to be scaled down, with the fence up.
WorldBuilder stopping_with_cron_jobs() {
    return a_restore().in(Phase::stopping).asked_to_stop().with_fence().where([](World& w) {
        w.fresh = true;
        w.server->suspend = {"backup", "report", "gone"};
        w.cron_jobs = {{"backup", cron_job(false)}, {"report", cron_job(true)}};
    });
}

const std::vector<resources::PausedCronJob> noted{{"backup", false}, {"report", true}};

TEST(CronJobs, are_noted_then_paused_before_the_database_is_stopped) {
    const World first = stopping_with_cron_jobs();
    const Plan plan = decide::decide(first);
    const auto* save = find_action<decide::SaveLock>(plan);
    ASSERT_NE(save, nullptr) << told(plan);
    EXPECT_EQ(save->lock.paused, noted);
    EXPECT_EQ(save->lock.fence, first.server->lock.fence) << "the rest of the lock stays";
    check({
        {"what runs is paused",
         stopping_with_cron_jobs().where([](World& w) { w.server->lock.paused = noted; }),
         "SuspendCronJob(backup)"},
        {"then the database is stopped", stopping_with_cron_jobs().where([](World& w) {
             w.server->lock.paused = noted;
             w.cron_jobs["backup"].suspended = true;
         }),
         "Scale(0)"},
    });
}

TEST(CronJobs, run_again_as_they_did_before_the_lock_is_freed) {
    const auto ended = [](Phase phase, bool backup_is_suspended) {
        return a_restore().in(phase).with_lock().where([=](World& w) {
            w.fresh = true;
            w.server->suspend = {"backup", "report"};
            w.server->lock.paused = noted;
            w.cron_jobs = {{"backup", cron_job(backup_is_suspended)}, {"report", cron_job(true)}};
        });
    };
    for (const Phase phase : {Phase::succeeded, Phase::failed, Phase::cancelled}) {
        check({
            {"ours is resumed, and no other", ended(phase, true), "ResumeCronJob(backup)"},
            {"then it is forgotten", ended(phase, false), "SaveLock(held)"},
            {"one that is gone is of no matter",
             ended(phase, true).where([](World& w) { w.cron_jobs.clear(); }), "SaveLock(held)"},
        });
    }
}

TEST(CronJobs, that_somebody_resumes_meanwhile_are_paused_again_and_given_back) {
    World world = stopping_with_cron_jobs().where([](World& w) {
        w.server->lock.paused = noted;
        w.cron_jobs["backup"].suspended = true;
        w.cron_jobs["report"].suspended = false;
    });
    const Plan plan = decide::decide(world);
    const auto* save = find_action<decide::SaveLock>(plan);
    ASSERT_NE(save, nullptr) << told(plan);
    EXPECT_FALSE(save->lock.paused[1].was_suspended) << "noted before it is acted on";
    world.server->lock = save->lock;
    EXPECT_EQ(told(decide::decide(world)), "SuspendCronJob(report)");
}

resources::CronJob set_by_its_owner(bool suspended) {
    resources::CronJob job = cron_job(suspended);
    job.set_by_others = true;
    return job;
}

TEST(CronJobs, that_their_owner_pauses_meanwhile_stay_paused) {
    World world = stopping_with_cron_jobs().where([](World& w) {
        w.server->lock.paused = noted;
        w.cron_jobs["backup"] = set_by_its_owner(true);
    });
    const Plan plan = decide::decide(world);
    const auto* save = find_action<decide::SaveLock>(plan);
    ASSERT_NE(save, nullptr) << told(plan);
    EXPECT_TRUE(save->lock.paused[0].was_suspended) << "paused by its owner before we did";
    check({{"nor is one resumed that its owner paused later",
            a_restore().in(Phase::succeeded).with_lock().where([](World& w) {
                w.fresh = true;
                w.server->suspend = {"backup"};
                w.server->lock.paused = noted;
                w.cron_jobs = {{"backup", set_by_its_owner(true)}};
            }),
            "SaveLock(held)"}});
}

TEST(CronJobs, that_do_not_exist_are_a_warning) {
    const World given = a_restore()
                            .in(Phase::validating)
                            .with_lock()
                            .with_job("preflight", 1)
                            .that_ended(done())
                            .where([](World& w) { w.server->suspend = {"gone"}; });
    const auto status = status_after(given, decide::decide(given));
    EXPECT_EQ(status.phase, Phase::stopping);
    const auto at =
        std::ranges::find(status.preflight, "CronJobNotFound", &resources::PreflightFinding::check);
    ASSERT_NE(at, status.preflight.end());
    EXPECT_EQ(at->outcome, resources::PreflightFinding::Outcome::warning);
}

}  // namespace
}  // namespace dbrestore::testing
