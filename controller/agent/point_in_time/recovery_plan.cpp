#include "agent/point_in_time/recovery_plan.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <set>

#include "agent/point_in_time/wal_archive.h"
#include "agent/programs.h"
#include "agent/server/control_data.h"
#include "agent/text.h"
#include "base/clock.h"

namespace dbrestore::agent {

namespace {

namespace fs = std::filesystem;

std::optional<backups::Failure> read_identity(RecoveryPlan& plan, const WorkFolder& folder,
                                              const std::vector<BackupSet>& sets, Identity& identity) {
    const auto version = data_version(plan.data_directory);
    if (!version) return backups::Failure{"DataDirectoryDamaged", to_text(version.error())};
    identity.version = *version;
    const auto control = read_control_data(plan.data_directory, *version);
    if (control) {
        identity.system_identifier = control->field("Database system identifier");
        plan.live_timeline = control->timeline();
        plan.live_lsn = lsn_from_text(control->field("Latest checkpoint location")).value_or(0);
        plan.wal_segment_bytes = std::strtoll(control->field("Bytes per WAL segment").c_str(), nullptr, 10);
        return std::nullopt;
    }
    const std::string why = to_text(control.error());
    const bool may_pass = control.error().kind != base::ErrorKind::failed;
    const BackupSet* newest = newest_backup_set(sets, *version);
    if (may_pass || newest == nullptr) return backups::Failure{"ControlFileUnreadable", why, may_pass};
    identity.system_identifier = newest->system_identifier;
    plan.live_timeline = std::max(live_timeline_of(folder, plan.data_directory), newest->timeline);
    plan.guessed = why + "; the server is taken for the repository's, system identifier " +
                   newest->system_identifier + ", on timeline " + std::to_string(plan.live_timeline) +
                   "; whether WAL is missing at the end of the archive cannot be told";
    return std::nullopt;
}

// Without pg_control pgBackRest does not find the archive by itself.
std::optional<backups::Failure> fetch_history(const RecoveryPlan& plan, const std::vector<BackupSet>& sets,
                                              const Identity& identity, int64_t id,
                                              std::optional<std::string>& history) {
    if (plan.guessed.empty()) return plan.repository->fetch(history_file(id), plan.data_directory, history);
    std::set<int64_t> repositories;
    for (const auto& set : sets) {
        const bool is_ours =
            set.system_identifier == identity.system_identifier && set.version == identity.version;
        if (!is_ours || !repositories.insert(set.repository).second) continue;
        std::vector<std::string> names;
        if (auto failure = plan.repository->names_in(set, "", names)) return failure;
        if (std::ranges::find(names, history_file(id)) == names.end()) continue;
        std::string text;
        if (auto failure = plan.repository->read(set, history_file(id), text)) return failure;
        history = std::move(text);
        break;
    }
    return std::nullopt;
}

std::optional<backups::Failure> read_timeline(const RecoveryPlan& plan, const std::vector<BackupSet>& sets,
                                              const Identity& identity, int64_t id, Timeline& timeline) {
    timeline = Timeline{id, {}};
    if (id == 1) return std::nullopt;
    std::optional<std::string> history;
    if (auto failure = fetch_history(plan, sets, identity, id, history)) return failure;
    const auto read = history ? timeline_from_history(id, *history) : std::nullopt;
    if (!read)
        return backups::Failure{"TimelineNotFound", "the archive holds no history of timeline " +
                                                        std::to_string(id) + " that can be understood"};
    timeline = *read;
    return std::nullopt;
}

backups::Failure too_late(const RecoveryPlan& plan, const std::string& last) {
    return {"TargetTooLate", "the point in time must be earlier than " + last +
                                 ", the last transaction that there is WAL of on timeline " +
                                 std::to_string(plan.timeline.id) +
                                 " (`latest` restores it, too), and not earlier than " + plan.earliest};
}

// The ledger knows by the clock which timeline was live; what was committed on them corrects it.
std::optional<backups::Failure> settle_time(const Context& context, const std::vector<LiveTimeline>& known,
                                            RecoveryPlan& plan) {
    const auto time = base::parse_time(plan.target.time);
    const bool is_free = plan.target.timeline == 0, is_live = plan.timeline.id == plan.live_timeline;
    std::string last;
    const auto begun = std::ranges::find(known, plan.timeline.id, &LiveTimeline::id);
    const bool has_one_before = is_free && begun != known.end();
    if (is_live && !has_one_before) return std::nullopt;
    WalArchive archive(context, *plan.repository, plan.set);
    if (auto failure = archive.open()) return failure;
    if (has_one_before) {
        if (auto failure = archive.find_commit(begun->parent, true, {}, last)) return failure;
        if (!last.empty() && base::parse_time(last) >= time)
            return backups::Failure{"TimelineAmbiguous", "a clock was set back: at that time timelines " +
                                                             std::to_string(begun->parent) + " and " +
                                                             std::to_string(begun->id) +
                                                             " were live; `timeline` must be set"};
    }
    if (is_live) return std::nullopt;
    if (auto failure = archive.find_commit(plan.timeline.id, true, {}, last)) return failure;
    if (last.empty() || *time < base::parse_time(last)) return std::nullopt;
    if (!is_free) return too_late(plan, last);
    // It stood still then, as it had ended.
    plan.target.time.clear();
    plan.target.exclusive = false;
    plan.target.latest = true;
    return std::nullopt;
}

}  // namespace

std::optional<backups::Failure> refuse_other_volumes(const std::string& data_directory) {
    std::error_code ignored;
    if (fs::is_symlink(data_directory + "/pg_wal", ignored))
        return backups::Failure{"VolumeLayout", data_directory +
                                                    "/pg_wal is a link: a point in time cannot be restored "
                                                    "in this layout"};
    if (fs::directory_iterator(data_directory + "/pg_tblspc", ignored) != fs::directory_iterator())
        return backups::Failure{
            "VolumeLayout", "the server has tablespaces: a point in time cannot be restored in this layout"};
    return std::nullopt;
}

int64_t live_timeline_of(const WorkFolder& folder, const std::string& data_directory) {
    const auto known = folder.timelines();
    int64_t highest = known && !known->empty() ? known->back().id : 1;
    std::error_code code;
    for (fs::directory_iterator at(data_directory + "/pg_wal", code), end; !code && at != end;
         at.increment(code))
        highest = std::max(highest, timeline_of_segment(at->path().filename().string()).value_or(0));
    return highest;
}

std::optional<backups::Failure> plan_recovery(const Context& context, const WorkFolder& folder,
                                              const std::string& data_directory, RecoveryPlan& plan) {
    const auto& target = *context.request.point_in_time;
    // A folder is named after it.
    if (context.request.restore_uid.find('/') != std::string::npos)
        return backups::Failure{"BadRequest", "the restore's UID must not hold a slash"};
    if (const auto wrong = resources::what_is_wrong(target)) return backups::Failure{"BadTarget", *wrong};
    if (auto failure = refuse_other_volumes(data_directory)) return failure;
    plan.data_directory = data_directory;
    if (auto failure = PgBackRest::open(context, plan.repository)) return failure;
    std::vector<BackupSet> sets;
    if (auto failure = plan.repository->list(sets, &plan.unreadable)) return failure;
    plan.has_one_repository = std::ranges::all_of(
        sets, [&](const BackupSet& set) { return set.repository == sets.front().repository; });
    Identity identity;
    if (auto failure = read_identity(plan, folder, sets, identity)) return failure;
    const auto known = folder.timelines();
    if (!known) return backups::Failure{"LedgerDamaged", to_text(known.error())};
    const int64_t chosen = target.timeline != 0  ? target.timeline
                           : target.time.empty() ? plan.live_timeline
                                                 : timeline_at(*known, target.time, plan.live_timeline);
    if (auto failure = read_timeline(plan, sets, identity, chosen, plan.timeline)) return failure;
    plan.earliest = earliest_point(sets, identity, plan.timeline);
    if (const auto time = base::parse_time(target.time); time && *time > base::SystemClock{}.now())
        return backups::Failure{
            "TargetTooLate",
            "the point in time must not lie in the future, and not be earlier than " + plan.earliest};
    if (auto failure = choose_backup_set(sets, identity, plan.timeline, target, plan.set)) {
        if (plan.unreadable.empty()) return failure;
        // What was not found may lie there.
        return backups::Failure{"RepositoryUnreadable",
                                plan.unreadable + "; in the others: " + failure->message, true};
    }
    plan.target = target;
    return target.time.empty() ? std::nullopt : settle_time(context, *known, plan);
}

std::optional<backups::Failure> refuse_beyond_end(const Context& context, const RecoveryPlan& plan) {
    if (plan.target.time.empty() || plan.timeline.id != plan.live_timeline) return std::nullopt;
    const auto program = find_program("pg_waldump", plan.set.version);
    if (!program) return backups::Failure{"ProgramsMissing", to_text(program.error())};
    std::string last = last_commit_below(*program, plan.data_directory + "/pg_wal", plan.timeline.id);
    if (last.empty()) {
        WalArchive archive(context, *plan.repository, plan.set);
        if (auto failure = archive.open()) return failure;
        if (auto failure = archive.find_commit(plan.timeline.id, true, {}, last)) return failure;
    }
    if (last.empty() || base::parse_time(plan.target.time) <= base::parse_time(last)) return std::nullopt;
    return too_late(plan, last);
}

}  // namespace dbrestore::agent
