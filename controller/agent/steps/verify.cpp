#include "agent/dump/new_database.h"
#include "agent/point_in_time/checksums.h"
#include "agent/server/enter.h"
#include "agent/steps/question.h"
#include "agent/steps/steps.h"
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
std::optional<AgentResult> check_timeline(Session& session, int64_t wanted) {
    const auto timeline = session.value("SELECT timeline_id FROM pg_control_checkpoint()");
    if (!timeline) return from_error("VerificationFailed", timeline.error());
    if (*timeline == std::to_string(wanted)) return std::nullopt;
    return failed("NotTheRestoredDatabase", "the server is on timeline " + *timeline +
                                                ", and was recovered on " + std::to_string(wanted));
}

std::optional<AgentResult> check_before_commit(Session& session, const Journal& journal) {
    if (journal.physical) return check_timeline(session, journal.recovered_to.timeline);
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
    // What an Undo brings back was served, and takes the same time whatever its size.
    if (work.journal->physical && !work.journal->undo) {
        if (auto failure = check_pages(context, work.folder.beside(work.journal->restore_uid)))
            return *failure;
    }
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

// Closed, under a name that holds this restore's UID: it proves that the commit of this restore is what runs.
std::optional<AgentResult> check_kept_database(Session& session, const std::string& name) {
    const auto kept = session.value("SELECT datallowconn FROM pg_database WHERE datname = $1", {name});
    if (!kept) return from_error("VerificationFailed", kept.error());
    if (*kept == "f") return std::nullopt;
    return failed("NotTheRestoredDatabase", "the started server has no closed database \"" + name +
                                                "\": it does not serve what was restored");
}

// A running server has refused: it was recovered, and so were the passwords. Which server it is was proven
// before the commit.
AgentResult passwords_of_then(const base::Error& refused) {
    AgentResult result = done(
        "the roles have the passwords of then, and the connection Secret opens no "
        "database: it must hold that password, or the role be given today's (" +
        to_text(refused) + ")");
    result.credentials_match = false;
    return result;
}

// What a client of the started server gets.
AgentResult verify_as_client(const Context& context) {
    const auto credentials = read_credentials(context);
    if (!credentials) return failed("CredentialsMissing", to_text(credentials.error()));
    const bool is_point_in_time = context.request.point_in_time.has_value();
    auto session = Session::open({context.request.host, context.request.port, credentials->user,
                                  credentials->password, credentials->database});
    if (!session && session.error().kind == base::ErrorKind::refused)
        return is_point_in_time ? passwords_of_then(session.error())
                                : failed("AuthenticationFailed", to_text(session.error()));
    if (!session && session.error().kind == base::ErrorKind::not_found)
        return failed("DatabaseNotFound", to_text(session.error()));
    if (!session) return retryable("ServerUnreachable", to_text(session.error()));
    const auto recovering = session->value("SELECT pg_is_in_recovery()");
    if (!recovering) return from_error("VerificationFailed", recovering.error());
    if (*recovering == "t") return retryable("ServerInRecovery", "the started server is still in recovery");
    if (auto failure = is_point_in_time ? check_timeline(*session, context.request.timeline)
                                        : check_kept_database(*session, context.request.old_database))
        return *failure;
    const auto version = session->value("SHOW server_version");
    if (!version) return from_error("VerificationFailed", version.error());
    AgentResult result = done();
    result.server_version = *version;
    if (is_point_in_time) result.credentials_match = true;
    return result;
}

}  // namespace

AgentResult verify(const Context& context) {
    return context.request.host.empty() ? verify_privately(context) : verify_as_client(context);
}

}  // namespace dbrestore::agent
