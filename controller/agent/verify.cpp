#include "agent/enter.h"
#include "agent/new_database.h"
#include "agent/question.h"
#include "agent/steps.h"
#include "agent/text.h"

namespace dbrestore::agent {

namespace {

constexpr const char* count_tables = R"sql(
SELECT count(*) FROM pg_class c WHERE relkind IN ('r', 'p', 'f') AND relpersistence <> 't' AND c.oid >= 16384
AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))sql";

struct Expectation {
    const char* sql;  // gives one value, with the journal's names as $1 (old), $2 (new), $3 (role)
    std::string wanted;
    const char* what;
};

std::optional<AgentResult> check_new_database(Session& session, const Journal& journal) {
    const auto tables = session.value(count_tables);
    if (!tables) return from_error("VerificationFailed", tables.error());
    const int64_t found = std::stoll(*tables);
    if (journal.clean ? found < journal.tables : found != journal.tables) {
        return failed("VerificationFailed", "the new database has " + *tables + " tables, the dump " +
                                                std::to_string(journal.tables));
    }
    const std::vector<Expectation> expectations{
        {"SELECT count(*) FROM pg_index WHERE NOT indisvalid AND $1 <> '' AND $2 <> '' AND $3 <> ''", "0",
         "invalid indexes"},
        {"SELECT count(*) FROM pg_database a JOIN pg_database b ON a.datdba <> b.datdba WHERE a.datname = $1 "
         "AND b.datname = $2 AND $3 <> ''",
         "0", "databases with another owner"},
        {"SELECT count(*) FROM pg_roles WHERE rolname = $3 AND $1 <> '' AND $2 <> ''", "0",
         "temporary roles"},
    };
    for (const auto& expectation : expectations) {
        const auto value =
            session.value(expectation.sql, {journal.database, journal.new_database, journal.role});
        if (!value) return from_error("VerificationFailed", value.error());
        if (*value != expectation.wanted)
            return failed("VerificationFailed", "found " + *value + " " + expectation.what);
    }
    return std::nullopt;
}

// What was recovered is what is there: nothing has begun another timeline since.
std::optional<AgentResult> check_copy(Session& session, const Journal& journal) {
    const auto timeline = session.value("SELECT timeline_id FROM pg_control_checkpoint()");
    if (!timeline) return from_error("VerificationFailed", timeline.error());
    if (*timeline == std::to_string(journal.recovered_to.timeline)) return std::nullopt;
    return failed("VerificationFailed", "the copy is on timeline " + *timeline + ", and was recovered on " +
                                            std::to_string(journal.recovered_to.timeline));
}

std::optional<AgentResult> check_before_commit(Session& session, const Journal& journal) {
    if (journal.physical) return check_copy(session, journal);
    return journal.undo ? check_names(session, journal) : check_new_database(session, journal);
}

std::optional<AgentResult> start_on_prepared(const Context& context, const Work& work,
                                             std::unique_ptr<PrivateServer>& server) {
    if (!work.journal->physical) return start_server(context, work, server);
    auto started = PrivateServer::start(context, work.folder, work.folder.beside(work.journal->restore_uid));
    if (!started) return failed("PrivateServerFailed", to_text(started.error()));
    server = std::move(*started);
    return std::nullopt;
}

AgentResult verify_privately(const Context& context) {
    Work work(context.request.data_directory);
    if (auto failure = take_hold(context, work)) return *failure;
    if (auto failure = claim(context, work)) return *failure;
    if (work.journal->state != Journal::State::prepared)
        return failed("NotPrepared", "there is no prepared database to verify");
    std::unique_ptr<PrivateServer> server;
    if (auto failure = start_on_prepared(context, work, server)) return *failure;
    AgentResult result = done();
    if (!work.journal->undo) {
        if (auto failure = read_restored(context, *server, *work.journal)) return *failure;
    }
    {
        // A kept database takes no connections, and nothing was written to it since it was served.
        const bool undo = work.journal->undo;
        auto session = server->connect(undo ? "template1" : work.journal->new_database);
        if (!session) return from_error("VerificationFailed", session.error());
        if (auto failure = check_before_commit(*session, *work.journal)) return *failure;
        const auto version = session->value("SHOW server_version");
        if (version) result.server_version = *version;
    }
    if (auto stopped = server->stop(); !stopped) return from_error("PrivateServerFailed", stopped.error());
    return result;
}

// What a client of the started server gets. That the old database is there under the name that holds this
// restore's UID, and closed, proves that the commit of this restore is what runs.
AgentResult verify_as_client(const Context& context) {
    const auto credentials = read_credentials(context);
    if (!credentials) return failed("CredentialsMissing", to_text(credentials.error()));
    auto session = Session::open({context.request.host, context.request.port, credentials->user,
                                  credentials->password, credentials->database});
    if (!session && session.error().kind == base::ErrorKind::refused)
        return failed("AuthenticationFailed", to_text(session.error()));
    if (!session && session.error().kind == base::ErrorKind::not_found)
        return failed("DatabaseNotFound", to_text(session.error()));
    if (!session) return retryable("ServerUnreachable", to_text(session.error()));
    const auto recovering = session->value("SELECT pg_is_in_recovery()");
    if (!recovering) return from_error("VerificationFailed", recovering.error());
    if (*recovering == "t") return retryable("ServerInRecovery", "the started server is still in recovery");
    const auto kept = session->value("SELECT datallowconn FROM pg_database WHERE datname = $1",
                                     {context.request.old_database});
    if (!kept) return from_error("VerificationFailed", kept.error());
    if (*kept != "f") {
        return failed("NotTheRestoredDatabase", "the started server has no closed database \"" +
                                                    context.request.old_database +
                                                    "\": it does not serve what was restored");
    }
    const auto version = session->value("SHOW server_version");
    if (!version) return from_error("VerificationFailed", version.error());
    AgentResult result = done();
    result.server_version = *version;
    return result;
}

}  // namespace

AgentResult verify(const Context& context) {
    return context.request.host.empty() ? verify_privately(context) : verify_as_client(context);
}

}  // namespace dbrestore::agent
