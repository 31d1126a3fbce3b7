#include "agent/steps/rollback.h"

#include "agent/dump/new_database.h"
#include "agent/dump/stage.h"
#include "agent/point_in_time/copy.h"
#include "agent/steps/steps.h"
#include "agent/text.h"
#include "base/clock.h"

namespace dbrestore::agent {

namespace {

constexpr int64_t attempts_to_clean = 3;

base::Result<bool> database_exists(Session& session, const std::string& name) {
    const auto found = session.value("SELECT 1 FROM pg_database WHERE datname = $1", {name});
    if (!found) return found.error();
    return !found->empty();
}

// Whether the renames of the commit have happened, the catalog tells.
base::Status rename_back(Session& session, const Journal& journal) {
    const auto committed = database_exists(session, journal.old_database);
    if (!committed) return committed.error();
    if (!*committed) return base::success();
    const auto restored = database_exists(session, journal.database);
    if (!restored) return restored.error();
    std::string sql = "BEGIN;";
    if (*restored)
        sql += "ALTER DATABASE " + quote_identifier(journal.database) + " RENAME TO " +
               quote_identifier(journal.new_database) + ";";
    sql += "ALTER DATABASE " + quote_identifier(journal.old_database) + " RENAME TO " +
           quote_identifier(journal.database) + ";";
    sql += "ALTER DATABASE " + quote_identifier(journal.database) + " ALLOW_CONNECTIONS true;COMMIT";
    return session.run(sql);
}

base::Status clean_catalog(const Context& context, const Work& work) {
    auto server = PrivateServer::start(context, work.folder, work.tree.path());
    if (!server) return server.error();
    {
        auto session = (*server)->connect("template1");
        if (!session) return session.error();
        if (auto renamed = rename_back(*session, *work.journal); !renamed) return renamed;
        if (auto dropped = drop_leftovers(**server, *session, *work.journal); !dropped) return dropped;
        if (auto written = session->run("CHECKPOINT"); !written) return written;
    }
    return (*server)->stop();
}

// Only where the live server may have run on the restored database is there anything to take back in shown
// files.
bool catalog_may_hold_ours(const Work& work) {
    return work.tree.is_hidden() || work.journal->state == Journal::State::committed;
}

LedgerEntry ended_now(const std::string& restore_name, const std::string& restore_uid) {
    return {restore_name, restore_uid, base::format_time(base::SystemClock{}.now()), false};
}

std::optional<AgentResult> end_here(Work& work) {
    work.folder.free_ballast();  // where the disk did not let go of it at first
    if (auto failure = save_journal(work, Journal::State::rolled_back)) return failure;
    const LedgerEntry entry = ended_now(work.journal->restore_name, work.journal->restore_uid);
    if (auto added = work.folder.add_to_ledger(entry); !added)
        return from_error("LedgerNotWritten", added.error());
    return std::nullopt;
}

AgentResult take_copy_back(const Context& context, Work& work) {
    using State = Journal::State;
    if (work.journal->state == State::committing || work.journal->state == State::committed) {
        if (auto failure = put_old_files_back(context, work)) return *failure;
    }
    if (auto shown = work.tree.show(); !shown) return from_error("VolumeLayout", shown.error());
    if (auto cleared = clear_beside(work); !cleared) return from_error("RollbackIncomplete", cleared.error());
    if (auto failure = end_here(work)) return *failure;
    return done();
}

}  // namespace

AgentResult take_back(const Context& context, Work& work) {
    work.folder.free_ballast();  // on a full disk the journal could not be written either
    // Before the first act: a crash after the renames must not be taken for the commit that they undid.
    work.journal->rolling_back = true;
    if (auto saved = work.folder.save(*work.journal); !saved)
        return from_error("JournalNotWritten", saved.error());
    if (work.journal->physical) return take_copy_back(context, work);
    base::Status cleaned = base::success();
    if (catalog_may_hold_ours(work)) {
        bool was_unclean = false;
        if (auto refused = put_behind_stub(context, work, std::nullopt, was_unclean);
            refused && refused->reason != "ControlFileUnreadable")
            return *refused;
        if (work.tree.is_hidden()) cleaned = clean_catalog(context, work);
    }
    // A disk that is full for a moment leaves no database behind; one that stays so must not keep the old
    // data down.
    if (!cleaned && context.request.attempt < attempts_to_clean)
        return retryable("RollbackIncomplete",
                         "the catalog could not be cleaned: " + to_text(cleaned.error()));
    if (auto shown = work.tree.show(); !shown) return from_error("VolumeLayout", shown.error());
    const bool was_renamed =
        work.journal->state == Journal::State::committing || work.journal->state == Journal::State::committed;
    if (!cleaned && was_renamed) {
        return retryable("RollbackIncomplete",
                         "the files are in their place, but the databases could not be renamed back: " +
                             to_text(cleaned.error()));
    }
    if (auto failure = end_here(work)) return *failure;
    if (!cleaned) {
        return done("the files are in their place; the unfinished database \"" + work.journal->new_database +
                    "\" may be left: " + to_text(cleaned.error()));
    }
    return done();
}

namespace {

AgentResult take_back_if_ours(const Context& context, Work& work) {
    if (!work.journal) {
        work.folder.free_ballast();
        if (auto shown = work.tree.show(); !shown) return from_error("VolumeLayout", shown.error());
        return done("no journal is there; the files are in their place");
    }
    if (!work.is_of(context.request.restore_uid)) return done("nothing of this restore is on the volume");
    if (work.journal->state == Journal::State::rolled_back && !work.tree.is_hidden()) return done();
    if (auto failure = claim(context, work)) return *failure;
    return take_back(context, work);
}

}  // namespace

AgentResult rollback(const Context& context) {
    Work work(context.request.data_directory);
    if (auto failure = take_hold(context, work); failure && failure->reason != "JournalDamaged")
        return *failure;
    // Whoever left it: a prepare that runs holds the lock, and one that follows fetches it again.
    remove_staged(work.folder);
    AgentResult result = take_back_if_ours(context, work);
    if (result.outcome != AgentResult::Outcome::done) return result;
    // Also where nothing was done yet: a Job that comes late must not begin.
    const auto& request = context.request;
    if (auto added = work.folder.add_to_ledger(ended_now(request.restore_name, request.restore_uid)); !added)
        return from_error("LedgerNotWritten", added.error());
    return result;
}

}  // namespace dbrestore::agent
