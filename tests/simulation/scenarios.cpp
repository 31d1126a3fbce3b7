#include "simulation/scenarios.h"

#include <algorithm>
#include <functional>

#include "simulation/people.h"

namespace dbrestore::simulation {

using resources::Phase;

namespace {

void add_points_in_time(std::vector<Scenario>& all) {
    all.push_back({.name = "to_a_point", .to_a_point = true});
    all.push_back({.name = "to_two_points",
                   .then = {the_second_restore.name},
                   .pauses_cron_jobs = true,
                   .to_a_point = true});
    all.push_back({.name = "to_a_point_whose_check_fails",
                   .ends = Phase::failed,
                   .behaviour = {.live_check_passes = false},
                   .to_a_point = true});
    for (const Fault way : {Fault::cancelled, Fault::restore_deleted, Fault::server_deleted,
                            Fault::finalizers_removed, Fault::created_again}) {
        const bool ends_it =
            way == Fault::cancelled || way == Fault::restore_deleted || way == Fault::server_deleted;
        for (const Phase phase : {Phase::preparing, Phase::starting})
            all.push_back({.name = "to_a_point_and_" + to_text(way) + "_in_" + to_text(phase),
                           .ends = ends_it ? Phase::cancelled : Phase::succeeded,
                           .cues = {{phase, way}},
                           .to_a_point = true});
    }
}

// What one restore has replaced is brought back by another; of a dump, and of all files of a server.
Scenario undo(const std::string& name, bool to_a_point) {
    return {.name = (to_a_point ? "undo_of_a_point" : "undo") + name,
            .to_a_point = to_a_point,
            .database = to_a_point ? "" : "reports",
            .before = {the_first_restore.name},
            .undoes = {{the_restore.name, the_first_restore.name}}};
}

void add_undos_of(std::vector<Scenario>& all, bool to_a_point) {
    const auto add = [&](const std::string& name, const std::function<void(Scenario&)>& change) {
        change(all.emplace_back(undo(name, to_a_point)));
    };
    add("", [](Scenario&) {});
    add("_of_an_undo", [](Scenario& s) {
        s.then = {the_second_restore.name};
        s.undoes[the_second_restore.name] = the_restore.name;
    });
    // It expires while the Undo is under way.
    add("_of_what_expires", [](Scenario& s) { s.kept_seconds = 140; });
    add("_of_what_expires_cancelled_in_Preparing", [](Scenario& s) {
        s.ends = Phase::cancelled;
        s.kept_seconds = 140;
        s.cues = {{Phase::preparing, Fault::cancelled}};
    });
    add("_of_what_was_restored_over", [](Scenario& s) {
        s.ends = Phase::failed;
        s.before.push_back(the_second_restore.name);
    });
    // When it was created, it was of the newest.
    add("_behind_a_restore", [](Scenario& s) {
        s.then = {the_second_restore.name};
        s.undoes = {{the_second_restore.name, the_first_restore.name}};
    });
    add("_whose_check_fails", [](Scenario& s) {
        s.ends = Phase::failed;
        s.behaviour = {.live_check_passes = false};
    });
    add("_never_ready", [](Scenario& s) {
        s.ends = Phase::failed;
        s.behaviour = {.ready_on_new_data = false};
    });
    for (const Fault way : {Fault::cancelled, Fault::server_deleted, Fault::finalizers_removed}) {
        for (const Phase phase : {Phase::preparing, Phase::committing, Phase::starting})
            add("_and_" + to_text(way) + "_in_" + to_text(phase), [&](Scenario& s) {
                s.ends = way == Fault::finalizers_removed ? Phase::succeeded : Phase::cancelled;
                s.cues = {{phase, way}};
            });
    }
}

std::vector<Scenario> make() {
    std::vector<Scenario> all{
        {.name = "happy"},
        {.name = "owner_unknown", .owner_known = false},
        {.name = "scaled_to_zero", .replicas = 0},
        {.name = "nothing_kept", .retain_seconds = 0},
        {.name = "two_restores", .then = {the_second_restore.name}},
        // The older of those that wait has the later name.
        {.name = "three_restores", .then = {the_second_restore.name, "at_last"}},
        {.name = "bad_dump", .ends = Phase::failed, .behaviour = {.dump_is_good = false}},
        {.name = "live_check_fails", .ends = Phase::failed, .behaviour = {.live_check_passes = false}},
        {.name = "never_ready", .ends = Phase::failed, .behaviour = {.ready_on_new_data = false}},
        {.name = "late_dump_claim", .dump_claim_is_late = true},
        {.name = "operator_away", .operator_is_away = true},
        {.name = "pausing", .pauses_cron_jobs = true},
        {.name = "listing", .has_stores = true},
        {.name = "listing_while_operator_is_away", .has_stores = true, .operator_is_away = true},
        {.name = "pausing_and_listing",
         .then = {the_second_restore.name},
         .pauses_cron_jobs = true,
         .has_stores = true}};
    // Its second look at the dump finds another one than its first.
    for (const Phase phase : {Phase::stopping, Phase::preparing}) {
        all.push_back({.name = "dump_spoiled_in_" + to_text(phase),
                       .ends = Phase::failed,
                       .cues = {{phase, Fault::dump_spoiled}}});
        all.push_back({.name = "dump_removed_in_" + to_text(phase),
                       .ends = Phase::failed,
                       .cues = {{phase, Fault::dump_removed}}});
    }
    const std::vector<std::pair<Phase, Phase>> phases{
        {Phase::pending, Phase::cancelled},    {Phase::queued, Phase::cancelled},
        {Phase::validating, Phase::cancelled}, {Phase::stopping, Phase::cancelled},
        {Phase::preparing, Phase::cancelled},  {Phase::verifying, Phase::cancelled},
        {Phase::committing, Phase::cancelled}, {Phase::starting, Phase::cancelled}};
    for (const auto& [phase, end] : phases) {
        all.push_back(
            {.name = "cancel_in_" + to_text(phase), .ends = end, .cues = {{phase, Fault::cancelled}}});
        all.push_back(
            {.name = "delete_in_" + to_text(phase), .ends = end, .cues = {{phase, Fault::restore_deleted}}});
    }
    for (const Phase phase : {Phase::validating, Phase::preparing, Phase::committing}) {
        all.push_back({.name = "server_deleted_in_" + to_text(phase),
                       .ends = Phase::cancelled,
                       .cues = {{phase, Fault::server_deleted}}});
        all.push_back(
            {.name = "created_again_in_" + to_text(phase), .cues = {{phase, Fault::created_again}}});
        all.push_back(
            {.name = "namespace_deleted_in_" + to_text(phase), .cues = {{phase, Fault::namespace_deleted}}});
    }
    add_points_in_time(all);
    add_undos_of(all, false);
    add_undos_of(all, true);
    // The same ways out, with more that must be as it was before.
    for (const Fault way : {Fault::cancelled, Fault::restore_deleted, Fault::server_deleted,
                            Fault::namespace_deleted, Fault::finalizers_removed, Fault::cron_job_toggled,
                            Fault::cron_job_deleted, Fault::store_toggled}) {
        const bool ends_it =
            way == Fault::cancelled || way == Fault::restore_deleted || way == Fault::server_deleted;
        for (const Phase phase : {Phase::stopping, Phase::preparing, Phase::starting})
            all.push_back({.name = "pausing_and_" + to_text(way) + "_in_" + to_text(phase),
                           .ends = ends_it ? Phase::cancelled : Phase::succeeded,
                           .cues = {{phase, way}},
                           .pauses_cron_jobs = true,
                           .has_stores = phase == Phase::starting || way == Fault::store_toggled});
    }
    return all;
}

}  // namespace

const std::vector<Scenario>& scenarios() {
    static const std::vector<Scenario> all = make();
    return all;
}

const Scenario* scenario_named(const std::string& name) {
    const auto at = std::ranges::find(scenarios(), name, &Scenario::name);
    return at == scenarios().end() ? nullptr : &*at;
}

}  // namespace dbrestore::simulation
