// Preparing to the end: the database is stopped, and must come back.

#include <gtest/gtest.h>

#include "support/decision_table.h"

namespace dbrestore::testing {
namespace {

const std::string rolls_back = "SaveRestore(RollingBack) Speak(RollingBack)";

WorldBuilder resting(Phase phase) {
    return a_restore().in(phase).at_rest();
}

struct Worker {
    Phase phase;
    const char* step;
    Phase next;
};

const std::vector<Worker> workers{{Phase::preparing, "prepare", Phase::verifying},
                                  {Phase::verifying, "verify", Phase::committing},
                                  {Phase::committing, "commit", Phase::starting}};

TEST(AtRest, no_Job_writes_without_fence_fresh_look_and_an_empty_volume) {
    for (const auto& worker : workers) {
        SCOPED_TRACE(worker.step);
        const auto waiting = [&] { return resting(worker.phase).in_step(worker.step, 1); };
        const std::string saved = "SaveRestore(" + to_text(worker.phase) + ")";
        check({
            {"the intent is saved first", resting(worker.phase).in_step("before", 1, "uid"), saved},
            {"a cached view makes no Job", waiting(), "LookFresh"},
            {"behind the fence, seen fresh", waiting().seen_fresh(),
             std::string("CreateJob(") + worker.step + ")"},
            {"the fence is down",
             waiting().seen_fresh().where([](World& w) { w.server->lock.fence.reset(); }),
             "SaveLock(held,fence)"},
            {"the fence is another's",
             waiting().seen_fresh().where([](World& w) { w.server->lock.fence->restore_uid = "x"; }),
             "SaveLock(held,fence)"},
            {"a foreign pod is on the volume",
             waiting().seen_fresh().with_pod(a_pod("backup", "data-shop-0")), saved, "", "pod \"backup\""},
            {"a foreign pod that has ended is not",
             waiting().seen_fresh().with_pod(a_pod("backup", "data-shop-0")).where([](World& w) {
                 w.pods[0].phase = "Succeeded";
             }),
             std::string("CreateJob(") + worker.step + ")"},
            {"the pod of an earlier step still runs",
             waiting().with_job("before", 1).in_step(worker.step, 1).seen_fresh().where([](World& w) {
                 w.jobs[0].failed = true;
             }),
             saved, "", "another step"},
            {"the Job of an earlier step still runs",
             waiting().with_job("before", 1).in_step(worker.step, 1).seen_fresh(),
             "DeleteJob(dbr-11111111-before-1)"},
            {"the server is gone", waiting().where([](World& w) { w.server.reset(); }), saved,
             "ServerNotFound", "waiting for it to come back"},
        });
    }
}

TEST(AtRest, what_somebody_scales_up_is_scaled_down_again) {
    for (const auto& worker : workers) {
        SCOPED_TRACE(worker.step);
        const std::string again = "Scale(0) Speak(ScaledDuringRestore)";
        check({
            {"seen in the cache", resting(worker.phase).scaled_to(1), "LookFresh"},
            {"seen fresh, before the Job",
             resting(worker.phase).in_step(worker.step, 1).scaled_to(1).seen_fresh(), again},
            {"seen fresh, while the Job runs",
             resting(worker.phase).with_job(worker.step, 1).scaled_to(1).seen_fresh(), again},
            {"but never where that deletes the volume",
             resting(worker.phase).scaled_to(1).seen_fresh().where([](World& w) {
                 w.workload->when_scaled = "Delete";
             }),
             "SaveRestore(" + to_text(worker.phase) + ")", "ClaimWouldBeDeleted"},
            {"a fence that was taken down goes up again while the Job runs",
             resting(worker.phase).with_job(worker.step, 1).where([](World& w) {
                 w.server->lock.fence.reset();
             }),
             "SaveLock(held,fence)"},
        });
    }
}

TEST(AtRest, each_step_goes_on_when_done_and_back_when_failed) {
    for (const auto& worker : workers) {
        SCOPED_TRACE(worker.step);
        const std::string next = to_text(worker.next);
        check({
            {"done", resting(worker.phase).with_job(worker.step, 1).that_ended(done()),
             "SaveRestore(" + next + ") Speak(" + next + ")", next},
            {"failed",
             resting(worker.phase)
                 .with_job(worker.step, 1)
                 .that_ended(failed("ConstraintViolated", "line 7")),
             rolls_back, "RollingBack", "line 7"},
        });
        const World failing =
            resting(worker.phase).with_job(worker.step, 1).that_ended(failed("ConstraintViolated", "line 7"));
        EXPECT_EQ(status_after(failing, decide::decide(failing)).failure->reason, "ConstraintViolated");
    }
}

TEST(Committing, tells_what_is_kept) {
    AgentResult result = done();
    result.bytes = 4096;
    const World given = resting(Phase::committing).with_job("commit", 1).that_ended(result);
    const auto status = status_after(given, decide::decide(given));
    ASSERT_TRUE(status.previous_data);
    EXPECT_EQ(*status.previous_data,
              (resources::PreviousData{true, "dbrestore_old_11111111", 4096, std::nullopt}));
    EXPECT_TRUE(resources::condition_is(status.conditions, "DataRestored", Truth::yes));
}

WorldBuilder starting() {
    return a_restore()
        .in(Phase::starting)
        .asked_to_stop()
        .in_step("start", 1)
        .noted("DatabaseStopped", Truth::yes)
        .where([](World& w) {
            w.restore.status.previous_data =
                resources::PreviousData{true, "dbrestore_old_11111111", 4096, std::nullopt};
        });
}

WorldBuilder served() {
    return starting().noted("DatabaseReady", Truth::yes);
}

void never_scaled(World& w) {
    w.restore.status.original_replicas = 0;
}

// It once overflowed, and what was to be kept for ever was dropped at once.
TEST(Starting, what_is_kept_for_ever_expires_at_the_end_of_time) {
    const World given =
        served().with_job("verify-live", 1).that_ended(done()).seen_fresh().where([](World& w) {
            w.restore.spec = resources::restore_from_json(
                                 {{"spec", {{"previousData", {{"retainSeconds", 9223372036854775807}}}}}})
                                 .spec;
        });
    const auto status = status_after(given, decide::decide(given));
    ASSERT_TRUE(status.previous_data && status.previous_data->expiration_time);
    EXPECT_EQ(base::format_time(*status.previous_data->expiration_time), "9999-12-31T23:59:59Z");
}

TEST(Starting, lowers_the_fence_then_scales_then_waits_then_verifies) {
    check({
        {"the stage is saved first", starting().in_step("commit", 1, "uid"), "SaveRestore(Starting)"},
        {"a cached view does not lower the fence", starting().with_fence().scaled_to(0).without_pods(),
         "LookFresh"},
        {"the fence goes down before the scaling",
         starting().with_fence().scaled_to(0).without_pods().seen_fresh(), "SaveLock(held)"},
        {"but not while a Job that came late may still write",
         starting()
             .with_fence()
             .scaled_to(0)
             .without_pods()
             .with_job("prepare", 1)
             .in_step("start", 1)
             .seen_fresh(),
         "DeleteJob(dbr-11111111-prepare-1)"},
        {"a cached view scales nothing", starting().scaled_to(0).without_pods(), "LookFresh"},
        {"scaled to its former size", starting().scaled_to(0).without_pods().seen_fresh(), "Scale(1)"},
        {"the pod is not ready yet", starting().without_pods(), ""},
        {"a cached view does not call the database ready", starting(), "LookFresh"},
        {"the pod is ready", starting().seen_fresh(), "SaveRestore(Starting)", "Starting",
         "verifying through the network"},
        {"what was at 0 stays at 0 and has succeeded",
         starting().scaled_to(0).without_pods().where(never_scaled),
         "SaveRestore(Succeeded) Speak(Succeeded)", "Succeeded", "stays scaled to 0"},
        {"never ready, in the cache", starting().without_pods().after_seconds(601), "LookFresh"},
        {"never ready: the old data comes back", starting().without_pods().after_seconds(601).seen_fresh(),
         rolls_back, "RollingBack", "did not become ready"},
        {"the network check begins", served(), "SaveRestore(Starting)"},
        {"the network check is made", served().in_step("verify-live", 1).seen_fresh(),
         "CreateJob(verify-live)"},
        {"it waits for a server that was made anew, and is not inferred yet",
         served().in_step("verify-live", 1).where([](World& w) { w.server->status.inferred.reset(); }),
         "SaveRestore(Starting)", "ServerNotFound", "waiting for it to come back"},
        {"a cached view ends nothing", served().with_job("verify-live", 1).that_ended(done()), "LookFresh"},
        {"it holds", served().with_job("verify-live", 1).that_ended(done()).seen_fresh(),
         "SaveRestore(Succeeded) Speak(Succeeded)", "Succeeded", "serves"},
        {"it fails, and nothing is taken back",
         served().with_job("verify-live", 1).that_ended(failed("LoginFailed", "no such role")),
         "SaveRestore(Failed) Speak(LoginFailed)", "LoginFailed", "clients may have written already"},
        {"ready once, but stopped since: it is started again",
         served().with_fence().scaled_to(0).without_pods().after_seconds(5000), "SaveLock(held)"},
        {"and scaled to its former size", served().scaled_to(0).without_pods().after_seconds(5000),
         "Scale(1)"},
        {"ready once, then no more", served().without_pods().after_seconds(300), ""},
        {"ready once, then no more, for long", served().without_pods().after_seconds(601),
         "SaveRestore(Failed) Speak(DatabaseNotReady)", "DatabaseNotReady", "stays"},
        {"another restore holds the lock", starting().with_lock_of("rival"), "SaveRestore(Starting)",
         "LockLost"},
    });
    const World given = served().with_job("verify-live", 1).that_ended(done()).seen_fresh();
    const auto status = status_after(given, decide::decide(given));
    EXPECT_EQ(status.previous_data->expiration_time, given.now + std::chrono::seconds(86400));
    EXPECT_EQ(status.completion_time, given.now);
    const World ready = starting().seen_fresh();
    EXPECT_EQ(status_after(ready, decide::decide(ready)).downtime_seconds, 60);
}

WorldBuilder rolling_back() {
    return a_restore().in(Phase::rolling_back).at_rest().where([](World& w) {
        w.restore.status.failure = resources::Failure{"ConstraintViolated", "line 7", false};
    });
}

TEST(RollingBack, brings_the_old_data_back_and_starts_it) {
    check({
        {"other Jobs are ended first", rolling_back().with_job("prepare", 1),
         "DeleteJob(dbr-11111111-prepare-1)"},
        {"and their pods awaited",
         rolling_back().with_job("prepare", 1).where([](World& w) { w.jobs.clear(); }),
         "SaveRestore(RollingBack)", "RollingBack", "another step"},
        {"a cached view starts nothing", rolling_back().in_step("rollback", 1), "LookFresh"},
        {"the intent is saved", rolling_back().seen_fresh(), "SaveRestore(RollingBack)"},
        {"the Job is made", rolling_back().in_step("rollback", 1).seen_fresh(), "CreateJob(rollback)"},
        {"fence and rest are made anew after a start",
         rolling_back().scaled_to(1).where([](World& w) { w.server->lock.fence.reset(); }),
         "SaveLock(held,fence)"},
        {"then it is scaled down", rolling_back().scaled_to(1).seen_fresh(), "Scale(0)"},
        {"a failed rollback is repeated",
         rolling_back().with_job("rollback", 7).that_ended(failed()).after_seconds(60),
         "SaveRestore(RollingBack) Speak(RestoreFailed)"},
        {"but not at once", rolling_back().with_job("rollback", 7).that_ended(failed()).after_seconds(20),
         "SaveRestore(RollingBack)", "RestoreFailed"},
        {"somebody scales up while it runs", rolling_back().with_job("rollback", 1).scaled_to(1).seen_fresh(),
         "Scale(0) Speak(ScaledDuringRestore)"},
        {"done: the old data is in place", rolling_back().with_job("rollback", 1).that_ended(done()),
         "SaveRestore(RollingBack)", "RollingBack", "the old data is in place"},
        {"the restored data came up after all, so it stays",
         rolling_back().scaled_to(1).with_pod(a_database_pod()).where([](World& w) {
             w.restore.status.previous_data = resources::PreviousData{true, "dbrestore_old_11111111", 1, {}};
         }),
         "SaveRestore(Starting) Speak(Starting)"},
    });
}

WorldBuilder restarting() {
    return rolling_back().in_step("restart", 1).with_pod(a_database_pod()).scaled_to(1).where([](World& w) {
        w.server->lock.fence.reset();
    });
}

// Its object may be taken away at any moment: what the lock says then decides what becomes of the data.
TEST(Starting, says_in_the_lock_that_clients_may_be_served_until_a_rollback_has_seen_that_none_was) {
    const auto saved = [](World world) {
        const auto plan = decide::decide(world);
        const auto* save = find_action<decide::SaveLock>(plan);
        return save == nullptr ? std::nullopt : std::optional(save->lock.may_be_served);
    };
    const auto may_be = [](World& w) { w.server->lock.may_be_served = true; };
    const auto open = [](World& w) { w.server->lock.fence.reset(); };
    EXPECT_EQ(saved(starting().with_fence().scaled_to(0).without_pods().seen_fresh()), true);
    EXPECT_EQ(saved(rolling_back().scaled_to(1).where(may_be).where(open).seen_fresh()), true)
        << "the fence is raised";
    EXPECT_EQ(saved(rolling_back().where(may_be)), std::nullopt) << "a cached look has seen nothing";
    EXPECT_EQ(saved(rolling_back().where(may_be).seen_fresh()), false);
    EXPECT_EQ(saved(restarting().with_fence().seen_fresh()), false) << "let run on the old data";
}

// Its pod may be gone at the next look, and the time for becoming ready is over.
TEST(RollingBack, remembers_that_the_restored_data_came_up_and_never_takes_it_back) {
    World given =
        rolling_back().scaled_to(1).with_pod(a_database_pod()).in_step("start", 1).where([](World& w) {
            w.restore.status.previous_data = resources::PreviousData{true, "dbrestore_old_11111111", 1, {}};
            w.now = noon + std::chrono::seconds(5000);
            w.fresh = true;
        });
    given.restore.status = status_after(given, decide::decide(given));
    EXPECT_EQ(given.restore.status.phase, Phase::starting);
    given.pods.clear();
    for (int round = 0; round < 3; ++round) {
        const Plan plan = decide::decide(given);
        EXPECT_NE(status_after(given, plan).phase, Phase::rolling_back) << plan.why;
        given.restore.status = status_after(given, plan);
    }
}

TEST(RollingBack, touches_nothing_where_nothing_was_touched) {
    const auto before_the_stop = [] {
        return a_restore().in(Phase::rolling_back).with_lock().where([](World& w) {
            w.restore.status.failure = resources::Failure{"Cancelled", "asked", true};
        });
    };
    check({
        {"before the stop it just ends", before_the_stop(), "SaveRestore(Cancelled) Speak(Cancelled)",
         "Cancelled"},
        {"between the stop and the first Job that writes, the database is only started",
         before_the_stop().asked_to_stop().with_fence().scaled_to(0), "SaveRestore(RollingBack)",
         "RollingBack", "was not touched"},
        {"a stop that a paused leader may be about to send is carried out first",
         before_the_stop().asked_to_stop().with_fence(), "LookFresh"},
        {"so that its request comes second, and is refused",
         before_the_stop().asked_to_stop().with_fence().seen_fresh(), "Scale(0)"},
        {"without the fence nobody is about to", before_the_stop().asked_to_stop(),
         "SaveRestore(RollingBack)", "RollingBack", "was not touched"},
    });
}

TEST(RollingBack, ends_with_the_reason_it_began_with_once_the_old_data_is_served) {
    const auto crashing = [](World& w) {
        w.pods[0].ready = false;
        w.pods[0].containers[0].waiting_reason = "CrashLoopBackOff";
    };
    check({
        {"fence first", restarting().with_fence().seen_fresh(), "SaveLock(held)"},
        {"then the former size", restarting().scaled_to(0).seen_fresh(), "Scale(1)"},
        {"then it waits for the pod", restarting().without_pods(), ""},
        {"one that crashes may come", restarting().where(crashing).after_seconds(59), ""},
        {"but not for long", restarting().where(crashing).after_seconds(61).seen_fresh(),
         "SaveRestore(Failed) Speak(ConstraintViolated)"},
        {"a cached view ends nothing: the workload may be at 0", restarting(), "LookFresh"},
        {"nor where the pod does not come up", restarting().without_pods().after_seconds(601), "LookFresh"},
        {"served again", restarting().seen_fresh(), "SaveRestore(Failed) Speak(ConstraintViolated)",
         "ConstraintViolated", "line 7"},
        {"cancelled", restarting().where([](World& w) {
             w.restore.status.failure = resources::Failure{"Cancelled", "asked", true};
         }),
         "SaveRestore(Cancelled) Speak(Cancelled)", "Cancelled"},
        {"what was at 0 is left at 0", restarting().scaled_to(0).without_pods().where(never_scaled),
         "SaveRestore(Failed) Speak(ConstraintViolated)"},
        {"it ends also where the pod does not come up", restarting().without_pods().after_seconds(601),
         "SaveRestore(Failed) Speak(ConstraintViolated)"},
    });
    const World given = restarting().seen_fresh();
    const auto status = status_after(given, decide::decide(given));
    EXPECT_TRUE(resources::condition_is(status.conditions, "DatabaseReady", Truth::yes));
    EXPECT_EQ(status.downtime_seconds, 60);
}

WorldBuilder over(Phase phase) {
    return a_restore().in(phase).with_lock().executed().where([](World& w) {
        w.restore.status.completion_time = noon;
        resources::set_condition(w.restore.status.conditions,
                                 {"Succeeded", Truth::yes, "Succeeded", "it serves", 1, noon});
    });
}

TEST(Ended, saves_the_history_and_frees_the_lock_last) {
    const auto known = [](World& w) {
        w.server->status.history.push_back({"bring-it-back", restore_uid, "Succeeded", "", noon, "", 0, {}});
    };
    check({
        {"a success", over(Phase::succeeded), "SaveServer SaveLock(free) RemoveFinalizers"},
        {"a failure may run again", over(Phase::failed),
         "UnmarkExecuted SaveServer SaveLock(free) RemoveFinalizers"},
        {"a copy that was refused stays a copy", over(Phase::failed).where([](World& w) {
             w.restore.meta.annotations[resources::executed_annotation] = "other";
         }),
         "SaveServer SaveLock(free) RemoveFinalizers"},
        {"a crash after the history", over(Phase::succeeded).where(known), "SaveLock(free) RemoveFinalizers"},
        {"a crash after the lock",
         over(Phase::succeeded).where(known).where([](World& w) { w.server->lock = {}; }),
         "RemoveFinalizers"},
        {"the server is gone", over(Phase::cancelled).where([](World& w) { w.server.reset(); }),
         "UnmarkExecuted RemoveFinalizers"},
    });
    const World given = over(Phase::succeeded).seen_fresh().where([](World& w) {
        w.restore.status.previous_data = resources::PreviousData{true, "old", 9, noon};
    });
    const Plan plan = decide::decide(given);
    const auto& history = find_action<decide::SaveServer>(plan)->status.history;
    ASSERT_EQ(history.size(), 1u);
    EXPECT_EQ(history[0],
              (resources::HistoryEntry{"bring-it-back", restore_uid, "Succeeded", "", noon, "old", 9, noon}));
}

TEST(Ended, shows_when_the_previous_data_is_gone) {
    const auto with_entry = [](const std::string& database) {
        return a_restore().in(Phase::succeeded).executed().where([&](World& w) {
            w.restore.status.previous_data = resources::PreviousData{true, "old", 9, noon};
            w.server->status.history.push_back(
                {"bring-it-back", restore_uid, "Succeeded", "", noon, database, 9, {}});
        });
    };
    World kept = with_entry("old"), gone = with_entry("");
    EXPECT_TRUE(status_after(kept, decide::decide(kept)).previous_data->available);
    EXPECT_FALSE(status_after(gone, decide::decide(gone)).previous_data->available);
    gone.restore.status = status_after(gone, decide::decide(gone));
    EXPECT_EQ(told(decide::decide(gone)), "") << "once shown, there is nothing left to do";
    kept.server->status.history.clear();
    EXPECT_TRUE(status_after(kept, decide::decide(kept)).previous_data->available)
        << "a server that was made anew takes its history from here";
}

}  // namespace
}  // namespace dbrestore::testing
