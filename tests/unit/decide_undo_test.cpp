// type: Undo: which data comes back, and when it cannot.

#include <gtest/gtest.h>

#include "decide/history.h"
#include "support/decision_table.h"

namespace dbrestore::testing {
namespace {

resources::HistoryEntry entry(const std::string& name, const std::string& kept) {
    return {name, name + "-uid", "Succeeded",          "",
            noon, kept,          kept.empty() ? 0 : 7, noon + std::chrono::hours(24)};
}

WorldBuilder an_undo(std::vector<resources::HistoryEntry> history) {
    return a_restore().where([&](World& w) {
        w.restore.spec.type = "Undo";
        w.restore.spec.backup = {};
        w.restore.spec.undo_name = "the-mistake";
        w.server->status.history = std::move(history);
    });
}

TEST(Undo, takes_the_newest_data_that_is_kept_and_says_why_it_takes_no_other) {
    const std::string refused = "SaveRestore(Failed) Speak(";
    auto being_removed = entry("the-mistake", "dbrestore_old_1");
    being_removed.cleanup_attempt = 1;
    check({
        {"kept", an_undo({entry("the-mistake", "dbrestore_old_1")}), "SaveRestore(Queued) Speak(Queued)"},
        {"it has not ended yet", an_undo({}), "SaveRestore(Pending)", "RestoreNotFound", "the-mistake"},
        {"expired", an_undo({entry("the-mistake", "")}), refused + "PreviousDataGone)", "PreviousDataGone"},
        {"being removed", an_undo({being_removed}), refused + "PreviousDataGone)", "PreviousDataGone"},
        {"another came after it", an_undo({entry("the-mistake", "dbrestore_old_1"), entry("later", "")}),
         refused + "NotTheNewest)", "NotTheNewest", "later"},
    });
    check({{"another came while it waited for its turn",
            WorldBuilder(an_undo({entry("the-mistake", "dbrestore_old_1"), entry("later", "")}))
                .in(Phase::validating)
                .where([](World& w) { w.restore.status.source_name = "dbrestore_old_1"; })
                .with_lock(),
            "SaveRestore(RollingBack) Speak(RollingBack)", "RollingBack", "later"},
           {"the same name came once more while it waited for its turn",
            WorldBuilder(
                an_undo({entry("the-mistake", "dbrestore_old_1"), entry("the-mistake", "dbrestore_old_2")}))
                .in(Phase::validating)
                .where([](World& w) { w.restore.status.source_name = "dbrestore_old_1"; })
                .with_lock(),
            "SaveRestore(RollingBack) Speak(RollingBack)", "RollingBack", "ran once more"}});
    const World given = an_undo({entry("the-mistake", ""), entry("the-mistake", "dbrestore_old_2")});
    EXPECT_EQ(status_after(given, decide::decide(given)).source_name, "dbrestore_old_2")
        << "of two with that name the newest counts";
}

TEST(Undo, needs_neither_dump_nor_running_database) {
    const World given = an_undo({entry("the-mistake", "dbrestore_old_1")})
                            .in(Phase::validating)
                            .with_lock()
                            .without_pods()
                            .where([](World& w) { w.restore.status.source_name = "dbrestore_old_1"; })
                            .in_step("preflight", 1)
                            .seen_fresh();
    const auto plan = decide::decide(given);
    ASSERT_EQ(job_made_by(plan), "dbr-11111111-preflight-1") << told(plan);
    const auto& manifest = find_action<decide::CreateJob>(plan)->manifest;
    const auto& pod = manifest["spec"]["template"]["spec"];
    for (const auto& volume : pod["volumes"]) EXPECT_NE(volume["name"], "source");
    const auto request = nlohmann::json::parse(pod["containers"][0]["env"][0]["value"].get<std::string>());
    EXPECT_EQ(request["newDatabase"], "dbrestore_old_1");
    EXPECT_EQ(request["undo"], true);
    World checked = given;
    checked.jobs.clear();
    const auto ended = WorldBuilder(an_undo({entry("the-mistake", "dbrestore_old_1")}))
                           .in(Phase::validating)
                           .with_lock()
                           .without_pods()
                           .with_job("preflight", 1)
                           .that_ended(done());
    check({{"all checks passed", ended, "SaveRestore(Stopping) Speak(Stopping)", "Stopping"}});
}

// Whoever takes over knows only what the lock tells, and may keep what another Undo then brings back.
TEST(Undo, notes_with_the_lock_which_database_it_is_about) {
    auto kept = entry("the-mistake", "dbrestore_old_1");
    kept.database = "reports";
    const World given =
        an_undo({kept}).in(Phase::stopping).executed().with_lock().seen_fresh().where([](World& w) {
            w.restore.status.stop_time = noon;
            w.restore.status.source_name = "dbrestore_old_1";
        });
    const auto plan = decide::decide(given);
    const auto* lock = find_action<decide::SaveLock>(plan);
    ASSERT_NE(lock, nullptr) << told(plan);
    EXPECT_EQ(lock->lock.database, "reports");
}

TEST(Undo, leaves_what_it_brought_back_to_be_served_and_keeps_what_it_replaced) {
    World world = an_undo({entry("the-mistake", "dbrestore_old_1")}).in(Phase::succeeded);
    world.restore.status.source_name = "dbrestore_old_1";
    world.restore.status.previous_data = resources::PreviousData{true, "dbrestore_old_11111111", 9, noon};
    const auto after = decide::with_history_of(world.restore, world.server->status);
    ASSERT_EQ(after.history.size(), 2u);
    EXPECT_EQ(after.history[0].previous_database, "");
    EXPECT_EQ(after.history[1].previous_database, "dbrestore_old_11111111");
}

}  // namespace
}  // namespace dbrestore::testing
