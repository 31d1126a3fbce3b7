#include "agent/point_in_time/copy.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "agent/point_in_time/clone.h"
#include "agent/programs.h"
#include "agent/server/control_data.h"
#include "agent/server/recovery.h"
#include "agent/space.h"
#include "agent/text.h"
#include "base/files.h"
#include "base/unique_fd.h"

namespace dbrestore::agent {

namespace {

namespace fs = std::filesystem;

constexpr int64_t percent_copied = 70;  // of the step, when the backup lies on the volume
constexpr const char* configuration_files[] = {"postgresql.conf", "postgresql.auto.conf", "pg_hba.conf",
                                               "pg_ident.conf"};

base::Status make_beside(const WorkFolder& folder, const std::string& restore_uid) {
    if (::mkdir(folder.beside(restore_uid).c_str(), 0700) != 0)
        return base::io_error("cannot make " + folder.beside(restore_uid));
    return base::success();
}

std::optional<AgentResult> make_room(const Context& context, const Work& work, const RecoveryPlan& plan) {
    const std::string& uid = context.request.restore_uid;
    if (auto removed = remove_beside(work.folder, uid); !removed)
        return from_error("CopyFailed", removed.error());
    if (auto proven = prove_exchange(work.folder.path()); !proven)
        return from_error("VolumeUnsupported", proven.error());
    const auto space = disk_space(work.folder.path());
    if (!space) return from_error("CopyFailed", space.error());
    const SpaceForCopy wanted = space_for_copy(*space, plan.set.size_bytes);
    if (!wanted.suffices) return failed("InsufficientSpace", wanted.message);
    if (auto reserved = work.folder.write_ballast(); !reserved)
        return failed("InsufficientSpace", to_text(reserved.error()));
    if (auto made = make_beside(work.folder, uid); !made) return from_error("CopyFailed", made.error());
    return std::nullopt;
}

// Where blocks can be shared, today's files are the beginning, and only those are fetched that differ.
std::optional<AgentResult> fetch_backup(const Context& context, const Work& work, const RecoveryPlan& plan,
                                        const std::string& copy) {
    using Found = PgBackRest::Found;
    const PgBackRest& repository = *plan.repository;
    if (clone_server(plan.data_directory, copy)) {
        const auto failure = repository.restore(plan.set, copy, Found::clone, percent_copied);
        if (!failure) return std::nullopt;
        std::vector<BackupSet> sets;
        std::string unreadable;
        if (tells_of_full_disk(failure->message) || repository.list(sets, &unreadable) || !unreadable.empty())
            return from_failure(*failure);
        // The repository is there, so today's files are at fault: one may be on a bad block.
        const std::string& uid = context.request.restore_uid;
        if (auto removed = remove_beside(work.folder, uid); !removed)
            return from_error("CopyFailed", removed.error());
        if (auto made = make_beside(work.folder, uid); !made) return from_error("CopyFailed", made.error());
    }
    if (const auto failure = repository.restore(plan.set, copy, Found::nothing, percent_copied))
        return from_failure(*failure);
    return std::nullopt;
}

// The configuration is today's, not the backup's. What a backup holds of our own folder is no part of it.
base::Status settle_files(const std::string& data_directory, const std::string& copy) {
    std::error_code code;
    fs::remove_all(copy + "/" + work_folder_name, code);
    // Where there is none today, what pgBackRest wrote must not stay.
    if (!code) fs::remove(copy + "/postgresql.auto.conf", code);
    for (const char* name : configuration_files) {
        const std::string from = data_directory + "/" + name, to = copy + "/" + name;
        if (code || !fs::exists(fs::symlink_status(from))) continue;
        fs::remove(to, code);
        if (!code) fs::copy(from, to, fs::copy_options::copy_symlinks, code);
    }
    struct stat status {};
    if (!code && ::stat(data_directory.c_str(), &status) == 0 &&
        ::chmod(copy.c_str(), status.st_mode & 0750) == 0)
        return base::success();
    return base::error(base::ErrorKind::io, "cannot take over the configuration: " + code.message());
}

AgentResult judge_failed_recovery(const RecoveryPlan& plan, const std::string& why) {
    const auto says = [&](const char* what) { return why.find(what) != std::string::npos; };
    if (says("recovery ended before configured recovery target was reached"))
        return failed("TargetNotReached", "the archived WAL of timeline " + std::to_string(plan.timeline.id) +
                                              " ends before the point in time");
    if (says("requested recovery stop point is before consistent recovery point"))
        return failed("TargetTooEarly",
                      "the point in time is earlier than the end of backup " + plan.set.label);
    if (says("exit code 200"))
        return retryable("RepositoryUnreadable", "the repository could not be read during recovery: " + why);
    return failed("PrivateServerFailed", why);
}

// What of the new timeline is on the volume: where it begins and why there.
std::optional<AgentResult> prove_reached(const RecoveryPlan& plan, const std::string& copy,
                                         resources::RecoveredTo& reached) {
    const std::string history = history_file(reached.timeline);
    const auto text = base::read_file(copy + "/pg_wal/" + history);
    const auto timeline = text ? timeline_from_history(reached.timeline, *text) : std::nullopt;
    if (!timeline || timeline->forks.empty() || timeline->forks.back().parent != plan.timeline.id)
        return failed("TargetNotReached", "the recovery began no timeline of its own");
    const TimelineFork& end = timeline->forks.back();
    if (!has_reached(plan.target, end))
        return failed("TargetNotReached", "the recovery ended elsewhere: " + one_line(end.reason, 200));
    // A gap in the archive looks like its end.
    if (plan.target.latest && plan.timeline.id == plan.live_timeline && end.lsn < plan.live_lsn)
        return failed("TargetNotReached", "WAL is missing: the archive ends at " + lsn_to_text(end.lsn) +
                                              ", and the server had come to " + lsn_to_text(plan.live_lsn));
    reached.lsn = lsn_to_text(end.lsn);
    if (::access((copy + "/pg_wal/archive_status/" + history + ".ready").c_str(), F_OK) != 0)
        return failed("PrivateServerFailed", history + " does not wait to be archived");
    std::optional<std::string> archived;
    if (const auto failure = plan.repository->fetch(history, copy, archived)) return from_failure(*failure);
    if (archived) return retryable("TimelineTaken", "another server has archived " + history + " meanwhile");
    const auto version = data_version(copy);
    if (!version) return from_error("CopyFailed", version.error());
    const auto control = read_control_data(copy, *version);
    if (!control) return from_error("ControlFileUnreadable", control.error());
    if (!control->shut_down() || control->timeline() != reached.timeline)
        return failed("PrivateServerFailed", "the recovered copy was not shut down on its own timeline");
    return std::nullopt;
}

// Said in the new timeline's own WAL, before anybody is served.
std::optional<AgentResult> reset_password(const Context& context, Session& session) {
    const auto credentials = read_credentials(context);
    if (!credentials) return failed("CredentialsMissing", to_text(credentials.error()));
    const auto role = session.value("SELECT 1 FROM pg_roles WHERE rolname = $1", {credentials->user});
    if (!role) return from_error("PrivateServerFailed", role.error());
    if (role->empty())
        return failed("RoleNotFound", "at the point in time there was no role \"" + credentials->user +
                                          "\"; `pointInTime.resetPassword` must not be set");
    const auto hash = session.hashed_password(credentials->user, credentials->password);
    if (!hash) return from_error("PrivateServerFailed", hash.error());
    if (auto set = session.run("ALTER ROLE " + quote_identifier(credentials->user) + " PASSWORD " +
                               quote_literal(*hash));
        !set)
        return from_error("PrivateServerFailed", set.error());
    return std::nullopt;
}

// Of a timeline that was left, where it ends is not known.
ReplayRange range_of(const RecoveryPlan& plan) {
    const uint64_t end = plan.timeline.id == plan.live_timeline ? plan.live_lsn : 0;
    return {plan.set.start_lsn, lsn_from_text(plan.target.lsn).value_or(end), plan.wal_segment_bytes,
            certain_end(plan.set), base::parse_time(plan.target.time)};
}

std::optional<AgentResult> replay(const Context& context, const Work& work, const RecoveryPlan& plan,
                                  const std::string& copy, resources::RecoveredTo& reached) {
    const Recovery recovery{
        recovery_settings(plan.target, plan.timeline.id,
                          plan.repository->restore_command(copy, work.folder.other_trees(copy))),
        to_text(plan.target), range_of(plan), percent_copied};
    auto server = PrivateServer::start(context, work.folder, copy, recovery);
    if (!server) return judge_failed_recovery(plan, to_text(server.error()));
    {
        auto session = (*server)->connect("template1");
        if (!session) return from_error("PrivateServerFailed", session.error());
        if (context.request.point_in_time->reset_password) {
            if (auto failure = reset_password(context, *session)) return failure;
        }
        // Only a checkpoint brings the new timeline into pg_control.
        if (auto written = session->run("CHECKPOINT"); !written)
            return from_error("PrivateServerFailed", written.error());
        const auto found = session->query(
            "SELECT timeline_id, to_char(pg_last_xact_replay_timestamp(), "
            "'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') "
            "FROM pg_control_checkpoint()");
        if (!found || found->empty())
            return failed("PrivateServerFailed", "the recovered server does not tell its timeline");
        reached.timeline = std::strtoll(found->front()[0].c_str(), nullptr, 10);
        reached.time = found->front()[1];
    }
    if (auto stopped = (*server)->stop(); !stopped) return from_error("PrivateServerFailed", stopped.error());
    return prove_reached(plan, copy, reached);
}

// pgBackRest and PostgreSQL have synced what they wrote; the configuration's files were only copied.
base::Status sync_volume(const std::string& path) {
    const base::UniqueFd fd{::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!fd || ::syncfs(fd.get()) != 0) return base::io_error("cannot sync the volume of " + path);
    return base::success();
}

}  // namespace

SpaceForCopy space_for_copy(const DiskSpace& space, int64_t backup_bytes) {
    const int64_t needed = backup_bytes + WorkFolder::ballast_bytes + space.reserve_bytes();
    return {needed <= space.free_bytes,
            "about " + human_size(needed) +
                " are needed beside the old data (5 % of the volume stays free); " +
                human_size(space.free_bytes) + " are free"};
}

namespace {

// Whatever lies beside becomes what will be served.
std::optional<AgentResult> recover_beside(const Context& context, Work& work, const RecoveryPlan& plan) {
    const std::string copy = work.folder.beside(context.request.restore_uid);
    if (auto settled = settle_files(plan.data_directory, copy); !settled)
        return from_error("CopyFailed", settled.error());
    resources::RecoveredTo reached;
    if (auto failure = replay(context, work, plan, copy, reached)) return failure;
    if (auto synced = sync_volume(copy); !synced) return from_error("CopyFailed", synced.error());
    work.journal->old_timeline = plan.live_timeline;
    work.journal->old_unreadable = !plan.guessed.empty();
    work.journal->recovered_to = reached;
    work.journal->old_bytes = bytes_below(plan.data_directory + "/base");
    return save_journal(work, Journal::State::prepared);
}

base::Status rename_beside(const WorkFolder& folder, const std::string& from_uid, const std::string& to_uid) {
    const std::string from = folder.beside(from_uid), to = folder.beside(to_uid);
    // A crash leaves it under one of the names, and the journal knows both.
    if (fs::exists(to)) return base::success();
    if (::rename(from.c_str(), to.c_str()) != 0) return base::io_error("cannot rename " + from);
    return sync_volume(folder.path());
}

// As of the last checkpoint of a server in this folder.
std::optional<AgentResult> read_timeline(const std::string& directory, int64_t& timeline) {
    const auto version = data_version(directory);
    if (!version) return from_error("DataDirectoryDamaged", version.error());
    const auto control = read_control_data(directory, *version);
    if (!control) return from_error("ControlFileUnreadable", control.error());
    timeline = control->timeline();
    return std::nullopt;
}

}  // namespace

std::optional<AgentResult> make_copy(const Context& context, Work& work, const RecoveryPlan& plan) {
    const std::string copy = work.folder.beside(context.request.restore_uid);
    if (auto failure = make_room(context, work, plan)) return failure;
    if (auto failure = fetch_backup(context, work, plan, copy)) return failure;
    if (const auto failure = refuse_other_volumes(copy)) return from_failure(*failure);
    return recover_beside(context, work, plan);
}

std::optional<backups::Failure> look_at_kept(const WorkFolder& folder, const std::string& undone_uid) {
    if (undone_uid.empty() || undone_uid.find('/') != std::string::npos)
        return backups::Failure{"BadRequest", "the undone restore's UID must be set, and hold no slash"};
    const std::string kept = folder.beside(undone_uid);
    const auto version = data_version(kept);
    if (!version) return backups::Failure{"PreviousDataGone", kept + " holds no files of a server any more"};
    if (const auto control = read_control_data(kept, *version); !control)
        return backups::Failure{"ControlFileUnreadable", to_text(control.error())};
    return std::nullopt;
}

std::optional<AgentResult> bring_back_kept(const Context& context, Work& work) {
    const auto& request = context.request;
    const std::string copy = work.folder.beside(request.restore_uid);
    if (!fs::exists(copy)) {
        if (const auto failure = look_at_kept(work.folder, request.undone_uid)) return from_failure(*failure);
    }
    if (auto proven = prove_exchange(work.folder.path()); !proven)
        return from_error("VolumeUnsupported", proven.error());
    if (auto renamed = rename_beside(work.folder, request.undone_uid, request.restore_uid); !renamed)
        return from_error("CopyFailed", renamed.error());
    RecoveryPlan plan;
    plan.data_directory = request.data_directory;
    plan.target = *request.point_in_time;
    if (const auto failure = PgBackRest::open(context, plan.repository)) return from_failure(*failure);
    if (auto failure = read_timeline(copy, plan.timeline.id)) return failure;
    if (auto failure = read_timeline(plan.data_directory, plan.live_timeline)) {
        if (failure->reason != "ControlFileUnreadable" || failure->outcome != AgentResult::Outcome::failed)
            return failure;
        plan.guessed = failure->message;
        plan.live_timeline = live_timeline_of(work.folder, plan.data_directory);
    }
    return recover_beside(context, work, plan);
}

base::Status clear_beside(const Work& work) {
    const Journal& journal = *work.journal;
    if (journal.undone_uid.empty()) return remove_beside(work.folder, journal.restore_uid);
    // A crash before it was taken leaves nothing of ours.
    if (!fs::exists(work.folder.beside(journal.restore_uid))) return base::success();
    const auto quiet = work.folder.lock_for_server();
    if (!quiet) return quiet.error();
    return rename_beside(work.folder, journal.restore_uid, journal.undone_uid);
}

base::Status remove_beside(const WorkFolder& folder, const std::string& restore_uid) {
    // A private server may outlive its agent by a moment, and would write while it goes.
    const auto quiet = folder.lock_for_server();
    if (!quiet) return quiet.error();
    std::error_code code;
    fs::remove_all(folder.beside(restore_uid), code);
    if (code)
        return base::error(base::ErrorKind::io,
                           "cannot remove " + folder.beside(restore_uid) + ": " + code.message());
    return base::success();
}

}  // namespace dbrestore::agent
