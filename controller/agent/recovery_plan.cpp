#include "agent/recovery_plan.h"

#include <filesystem>

#include "agent/control_data.h"
#include "agent/programs.h"
#include "agent/text.h"
#include "base/clock.h"

namespace dbrestore::agent {

namespace {

namespace fs = std::filesystem;

std::optional<backups::Failure> read_identity(RecoveryPlan& plan, Identity& identity) {
    const auto version = data_version(plan.data_directory);
    if (!version) return backups::Failure{"DataDirectoryDamaged", to_text(version.error())};
    const auto control = read_control_data(plan.data_directory, *version);
    if (!control) return backups::Failure{"ControlFileUnreadable", to_text(control.error())};
    identity = {control->field("Database system identifier"), *version};
    plan.live_timeline = control->timeline();
    plan.live_lsn = lsn_from_text(control->field("Latest checkpoint location")).value_or(0);
    return std::nullopt;
}

std::optional<backups::Failure> read_timeline(const RecoveryPlan& plan, int64_t id, Timeline& timeline) {
    timeline = Timeline{id, {}};
    if (id == 1) return std::nullopt;
    std::optional<std::string> history;
    if (auto failure = plan.repository->fetch(history_file(id), plan.data_directory, history)) return failure;
    const auto read = history ? timeline_from_history(id, *history) : std::nullopt;
    if (!read)
        return backups::Failure{"TimelineNotFound", "the archive holds no history of timeline " +
                                                        std::to_string(id) + " that can be understood"};
    timeline = *read;
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

std::optional<backups::Failure> plan_recovery(const Context& context, const WorkFolder& folder,
                                              const std::string& data_directory, RecoveryPlan& plan) {
    const auto& target = *context.request.point_in_time;
    // A folder is named after it.
    if (context.request.restore_uid.find('/') != std::string::npos)
        return backups::Failure{"BadRequest", "the restore's UID must not hold a slash"};
    if (const auto wrong = resources::what_is_wrong(target)) return backups::Failure{"BadTarget", *wrong};
    if (const auto time = base::parse_time(target.time); time && *time > base::SystemClock{}.now())
        return backups::Failure{"TargetTooLate", "the point in time must not lie in the future"};
    if (auto failure = refuse_other_volumes(data_directory)) return failure;
    plan.data_directory = data_directory;
    Identity identity;
    if (auto failure = read_identity(plan, identity)) return failure;
    if (auto failure = PgBackRest::open(context, plan.repository)) return failure;
    std::vector<BackupSet> sets;
    if (auto failure = plan.repository->list(sets)) return failure;
    const auto known = folder.timelines();
    if (!known) return backups::Failure{"LedgerDamaged", to_text(known.error())};
    const int64_t chosen = target.timeline != 0  ? target.timeline
                           : target.time.empty() ? plan.live_timeline
                                                 : timeline_at(*known, target.time, plan.live_timeline);
    if (auto failure = read_timeline(plan, chosen, plan.timeline)) return failure;
    return choose_backup_set(sets, identity, plan.timeline, target, plan.set);
}

}  // namespace dbrestore::agent
