// Pending, Queued, Validating, Stopping: while the database still runs.

#include <gtest/gtest.h>

#include "support/decision_table.h"

namespace dbrestore::testing {
namespace {

World asking_for(const std::function<void(resources::RestoreSpec&)>& change) {
    return a_restore().where([&](World& w) { change(w.restore.spec); });
}

TEST(Pending, refuses_what_a_later_version_brings) {
    const std::string refused = "SaveRestore(Failed) Speak(NotSupportedYet)";
    check({
        {"strategy StageFirst", asking_for([](auto& s) { s.strategy = "StageFirst"; }), refused,
         "NotSupportedYet", "strategy"},
        {"approval Manual", asking_for([](auto& s) { s.approval = "Manual"; }), refused, "NotSupportedYet",
         "approval"},
        {"a rehearsal", asking_for([](auto& s) { s.dry_run = "Rehearse"; }), refused, "NotSupportedYet",
         "dryRun"},
        {"a plan needs no acknowledgement", asking_for([](auto& s) {
             s.dry_run = "Plan";
             s.acknowledge_data_loss = false;
         }),
         "SaveRestore(Queued) Speak(Queued)"},
        {"a verification query", asking_for([](auto& s) {
             s.verification = {"SELECT 1", "1"};
         }),
         "SaveRestore(Queued) Speak(Queued)"},
        {"mode Clean", asking_for([](auto& s) { s.mode = "Clean"; }), "SaveRestore(Queued) Speak(Queued)"},
        {"runAs Superuser", asking_for([](auto& s) { s.run_as = "Superuser"; }),
         "SaveRestore(Queued) Speak(Queued)"},
        {"another database of the server", asking_for([](auto& s) { s.logical_database = "other"; }),
         "SaveRestore(Queued) Speak(Queued)"},
        {"a restore without acknowledgement never runs",
         asking_for([](auto& s) { s.acknowledge_data_loss = false; }),
         "SaveRestore(Failed) Speak(NotAcknowledged)", "NotAcknowledged",
         "acknowledgeDataLoss` must be true"},
    });
    World rehearsal = asking_for([](auto& s) { s.dry_run = "Rehearse"; });
    rehearsal.fresh = true;
    const auto status = status_after(rehearsal, decide::decide(rehearsal));
    EXPECT_TRUE(resources::condition_is(status.conditions, "Validated", Truth::no));
    EXPECT_EQ(reason_of(status, "Validated"), "NotSupportedYet");
}

TEST(Pending, refuses_what_ran_already) {
    const auto history = [](const std::string& name, const std::string& result) {
        return a_restore().where([&](World& w) {
            w.server->status.history.push_back({name, "other-uid", result, "", noon, "", 0, {}});
        });
    };
    check({
        {"a copy of a restore that ran", a_restore().where([](World& w) {
             w.restore.meta.annotations[resources::executed_annotation] = "other-uid";
         }),
         "SaveRestore(Failed) Speak(AlreadyExecuted)", "AlreadyExecuted", "copy"},
        {"a name that succeeded on this server", history("bring-it-back", "Succeeded"),
         "SaveRestore(Failed) Speak(AlreadyExecuted)", "AlreadyExecuted", "another name"},
        {"a name that failed may run again", history("bring-it-back", "Failed"),
         "SaveRestore(Queued) Speak(Queued)", "Queued"},
        {"another name's success does not matter", history("earlier", "Succeeded"),
         "SaveRestore(Queued) Speak(Queued)", "Queued"},
    });
}

TEST(Pending, waits_for_what_is_missing_and_goes_on_when_it_is_there) {
    const std::string waits = "SaveRestore(Pending)";
    const auto ready = [](Truth truth, int64_t observed) {
        return a_restore().where([=](World& w) {
            w.server->status.conditions[0] = {"Ready", truth, "ContainerUnknown", "two containers", 1, noon};
            w.server->status.observed_generation = observed;
        });
    };
    check({
        {"no server", a_restore().where([](World& w) { w.server.reset(); }), waits, "ServerNotFound",
         "does not exist"},
        {"a server being deleted", a_restore().where([](World& w) { w.server->meta.deleting = true; }), waits,
         "ServerDeleting"},
        {"a server that nobody looked at",
         a_restore().where([](World& w) { w.server->status.conditions.clear(); }), waits, "ServerNotReady",
         "not looked at yet"},
        {"a server whose change nobody looked at", ready(Truth::yes, 0), waits, "ServerNotReady",
         "not looked at yet"},
        {"a server that is not ready", ready(Truth::no, 1), waits, "ServerNotReady",
         "ContainerUnknown: two containers"},
        {"no claim with the dump", a_restore().where([](World& w) { w.claims.erase("dumps"); }), waits,
         "ClaimNotFound", "\"dumps\""},
        {"no claim with the data", a_restore().where([](World& w) { w.claims.erase("data-shop-0"); }), waits,
         "ClaimNotFound", "\"data-shop-0\""},
        {"all is there", a_restore(), "SaveRestore(Queued) Speak(Queued)", "Queued"},
    });
    const World missing = a_restore().where([](World& w) { w.server.reset(); });
    const Plan plan = decide::decide(missing);
    EXPECT_TRUE(plan.look_again_after.has_value());
    EXPECT_TRUE(resources::condition_is(status_after(missing, plan).conditions, "Validated", Truth::no));
    World there = a_restore();
    there.restore.status = status_after(missing, plan);
    const auto queued = status_after(there, decide::decide(there));
    EXPECT_EQ(queued.phase, Phase::queued);
    EXPECT_TRUE(resources::condition_is(queued.conditions, "Validated", Truth::unknown))
        << "what is no longer missing is no longer shown";
    EXPECT_EQ(queued.target, "dumps/shop.dump");
}

TEST(Pending, gives_the_lock_back_while_it_waits) {
    check({
        {"nothing of it runs", a_restore().with_lock(), "SaveLock(free) RemoveFinalizers"},
        {"its preflight still runs", a_restore().with_lock().with_job("preflight", 1),
         "DeleteJob(dbr-11111111-preflight-1)"},
        {"the preflight's pod still runs",
         a_restore().with_lock().with_job("preflight", 1).where([](World& w) { w.jobs.clear(); }),
         "SaveRestore(Pending)", "Pending", "another step"},
        {"its status was taken away while the database is stopped", a_restore().with_lock().with_fence(),
         "SaveRestore(Pending)", "StatusLost", "originalReplicas"},
    });
}

TEST(Pending, looks_ever_more_rarely_for_a_file_that_is_missing) {
    check({
        {"soon after the first look", a_restore().in_step("preflight", 2).after_seconds(14), ""},
        {"15 s after the first look", a_restore().in_step("preflight", 2).after_seconds(16),
         "SaveRestore(Queued) Speak(Queued)"},
        {"16 s after the second", a_restore().in_step("preflight", 3).after_seconds(16), ""},
        {"31 s after the second", a_restore().in_step("preflight", 3).after_seconds(31),
         "SaveRestore(Queued) Speak(Queued)"},
        {"never more than five minutes", a_restore().in_step("preflight", 60).after_seconds(301),
         "SaveRestore(Queued) Speak(Queued)"},
    });
}

World with_rival(Phase phase, int64_t created_after_seconds, const std::string& name = "rival") {
    return a_restore().in(Phase::queued).where([&](World& w) {
        resources::DatabaseRestore rival = w.restore;
        rival.meta.name = name;
        rival.meta.uid = name + "-uid";
        rival.meta.creation_time = noon + std::chrono::seconds(created_after_seconds);
        rival.status.phase = phase;
        w.rivals.push_back(rival);
    });
}

TEST(Queued, takes_turns_in_the_order_of_creation) {
    const std::string goes = "AddFinalizers SaveLock(held) SaveRestore(Validating) Speak(Validating)";
    check({
        {"alone", a_restore().in(Phase::queued), goes, "Validating"},
        {"an older one is queued", with_rival(Phase::queued, -10), "SaveRestore(Queued)", "Queued",
         "behind DatabaseRestore \"rival\""},
        {"a younger one is queued", with_rival(Phase::queued, 10), goes},
        {"of equal age the name decides, theirs first", with_rival(Phase::queued, 0, "a-rival"),
         "SaveRestore(Queued)", "Queued", "a-rival"},
        {"of equal age the name decides, ours first", with_rival(Phase::queued, 0, "c-rival"), goes},
        {"an older one that waits for something lets others pass", with_rival(Phase::pending, -10), goes},
        {"another holds the lock", a_restore().in(Phase::queued).with_lock_of("rival"), "SaveRestore(Queued)",
         "Queued", "waiting for DatabaseRestore \"rival\""},
        {"a crash after the lock was taken", a_restore().in(Phase::queued).with_lock(),
         "SaveRestore(Validating) Speak(Validating)"},
        {"what was there is gone",
         a_restore().in(Phase::queued).where([](World& w) { w.claims.erase("dumps"); }),
         "SaveRestore(Pending)", "ClaimNotFound"},
    });
    const World alone = a_restore().in(Phase::queued).seen_fresh();
    EXPECT_TRUE(status_after(alone, decide::decide(alone)).start_time.has_value());
}

WorldBuilder validating() {
    return a_restore().in(Phase::validating).with_lock();
}

AgentResult probed(std::optional<int64_t> uid) {
    AgentResult result = done();
    result.uid = uid;
    return result;
}

TEST(Validating, finds_out_who_owns_the_data) {
    const auto unknown = [](std::optional<int64_t> inferred) {
        return validating().where([=](World& w) {
            w.restore.status.data_owner.reset();
            w.server->status.inferred->uid = inferred;
        });
    };
    check({
        {"the template says it", unknown(999), "SaveRestore(Validating)"},
        {"nobody says it", unknown({}), "SaveRestore(Validating)"},
        {"the probe is to be made", unknown({}).in_step("probe", 1).seen_fresh(), "CreateJob(probe)"},
        {"the probe found it", unknown({}).with_job("probe", 1).that_ended(probed(70)),
         "SaveRestore(Validating)", "Validating", "uid 70"},
        {"the probe found root, as whom no Job may run",
         unknown({}).with_job("probe", 1).that_ended(probed(0)),
         "SaveRestore(RollingBack) Speak(RollingBack)", "RollingBack", "belongs to root"},
        {"the probe has no answer", unknown({}).with_job("probe", 1).that_ended(probed({})),
         "SaveRestore(RollingBack) Speak(RollingBack)", "RollingBack", "spec.postgres.uid"},
        {"the probe failed",
         unknown({}).with_job("probe", 1).that_ended(failed("DataDirectoryNotFound", "nothing there")),
         "SaveRestore(RollingBack) Speak(RollingBack)", "RollingBack", "nothing there"},
        {"the owner is known", validating(), "SaveRestore(Validating)"},
        {"a cached view makes no Job twice", validating().in_step("preflight", 1), "LookFresh"},
        {"the preflight is to be made", validating().in_step("preflight", 1).seen_fresh(),
         "CreateJob(preflight)"},
        {"the lock is gone", a_restore().in(Phase::validating), "SaveRestore(Pending) Speak(Pending)"},
    });
}

AgentResult found(std::vector<PreflightFinding> findings, std::vector<std::string> waiting_for = {}) {
    AgentResult result = findings.empty() ? done() : failed("ChecksFailed", "some checks failed");
    result.findings = std::move(findings);
    result.waiting_for = std::move(waiting_for);
    return result;
}

const PreflightFinding no_dump{"BackupNotFound", PreflightFinding::Outcome::failed, "no shop.dump"};
const PreflightFinding no_space{"NotEnoughSpace", PreflightFinding::Outcome::failed, "1 GB is missing"};

TEST(Validating, judges_what_the_preflight_found) {
    const std::string refused = "SaveRestore(RollingBack) Speak(RollingBack)";
    const auto checked = [](const AgentResult& result) {
        return validating().with_job("preflight", 1).that_ended(result);
    };
    const auto crashing = [](World& w) {
        w.pods[0].ready = false;
        w.pods[0].containers[0].waiting_reason = "CrashLoopBackOff";
    };
    check({
        {"all is well", checked(done()), "SaveRestore(Stopping) Speak(Stopping)", "Stopping"},
        {"a missing file may come", checked(found({no_dump}, {"BackupNotFound"})), "SaveRestore(Pending)",
         "BackupNotFound"},
        {"a missing file and no space: the space does not come by itself",
         checked(found({no_dump, no_space}, {"BackupNotFound"})), refused, "RollingBack"},
        {"it failed without findings", checked(failed("Truncated", "the dump ends early")), refused,
         "RollingBack", "the dump ends early"},
        {"it failed without a reason", checked(failed("", "")), refused, "RollingBack", "PreflightFailed"},
        {"whenScaled Delete", checked(done()).where([](World& w) { w.workload->when_scaled = "Delete"; }),
         refused, "RollingBack", "whenScaled` of StatefulSet \"shop\" must be Retain"},
        {"two replicas", checked(done()).where([](World& w) { w.workload->replicas = 2; }), refused,
         "RollingBack", "2 replicas"},
        {"a crash loop", checked(done()).where(crashing), refused, "RollingBack", "keeps crashing"},
        {"no ready pod", checked(done()).where([](World& w) { w.pods[0].ready = false; }), refused,
         "RollingBack", "no ready pod"},
        {"scaled to 0 is allowed",
         checked(done()).scaled_to(0).where([](World& w) { w.pods.erase(w.pods.begin()); }),
         "SaveRestore(Stopping) Speak(Stopping)"},
        {"ReadWriteOncePod",
         checked(done()).where([](World& w) { w.claims["data-shop-0"].access_modes = {"ReadWriteOncePod"}; }),
         refused, "RollingBack", "ReadWriteOncePod"},
    });
}

TEST(Validating, reports_all_findings_together) {
    const World given =
        validating().with_job("preflight", 1).that_ended(found({no_dump, no_space})).where([](World& w) {
            w.workload->when_scaled = "Delete";
            w.workload->replicas = 2;
        });
    const auto status = status_after(given, decide::decide(given));
    const std::string message = message_of(status, "Validated");
    for (const char* part : {"whenScaled", "2 replicas", "no shop.dump", "1 GB is missing"})
        EXPECT_NE(message.find(part), std::string::npos) << message;
    EXPECT_EQ(status.failure->reason, "ClaimWouldBeDeleted");
    EXPECT_GE(status.preflight.size(), 6u);
}

TEST(Validating, looks_anew_after_a_wait_instead_of_believing_an_old_result) {
    const World given =
        validating().with_job("preflight", 1).where([](World& w) { w.claims.erase("dumps"); });
    const auto status = status_after(given, decide::decide(given));
    EXPECT_EQ(status.phase, Phase::pending);
    EXPECT_EQ(status.step->attempt, 2);
    EXPECT_EQ(status.step->job_uid, "");
}

WorldBuilder stopping() {
    return a_restore().in(Phase::stopping).with_lock();
}
WorldBuilder stop_asked() {
    return a_restore().in(Phase::stopping).asked_to_stop();
}

TEST(Stopping, marks_checks_and_asks_before_anything_is_stopped) {
    const std::string changed = "SaveRestore(RollingBack) Speak(RollingBack)";
    check({
        {"the annotation comes first", stopping(), "MarkExecuted"},
        {"then a checkpoint, for a short stop", stopping().executed(), "SaveRestore(Stopping)"},
        {"a checkpoint that cannot be made does not matter",
         stopping().executed().with_job("quiesce", 3).that_ended(failed()), "LookFresh"},
        {"no database answers, so no checkpoint", stopping().executed().without_pods(), "LookFresh"},
        {"whenScaled has become Delete",
         stopping().executed().where([](World& w) { w.workload->when_scaled = "Delete"; }), changed,
         "RollingBack", "whenScaled"},
        {"a second replica has come", stopping().executed().scaled_to(2), changed, "RollingBack",
         "2 replicas"},
        {"the moment of the stop is saved before the stop", stopping().executed().without_pods().seen_fresh(),
         "SaveRestore(Stopping)"},
        {"the server is gone", stopping().executed().where([](World& w) { w.server.reset(); }), changed,
         "RollingBack", "gone"},
    });
}

TEST(Stopping, puts_the_fence_before_the_scaling_and_looks_fresh) {
    const auto unreachable = [](World& w) {
        w.pods[0].meta.deleting = true;
        w.pods[0].node_name = "node-1";
    };
    check({
        {"no fence yet", stop_asked(), "SaveLock(held,fence)"},
        {"no fence yet, even seen fresh", stop_asked().seen_fresh(), "SaveLock(held,fence)"},
        {"a cached view scales nothing", stop_asked().with_fence(), "LookFresh"},
        {"seen fresh", stop_asked().with_fence().seen_fresh(), "Scale(0)"},
        {"whenScaled became Delete in the last moment",
         stop_asked().with_fence().seen_fresh().where([](World& w) { w.workload->when_scaled = "Delete"; }),
         "SaveRestore(Stopping)", "ClaimWouldBeDeleted", "must be Retain"},
        {"the database's pod still runs", stop_asked().with_fence().scaled_to(0).seen_fresh(),
         "SaveRestore(Stopping)", "Stopping", "pod \"shop-0\""},
        {"a foreign pod holds it up",
         stop_asked()
             .with_fence()
             .scaled_to(0)
             .without_pods()
             .with_pod(a_pod("backup", "data-shop-0"))
             .seen_fresh(),
         "SaveRestore(Stopping)", "Stopping", "pod \"backup\""},
        {"a pod on another claim does not",
         stop_asked().with_fence().scaled_to(0).without_pods().with_pod(a_pod("web", "other")).seen_fresh(),
         "SaveRestore(Preparing) Speak(Preparing)"},
        {"an unreachable node: no guess",
         stop_asked().with_fence().scaled_to(0).seen_fresh().after_seconds(700).where(unreachable),
         "SaveRestore(Stopping)", "FencingUnknown", "node-1"},
        {"nobody is left, but the view is cached", stop_asked().with_fence().scaled_to(0).without_pods(),
         "LookFresh"},
        {"nobody is left", stop_asked().with_fence().scaled_to(0).without_pods().seen_fresh(),
         "SaveRestore(Preparing) Speak(Preparing)"},
        {"somebody else holds the lock, which is never taken from him",
         a_restore().in(Phase::stopping).asked_to_stop().with_lock_of("rival"), "SaveRestore(Stopping)",
         "LockLost", "rival"},
    });
    const World raised = stop_asked().seen_fresh();
    const auto lock = find_action<decide::SaveLock>(decide::decide(raised))->lock;
    EXPECT_EQ(lock.original_replicas, 1);
    EXPECT_EQ(lock.fence->claim_names, std::vector<std::string>{"data-shop-0"});
}

}  // namespace
}  // namespace dbrestore::testing
