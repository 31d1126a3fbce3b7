// One agent step after the other: attempts, lost results, Jobs that vanish or never start.

#include <gtest/gtest.h>

#include "support/decision_table.h"

namespace dbrestore::testing {
namespace {

WorldBuilder preparing() {
    return a_restore().in(Phase::preparing).at_rest();
}
WorldBuilder attempt(int64_t number) {
    return preparing().with_job("prepare", number);
}
void delete_job(World& w) {
    w.jobs.clear();
}
void forget_job(World& w) {
    w.restore.status.step->job_uid.clear();
}
void end_job_only(World& w) {
    w.jobs[0].failed = true;
}

TEST(Step, is_repeated_where_another_attempt_may_do_better) {
    const std::string again = "SaveRestore(Preparing) Speak(",
                      back = "SaveRestore(RollingBack) Speak(RollingBack)";
    check({
        {"a result to repeat", attempt(1).that_ended(retryable("DiskAway", "EIO")), again + "DiskAway)",
         "Preparing", "once more: EIO"},
        {"the last allowed attempt", attempt(3).that_ended(retryable("DiskAway", "EIO")), back, "RollingBack",
         "EIO (after 3 attempts)"},
        {"a lost result", attempt(2).that_lost_its_result(), again + "ResultLost)", "Preparing",
         "its pod ended without a result"},
        {"a lost result of the last attempt", attempt(3).that_lost_its_result(), back, "RollingBack",
         "ResultLost"},
        {"the pod is gone with its result",
         attempt(1).that_lost_its_result().without_pods().where([](World& w) { w.report.reset(); }),
         again + "ResultLost)", "Preparing", "its pod is gone"},
        {"somebody deleted the Job", attempt(1).without_pods().where(delete_job).seen_fresh(),
         again + "JobDeleted)", "Preparing", "somebody deleted Job dbr-11111111-prepare-1"},
        {"a cache that does not see the Job is not believed", attempt(1).without_pods().where(delete_job),
         "LookFresh"},
        {"the last Job was deleted", attempt(3).without_pods().where(delete_job).seen_fresh(), back,
         "RollingBack", "JobDeleted"},
        {"a pod without its Job tells that there was one, also where nobody noted it",
         attempt(1).where(delete_job).where(forget_job).seen_fresh(), again + "JobDeleted)", "Preparing",
         "somebody deleted Job dbr-11111111-prepare-1"},
        {"a Job called failed whose pod still runs may still write", attempt(1).where(end_job_only),
         "SaveRestore(Preparing)", "Preparing"},
    });
    const World given = attempt(1).that_ended(retryable());
    const auto step = status_after(given, decide::decide(given)).step;
    EXPECT_EQ(step->attempt, 2);
    EXPECT_EQ(step->job_uid, "");
    EXPECT_EQ(step->start_time, given.now);
}

TEST(Step, that_cannot_start_says_why_and_is_given_up) {
    const auto never_started = [](World& w) {
        w.pods[0].phase = "Pending";
        w.pods[0].containers[0].running = false;
    };
    const auto image = [](World& w) {
        w.pods[0].containers[0].waiting_reason = "ImagePullBackOff";
        w.pods[0].containers[0].waiting_message = "no such image";
    };
    const auto quota = [](World& w) {
        resources::EventNote note;
        note.reason = "FailedCreate";
        note.message = "exceeded quota";
        w.notes.push_back(note);
    };
    const std::string saved = "SaveRestore(Preparing)";
    check({
        {"a minute is no reason to worry", attempt(1).where(never_started).after_seconds(60), saved,
         "Preparing"},
        {"later its reason is shown", attempt(1).where(never_started).where(image).after_seconds(61), saved,
         "PodNotStarted", "ImagePullBackOff: no such image"},
        {"an event knows more", attempt(1).where(never_started).where(quota).after_seconds(61), saved,
         "PodNotStarted", "FailedCreate: exceeded quota"},
        {"after ten minutes it is given up", attempt(1).where(never_started).where(quota).after_seconds(601),
         saved + " DeleteJob(dbr-11111111-prepare-1)", "PodNotStarted", "exceeded quota"},
        {"time before the Job was made does not count",
         attempt(1).where(never_started).after_seconds(5000).where([](World& w) {
             w.jobs[0].meta.creation_time = w.now;
         }),
         saved, "Preparing"},
        {"what runs is never given up", attempt(1).after_seconds(80000), saved, "Preparing"},
        {"a pod that does not end: no guess",
         attempt(1).after_seconds(601).where([](World& w) { w.pods[0].meta.deleting = true; }), saved,
         "FencingUnknown"},
    });
    World given =
        attempt(3).where(never_started).where(quota).after_seconds(601).seen_fresh().where([](World& w) {
            w.restore.status.step->job_uid.clear();
        });
    given.restore.status = status_after(given, decide::decide(given));
    EXPECT_FALSE(given.restore.status.step->job_uid.empty());
    given.jobs.clear();
    given.pods.clear();
    const auto status = status_after(given, decide::decide(given));
    ASSERT_TRUE(status.failure);
    EXPECT_EQ(status.failure->reason, "PodNotStarted")
        << "what ended it is why it did not start, not that its Job was deleted";
    EXPECT_NE(status.failure->message.find("exceeded quota"), std::string::npos);
}

TEST(Step, shows_the_progress_that_its_pod_reports) {
    const World given = attempt(1).where([](World& w) {
        w.report = resources::AgentReport{};
        w.report->progress = resources::Progress{"", "table shop.orders", 42, 10, 20, 0, 0, 7};
    });
    const auto status = status_after(given, decide::decide(given));
    EXPECT_EQ(*status.progress, (resources::Progress{"prepare", "table shop.orders", 42, 10, 20, 0, 0, 7}));
}

TEST(Narration, cuts_long_messages_between_characters) {
    std::string long_text(3999, 'x');
    long_text += "äöü";  // the bound of 4000 bytes falls inside the first
    const World given = attempt(1).that_ended(failed("TooLong", long_text));
    const auto status = status_after(given, decide::decide(given));
    EXPECT_NO_THROW(static_cast<void>(resources::to_json(status).dump()));
    EXPECT_LE(message_of(status, "Succeeded").size(), 4000u);
}

TEST(Narration, every_condition_has_a_reason_since_the_API_refuses_one_without) {
    const World given = attempt(1).that_ended(failed("", ""));
    World next = given;
    next.restore.status = status_after(given, decide::decide(given));
    for (const auto& condition : next.restore.status.conditions)
        EXPECT_NE(condition.reason, "") << condition.type;
    EXPECT_EQ(next.restore.status.failure->reason, "StepFailed");
}

TEST(Narration, the_summary_follows_the_phase_as_tools_expect) {
    const auto after = [](Phase phase) {
        const World w = a_restore().in(phase).seen_fresh();
        const auto plan = decide::decide(w);
        return status_after(w, plan).conditions;
    };
    const auto running = after(Phase::queued);
    EXPECT_TRUE(condition_is(running, "Succeeded", Truth::unknown));
    EXPECT_TRUE(condition_is(running, "Reconciling", Truth::yes));
    EXPECT_TRUE(condition_is(running, "Stalled", Truth::no));
    const auto good = after(Phase::succeeded);
    EXPECT_TRUE(condition_is(good, "Succeeded", Truth::yes));
    EXPECT_TRUE(condition_is(good, "Complete", Truth::yes));
    EXPECT_TRUE(condition_is(good, "Failed", Truth::no));
    for (const Phase phase : {Phase::failed, Phase::cancelled}) {
        const auto bad = after(phase);
        EXPECT_TRUE(condition_is(bad, "Succeeded", Truth::no));
        EXPECT_TRUE(condition_is(bad, "Failed", Truth::yes));
        EXPECT_TRUE(condition_is(bad, "Stalled", Truth::yes));
        EXPECT_TRUE(condition_is(bad, "Reconciling", Truth::no));
    }
}

}  // namespace
}  // namespace dbrestore::testing
