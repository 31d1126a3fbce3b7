#include "agent/point_in_time/copy.h"
#include "agent/programs.h"
#include "agent/server/control_data.h"
#include "agent/server/recovery.h"
#include "base/clock.h"
#include "base/digest.h"

namespace dbrestore::agent {

namespace {

base::Result<std::string> control_digest(const std::string& directory) {
    const auto version = data_version(directory);
    if (!version) return version.error();
    const auto control = read_control_data(directory, *version);
    if (!control) return control.error();
    return base::sha256_hex(control->text);
}

// Only the folder that lies beside is the same one throughout: the tree's is made anew whenever the files go
// behind the stub.
base::Result<bool> are_exchanged(const Work& work) {
    const auto beside = tree_id(work.folder.beside(work.journal->restore_uid));
    if (!beside) return beside.error();
    if (*beside == work.journal->old_tree) return true;
    if (*beside == work.journal->copy) return false;
    return base::error(base::ErrorKind::conflict, work.folder.beside(work.journal->restore_uid) +
                                                      " is a folder that the journal does not know");
}

// Saved before the act: whatever a crash leaves, the journal tells which folder is which.
std::optional<AgentResult> record_trees(Work& work) {
    const auto tree = tree_id(work.tree.path());
    const auto beside = tree_id(work.folder.beside(work.journal->restore_uid));
    if (!tree) return from_error("VolumeLayout", tree.error());
    if (!beside) return from_error("VolumeLayout", beside.error());
    const auto digest = control_digest(work.folder.beside(work.journal->restore_uid));
    if (!digest) return from_error("ControlFileUnreadable", digest.error());
    work.journal->old_tree = *tree;
    work.journal->copy = *beside;
    work.journal->copy_control = *digest;
    return save_journal(work, Journal::State::committing);
}

base::Status exchange(const Work& work) {
    return exchange_trees(work.folder.path(), "tree", WorkFolder::beside_name(work.journal->restore_uid));
}

// A server has archived on the copy's timeline, so the old files come back on one above it: as long as they
// are beside, and until their own pg_control says that they are.
std::optional<AgentResult> promote_old_files(const Context& context, const Work& work) {
    const std::string old = work.folder.beside(work.journal->restore_uid);
    {
        // A private server that outlives an earlier attempt by a moment still runs below this name.
        const auto quiet = work.folder.lock_for_server();
        if (!quiet) return from_error("PrivateServerFailed", quiet.error());
    }
    const auto version = data_version(old);
    if (!version) return from_error("DataDirectoryDamaged", version.error());
    const auto control = read_control_data(old, *version);
    // No server could start on them, and none can: they come back as they were.
    if (!control && work.journal->old_unreadable) return std::nullopt;
    if (!control) return from_error("ControlFileUnreadable", control.error());
    if (control->timeline() != work.journal->old_timeline) return std::nullopt;
    std::optional<PgBackRest> repository;
    if (const auto failure = PgBackRest::open(context, repository)) return from_failure(*failure);
    resources::PointInTime end;
    end.latest = true;
    const Recovery recovery{recovery_settings(end, work.journal->old_timeline,
                                              repository->restore_command(old, work.folder.other_trees(old))),
                            to_text(end)};
    auto server = PrivateServer::start(context, work.folder, old, recovery);
    if (!server) return retryable("PrivateServerFailed", to_text(server.error()));
    {
        auto session = (*server)->connect("template1");
        if (!session) return from_error("PrivateServerFailed", session.error());
        if (auto written = session->run("CHECKPOINT"); !written)
            return from_error("PrivateServerFailed", written.error());
    }
    if (auto stopped = (*server)->stop(); !stopped) return from_error("PrivateServerFailed", stopped.error());
    return std::nullopt;
}

// The copy's timeline is live no more, or never was.
base::Status correct_timelines(const Work& work, bool was_served) {
    auto timelines = work.folder.timelines();
    if (!timelines) return timelines.error();
    const int64_t of_copy = work.journal->recovered_to.timeline;
    if (!was_served) {
        std::erase_if(*timelines, [&](const LiveTimeline& timeline) { return timeline.id == of_copy; });
        return work.folder.save_timelines(*timelines);
    }
    const auto version = data_version(work.tree.path());
    if (!version) return version.error();
    const auto control = read_control_data(work.tree.path(), *version);
    if (!control && !work.journal->old_unreadable) return control.error();
    const int64_t live = control ? control->timeline() : work.journal->old_timeline;
    if (timelines->empty() || timelines->back().id != live) {
        timelines->push_back({live, of_copy, base::format_time_micro(base::SystemClock{}.now())});
    }
    return work.folder.save_timelines(*timelines);
}

}  // namespace

std::optional<AgentResult> put_copy_in_place(const Context& context, Work& work) {
    bool was_unclean = work.journal->was_unclean;
    if (auto failure = put_behind_stub(context, work, std::nullopt, was_unclean)) return failure;
    work.journal->was_unclean = was_unclean;
    if (work.journal->state == Journal::State::prepared) {
        if (auto failure = record_trees(work)) return failure;
    }
    const auto exchanged = are_exchanged(work);
    if (!exchanged) return from_error("VolumeLayout", exchanged.error());
    if (!*exchanged) {
        if (auto ours = work.folder.still_ours(*work.journal); !ours)
            return failed("TakenOver", to_text(ours.error()));
        if (auto done = exchange(work); !done) return from_error("CommitFailed", done.error());
    }
    return save_journal(work, Journal::State::committed);
}

std::optional<AgentResult> put_old_files_back(const Context& context, Work& work) {
    const auto exchanged = are_exchanged(work);
    if (!exchanged) return from_error("VolumeLayout", exchanged.error());
    if (*exchanged) {
        bool ignored = false;
        if (auto failure = put_behind_stub(context, work, std::nullopt, ignored)) return failure;
        const auto digest = control_digest(work.tree.path());
        // What cannot be read any more may have been served.
        work.journal->copy_served = !digest || *digest != work.journal->copy_control;
        if (work.journal->copy_served) {
            if (auto failure = promote_old_files(context, work)) return failure;
        }
        const auto copy = tree_id(work.tree.path());
        if (!copy) return from_error("VolumeLayout", copy.error());
        work.journal->copy = *copy;
        if (auto failure = save_journal(work, work.journal->state)) return failure;
        if (auto done = exchange(work); !done) return from_error("RollbackIncomplete", done.error());
    }
    if (auto corrected = correct_timelines(work, work.journal->copy_served); !corrected)
        return from_error("LedgerNotWritten", corrected.error());
    return save_journal(work, Journal::State::prepared);
}

base::Status remember_timeline(const Work& work) {
    auto timelines = work.folder.timelines();
    if (!timelines) return timelines.error();
    const int64_t id = work.journal->recovered_to.timeline;
    if (!timelines->empty() && timelines->back().id == id) return base::success();
    timelines->push_back(
        {id, work.journal->old_timeline, base::format_time_micro(base::SystemClock{}.now())});
    return work.folder.save_timelines(*timelines);
}

}  // namespace dbrestore::agent
