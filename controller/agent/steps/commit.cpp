#include "agent/point_in_time/copy.h"
#include "agent/steps/rollback.h"
#include "agent/steps/steps.h"
#include "agent/text.h"
#include "base/clock.h"

namespace dbrestore::agent {

namespace {

// Both names change in one transaction, so that a kill leaves either the old or the new database under the
// name; and the old one takes no connection from then on.
base::Status exchange_names(Session& session, const Journal& journal) {
    const auto is_done =
        session.value("SELECT 1 FROM pg_database WHERE datname = $1", {journal.old_database});
    if (!is_done) return is_done.error();
    if (!is_done->empty()) return base::success();
    const std::string name = quote_identifier(journal.database),
                      kept = quote_identifier(journal.old_database);
    return session.run("BEGIN;ALTER DATABASE " + name + " RENAME TO " + kept + ";ALTER DATABASE " +
                       quote_identifier(journal.new_database) + " RENAME TO " + name + ";ALTER DATABASE " +
                       kept + " ALLOW_CONNECTIONS false;ALTER DATABASE " + name +
                       " ALLOW_CONNECTIONS true;COMMIT");
}

std::optional<AgentResult> change_catalog(const Context& context, Work& work) {
    std::unique_ptr<PrivateServer> server;
    if (auto failure = start_server(context, work, server)) return failure;
    {
        auto session = server->connect("template1");
        if (!session) return from_error("PrivateServerFailed", session.error());
        if (auto ours = work.folder.still_ours(*work.journal); !ours)
            return failed("TakenOver", to_text(ours.error()));
        if (auto renamed = exchange_names(*session, *work.journal); !renamed)
            return from_error("CommitFailed", renamed.error());
        const auto size = session->value("SELECT pg_database_size($1)", {work.journal->old_database});
        if (!size) return from_error("CommitFailed", size.error());
        work.journal->old_bytes = std::stoll(*size);
        if (auto written = session->run("CHECKPOINT"); !written)
            return from_error("CommitFailed", written.error());
    }
    if (auto stopped = server->stop(); !stopped) return from_error("PrivateServerFailed", stopped.error());
    return std::nullopt;
}

std::optional<AgentResult> exchange_databases(const Context& context, Work& work) {
    if (auto failure = save_journal(work, Journal::State::committing)) return failure;
    if (auto failure = change_catalog(context, work)) return failure;
    return save_journal(work, Journal::State::committed);
}

}  // namespace

std::optional<AgentResult> finish_commit(Work& work) {
    const LedgerEntry entry{work.journal->restore_name, work.journal->restore_uid,
                            base::format_time(base::SystemClock{}.now())};
    if (auto added = work.folder.add_to_ledger(entry); !added)
        return from_error("LedgerNotWritten", added.error());
    if (work.journal->physical) {
        if (auto remembered = remember_timeline(work); !remembered)
            return from_error("LedgerNotWritten", remembered.error());
    }
    work.folder.free_ballast();
    if (auto shown = work.tree.show(); !shown) return from_error("VolumeLayout", shown.error());
    return std::nullopt;
}

AgentResult commit(const Context& context) {
    Work work(context.request.data_directory);
    if (auto failure = take_hold(context, work)) return *failure;
    if (auto failure = claim(context, work)) return *failure;
    const auto state = work.journal->state;
    if (state == Journal::State::preparing || state == Journal::State::rolled_back) {
        return failed("NotPrepared", "the new database is not there to be committed");
    }
    if (state != Journal::State::committed) {
        if (auto failure =
                work.journal->physical ? put_copy_in_place(context, work) : exchange_databases(context, work))
            return *failure;
    }
    if (auto failure = finish_commit(work)) return *failure;
    AgentResult result = done();
    result.bytes = work.journal->old_bytes;
    result.database = work.journal->database;
    if (work.journal->physical) result.recovered_to = work.journal->recovered_to;
    return result;
}

}  // namespace dbrestore::agent
