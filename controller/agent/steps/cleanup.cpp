#include <algorithm>
#include <filesystem>

#include "agent/point_in_time/copy.h"
#include "agent/server/postgres.h"
#include "agent/steps/rollback.h"
#include "agent/steps/steps.h"
#include "agent/text.h"

namespace dbrestore::agent {

namespace {

constexpr const char* kept_prefix = "dbrestore_old_";

// Only what a commit has replaced: before it, and on the way back, what lies beside is somebody's to use.
AgentResult remove_old_files(const Context& context) {
    Work work(context.request.data_directory);
    const std::string& uid = context.request.restore_uid;
    if (auto failure = take_hold(context, work)) return *failure;
    // Also where the controller could not hear any more that they were taken back.
    if (!work.is_of(uid) && !std::filesystem::exists(work.folder.beside(uid)))
        return done("they were gone already");
    const auto ended = work.folder.ledger();
    if (!ended) return from_error("LedgerDamaged", ended.error());
    const bool succeeded = std::ranges::any_of(
        *ended, [&](const LedgerEntry& entry) { return entry.restore_uid == uid && entry.succeeded; });
    const bool is_committed = work.journal && work.journal->state == Journal::State::committed;
    if (!succeeded || (work.is_of(uid) && (!is_committed || work.journal->rolling_back)))
        return failed("NotOurs", "this restore keeps no old files here");
    if (work.is_of(uid)) {
        if (auto failure = finish_commit(work)) return *failure;
    }
    if (auto removed = remove_beside(work.folder, uid); !removed)
        return from_error("CleanupFailed", removed.error());
    return done();
}

}  // namespace

AgentResult cleanup(const Context& context) {
    if (context.request.point_in_time) return remove_old_files(context);
    const std::string& name = context.request.old_database;
    if (!name.starts_with(kept_prefix))
        return failed("NotOurs", "\"" + name + "\" is no database that a restore keeps");
    const auto credentials = read_credentials(context);
    if (!credentials) return failed("CredentialsMissing", to_text(credentials.error()));
    auto session = Session::open({context.request.host, context.request.port, credentials->user,
                                  credentials->password, credentials->database});
    if (!session) return from_error("ServerUnreachable", session.error());
    const auto open = session->value("SELECT datallowconn FROM pg_database WHERE datname = $1", {name});
    if (!open) return from_error("CleanupFailed", open.error());
    if (open->empty()) return done("it was gone already");
    // Somebody opened it on purpose: it is in use again and not ours to drop.
    if (*open == "t")
        return failed("DatabaseInUse", "database \"" + name + "\" takes connections again, so it is kept");
    if (auto dropped = session->run("DROP DATABASE " + quote_identifier(name) + " WITH (FORCE)"); !dropped)
        return from_error("CleanupFailed", dropped.error());
    return done();
}

}  // namespace dbrestore::agent
