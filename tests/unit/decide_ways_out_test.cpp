// Cancellation, deletion, deadlines, a terminating namespace: in each phase.

#include <gtest/gtest.h>

#include "support/decision_table.h"

namespace dbrestore::testing {
namespace {

void cancel(World& w) {
    w.restore.spec.cancel_requested = true;
}
void remove(World& w) {
    w.restore.meta.deleting = true;
}

WorldBuilder at(Phase phase) {
    WorldBuilder builder = a_restore().in(phase);
    if (phase == Phase::validating) builder.with_lock();
    if (phase == Phase::stopping) builder.asked_to_stop();
    if (phase > Phase::stopping) builder.at_rest();
    return builder;
}

TEST(WayOut, before_the_commit_a_cancel_and_a_deletion_turn_back) {
    const std::string cancelled = "SaveRestore(Cancelled) Speak(Cancelled)",
                      back = "SaveRestore(RollingBack) Speak(RollingBack)";
    check({
        {"cancelled while Pending", at(Phase::pending).where(cancel), cancelled, "Cancelled",
         "cancellation was requested"},
        {"deleted while Pending", at(Phase::pending).where(remove), cancelled, "Cancelled", "was deleted"},
        {"cancelled while Queued", at(Phase::queued).where(cancel), cancelled, "Cancelled"},
        {"cancelled while Validating", at(Phase::validating).where(cancel), back, "RollingBack", "Cancelled"},
        {"cancelled while Stopping", at(Phase::stopping).where(cancel), back, "RollingBack"},
        {"cancelled while Preparing", at(Phase::preparing).where(cancel), back, "RollingBack"},
        {"deleted while Preparing", at(Phase::preparing).where(remove), back, "RollingBack", "was deleted"},
        {"cancelled while Verifying", at(Phase::verifying).where(cancel), back, "RollingBack"},
        {"cancelled while awaiting approval", at(Phase::awaiting_approval).where(cancel), back,
         "RollingBack"},
        {"cancelled while Starting, the fence still up", at(Phase::starting).where(cancel), back,
         "RollingBack"},
    });
    for (const Phase phase : {Phase::validating, Phase::preparing}) {
        const World given = at(phase).where(cancel);
        EXPECT_TRUE(status_after(given, decide::decide(given)).failure->cancelled);
    }
}

TEST(WayOut, is_closed_once_data_may_be_exchanged_or_written) {
    const auto served = [](World& w) {
        w.server->lock.fence.reset();
        w.pods.push_back(a_database_pod(false));
        w.pods.back().has_been_ready = true;
        w.restore.status.conditions.push_back({"Cancelled", Truth::no, "CancelTooLate", "said", 1, noon});
    };
    for (const auto& ask : {cancel, remove}) {
        check({
            {"Committing goes on", at(Phase::committing).in_step("commit", 1).seen_fresh().where(ask),
             "CreateJob(commit)"},
            {"Starting goes on once a pod was ready, be it for a moment",
             at(Phase::starting).in_step("start", 1).scaled_to(1).where(served).where(ask), ""},
            {"RollingBack goes on", at(Phase::rolling_back).in_step("rollback", 1).seen_fresh().where(ask),
             "CreateJob(rollback)"},
            {"the end is the end", a_restore().in(Phase::failed).with_lock().where(ask),
             "SaveServer SaveLock(free) RemoveFinalizers"},
        });
    }
}

TEST(WayOut, until_a_pod_was_ready_a_cancel_swaps_back_and_later_it_is_told_that_it_comes_too_late) {
    const auto open = [](World& w) { w.server->lock.fence.reset(); };
    const auto starting = [&] { return at(Phase::starting).in_step("start", 1).scaled_to(1).where(open); };
    const auto with_pod = [](bool has_been_ready) {
        return [has_been_ready](World& w) {
            w.pods.push_back(a_database_pod(false));
            w.pods.back().has_been_ready = has_been_ready;
        };
    };
    const std::string back = "SaveRestore(RollingBack) Speak(RollingBack)";
    check({
        {"a cache may not have seen the pod that was ready", starting().where(cancel), "LookFresh"},
        {"no pod yet", starting().where(cancel).seen_fresh(), back},
        {"a pod that was never ready", starting().where(cancel).where(with_pod(false)).seen_fresh(), back},
        {"a pod that was ready", starting().where(cancel).where(with_pod(true)),
         "SaveRestore(Starting) Speak(CancelTooLate)"},
        {"a success", at(Phase::succeeded).where(cancel), "SaveRestore(Succeeded) Speak(CancelTooLate)"},
    });
    World told_once = at(Phase::succeeded).where(cancel);
    told_once.restore.status = status_after(told_once, decide::decide(told_once));
    EXPECT_EQ(reason_of(told_once.restore.status, "Cancelled"), "CancelTooLate");
    EXPECT_FALSE(asks_for<decide::Speak>(decide::decide(told_once)));
}

TEST(WayOut, deleting_the_server_object_cancels_the_restore_that_holds_its_lock) {
    const auto deleted = [](World& w) { w.server->meta.deleting = true; };
    const std::string back = "SaveRestore(RollingBack) Speak(RollingBack)";
    check({
        {"while Validating", at(Phase::validating).where(deleted), back, "RollingBack", "was deleted"},
        {"while Preparing", at(Phase::preparing).where(deleted), back, "RollingBack", "was deleted"},
        {"Committing goes on", at(Phase::committing).in_step("commit", 1).seen_fresh().where(deleted),
         "CreateJob(commit)"},
    });
}

TEST(WayOut, a_restore_that_waited_too_long_never_starts) {
    const auto too_late = [](Phase phase) { return at(phase).after_seconds(3601); };
    const std::string failed_by_time = "SaveRestore(Failed) Speak(StartDeadlineExceeded)";
    check({
        {"Pending", too_late(Phase::pending), failed_by_time, "StartDeadlineExceeded", "within 3600 s"},
        {"Queued", too_late(Phase::queued).with_lock_of("rival"), failed_by_time, "StartDeadlineExceeded"},
        {"Pending, and what it waited for is told", too_late(Phase::pending).where([](World& w) {
             resources::set_condition(w.restore.status.conditions,
                                      {"Succeeded", Truth::unknown, "ServerNotFound", "no server", 1, noon});
         }),
         failed_by_time, "StartDeadlineExceeded", "it waited for: no server"},
        {"at the last second it still starts", at(Phase::pending).after_seconds(3600),
         "SaveRestore(Queued) Speak(Queued)"},
        {"what has started is not touched by it",
         at(Phase::validating).in_step("preflight", 1).seen_fresh().after_seconds(3601),
         "CreateJob(preflight)"},
    });
}

TEST(WayOut, a_restore_that_waits_is_looked_at_when_its_start_deadline_passes) {
    for (const Phase phase : {Phase::pending, Phase::queued}) {
        const World waiting = at(phase).with_lock_of("rival").after_seconds(3590);
        const auto again = decide::decide(waiting).look_again_after;
        ASSERT_TRUE(again.has_value()) << resources::to_text(phase);
        EXPECT_LE(*again, std::chrono::milliseconds(10001));
    }
}

TEST(WayOut, the_active_deadline_counts_until_the_commit) {
    const auto after_a_minute = [](Phase phase) {
        return at(phase).where([](World& w) { w.restore.spec.active_deadline_seconds = 30; });
    };
    const std::string back = "SaveRestore(RollingBack) Speak(RollingBack)";
    check({
        {"Validating", after_a_minute(Phase::validating), back, "RollingBack", "DeadlineExceeded"},
        {"Stopping", after_a_minute(Phase::stopping), back},
        {"Preparing", after_a_minute(Phase::preparing), back},
        {"Verifying", after_a_minute(Phase::verifying), back},
        {"Committing is left to end", after_a_minute(Phase::committing).in_step("commit", 1).seen_fresh(),
         "CreateJob(commit)"},
    });
}

TEST(WayOut, in_a_terminating_namespace_only_the_finalizers_go) {
    const auto terminating = [](World& w) {
        w.namespace_terminating = true;
        w.restore.meta.deleting = true;
    };
    for (const Phase phase : {Phase::validating, Phase::preparing, Phase::starting, Phase::failed}) {
        check({{"with a finalizer", at(phase).with_lock().where(terminating), "RemoveFinalizers"}});
    }
    check({{"without one nothing happens", at(Phase::pending).where(terminating), ""}});
}

TEST(WayOut, a_phase_of_another_version_is_left_alone) {
    World given = at(Phase::preparing).where(cancel);
    given.restore.status = resources::restore_from_json({{"status", {{"phase", "Exchanging"}}}}).status;
    EXPECT_EQ(given.restore.status.phase, Phase::unknown);
    EXPECT_EQ(told(decide::decide(given)), "");
}

}  // namespace
}  // namespace dbrestore::testing
