#include "agent/server/enter.h"

#include <sys/stat.h>

#include <thread>

#include "agent/programs.h"
#include "agent/server/control_data.h"
#include "agent/server/open_files.h"
#include "base/files.h"

namespace dbrestore::agent {

namespace {

constexpr size_t max_control_bytes = 65536;

}  // namespace

std::optional<AgentResult> take_hold(const Context& context, Work& work) {
    struct stat status {};
    if (::stat(context.request.data_directory.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) {
        return failed("DataDirectoryNotFound",
                      "there is no data directory " + context.request.data_directory + " on the volume");
    }
    if (auto locked = work.folder.lock(); !locked) return retryable("VolumeBusy", to_text(locked.error()));
    auto journal = work.folder.load();
    if (!journal) return from_error("JournalDamaged", journal.error());
    work.journal = *journal;
    return std::nullopt;
}

std::optional<AgentResult> refuse_too_late(const Context& context, const Work& work) {
    const auto& request = context.request;
    const auto ended = work.folder.ledger();
    if (!ended) return from_error("LedgerDamaged", ended.error());
    for (const auto& entry : *ended) {
        // What succeeded may still have to be finished, or taken back, as long as its journal says so.
        const bool is_over = !entry.succeeded || !work.is_of(request.restore_uid);
        if (entry.restore_uid == request.restore_uid && is_over)
            return failed("TakenOver", "this restore has ended here on " + entry.time);
    }
    if (work.is_of(request.restore_uid) && work.journal->rolling_back && request.step != "rollback")
        return failed("TakenOver", "this restore is being rolled back here");
    if (work.is_of(request.restore_uid) && request.sequence < work.journal->sequence) {
        return failed("TakenOver",
                      "a later step of this restore (number " + std::to_string(work.journal->sequence) +
                          ") worked here before this one (" + std::to_string(request.sequence) + ")");
    }
    return std::nullopt;
}

std::optional<AgentResult> claim(const Context& context, Work& work) {
    if (!work.is_of(context.request.restore_uid)) {
        return failed("NotPrepared", "the volume knows nothing of this restore");
    }
    if (auto refused = refuse_too_late(context, work)) return refused;
    work.journal->attempt = context.request.attempt;
    work.journal->sequence = context.request.sequence;
    work.journal->pod_uid = context.surroundings.pod_uid;
    if (auto saved = work.folder.save(*work.journal); !saved)
        return from_error("JournalNotWritten", saved.error());
    return std::nullopt;
}

std::optional<AgentResult> look_at_control(const Context& context, const Work& work,
                                           std::optional<ControlLook>& look) {
    if (work.tree.is_hidden()) return std::nullopt;
    const std::string& directory = context.request.data_directory;
    const auto version = data_version(directory);
    if (!version) return from_error("DataDirectoryDamaged", version.error());
    const auto data = read_control_data(directory, *version);
    if (!data) return from_error("ControlFileUnreadable", data.error());
    look = ControlLook{data->text, data->shut_down(), std::chrono::steady_clock::now()};
    return std::nullopt;
}

std::optional<AgentResult> wait_for_server_to_end(const Context& context, const Work& work) {
    if (work.tree.is_hidden()) return std::nullopt;
    const std::string& directory = context.request.data_directory;
    for (int looks = 10; is_open_for_writing(directory); --looks) {
        if (looks == 0)
            return retryable("DatabaseStillRunning",
                             "a server that has no pod any more still has files of " + directory + " open");
        context.report.progress("waiting until the server has ended");
        std::this_thread::sleep_for(context.surroundings.control_interval);
    }
    return std::nullopt;
}

namespace {

// That no server writes shows in the bytes, whatever they say. Only a server that is replaced as a whole need
// not be able to start.
std::optional<AgentResult> look_as_needed(const Context& context, const Work& work,
                                          std::optional<ControlLook>& look) {
    auto failure = look_at_control(context, work, look);
    if (!failure || failure->reason != "ControlFileUnreadable" || !work.journal->physical) return failure;
    const auto bytes =
        base::read_file(context.request.data_directory + "/global/pg_control", max_control_bytes);
    look = ControlLook{bytes ? *bytes : bytes.error().message, false, std::chrono::steady_clock::now()};
    return std::nullopt;
}

}  // namespace

std::optional<AgentResult> put_behind_stub(const Context& context, Work& work,
                                           std::optional<ControlLook> look, bool& was_unclean) {
    if (!work.tree.is_hidden()) {
        if (!look) {
            if (auto failure = look_as_needed(context, work, look)) return failure;
        }
        std::this_thread::sleep_until(look->time + context.surroundings.control_interval);
        std::optional<ControlLook> now;
        if (auto failure = look_as_needed(context, work, now)) return failure;
        if (look->content != now->content)
            return retryable("DatabaseStillRunning",
                             "a server still writes " + context.request.data_directory);
        if (auto running = wait_for_server_to_end(context, work)) return running;
        was_unclean = !now->shut_down;
    }
    if (auto ours = work.folder.still_ours(*work.journal); !ours)
        return failed("TakenOver", to_text(ours.error()));
    if (auto hidden = work.tree.hide(); !hidden) return from_error("VolumeLayout", hidden.error());
    return std::nullopt;
}

std::optional<AgentResult> start_server(const Context& context, const Work& work,
                                        std::unique_ptr<PrivateServer>& server) {
    auto started = PrivateServer::start(context, work.folder, work.tree.path());
    if (!started) return failed("PrivateServerFailed", to_text(started.error()));
    server = std::move(*started);
    return std::nullopt;
}

std::optional<AgentResult> save_journal(Work& work, Journal::State state) {
    work.journal->state = state;
    if (auto saved = work.folder.save(*work.journal); !saved)
        return from_error("JournalNotWritten", saved.error());
    return std::nullopt;
}

}  // namespace dbrestore::agent
