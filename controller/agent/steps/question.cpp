#include "agent/steps/question.h"

#include "agent/text.h"

namespace dbrestore::agent {

namespace {

constexpr size_t max_shown_bytes = 200;

constexpr const char* relations_to_read = R"sql(
SELECT c.oid::regclass FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind IN ('r', 'm', 'S') AND relispopulated AND nspname !~ '^(pg_|information_schema$)')sql";

// A crash leaves it behind; the next run, or the rollback, drops it.
base::Status drop_asking_role(Session& session, const Journal& journal) {
    const auto exists = session.value("SELECT 1 FROM pg_roles WHERE rolname = $1", {journal.role});
    if (!exists) return exists.error();
    if (exists->empty()) return base::success();
    const std::string role = quote_identifier(journal.role);
    return session.run("DROP OWNED BY " + role + "; DROP ROLE " + role);
}

base::Status make_asking_role(Session& session, const Journal& journal) {
    const std::string role = quote_identifier(journal.role);
    std::string sql =
        "CREATE ROLE " + role + " LOGIN BYPASSRLS NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;";
    for (const char* setting : {"log_min_messages", "log_min_error_statement"})
        sql += "ALTER ROLE " + role + " SET " + setting + " = 'panic';";
    sql += "GRANT CONNECT ON DATABASE " + quote_identifier(journal.new_database) + " TO " + role + ";";
    // Not pg_read_all_data, which reads everybody's password too.
    return session.run(
        sql +
        "DO $$ DECLARE item record; BEGIN FOR item IN SELECT nspname FROM pg_namespace WHERE nspname !~ "
        "'^(pg_|information_schema$)' LOOP EXECUTE format('GRANT USAGE ON SCHEMA %I TO " +
        role + "', item.nspname); EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO " + role +
        "', item.nspname); EXECUTE format('GRANT SELECT ON ALL SEQUENCES IN SCHEMA %I TO " + role +
        "', item.nspname); END LOOP; END $$");
}

// The first row of each relation, but where the role may not run a function that an index needs.
std::optional<AgentResult> read_each_relation(Session& superuser, Session& session) {
    const auto relations = superuser.query(relations_to_read);
    if (!relations) return from_error("VerificationFailed", relations.error());
    for (const auto& row : *relations) {
        const auto read = session.run("SELECT FROM ONLY " + row[0] + " LIMIT 1");
        if (!read && read.error().kind != base::ErrorKind::refused)
            return failed("VerificationFailed",
                          "cannot read " + one_line(row[0], max_shown_bytes) + ": " + to_text(read.error()));
    }
    return std::nullopt;
}

std::optional<AgentResult> judge_answer(const base::Result<Rows>& rows,
                                        const resources::Verification& question) {
    if (!rows)
        return failed("VerificationFailed", "`spec.verification.query` failed: " + to_text(rows.error()));
    if (!question.expect) return std::nullopt;
    const bool empty = rows->empty() || rows->front().empty();
    if (!empty && rows->front().front() == *question.expect) return std::nullopt;
    return failed("VerificationFailed",
                  "`spec.verification.query` must give \"" + one_line(*question.expect, max_shown_bytes) +
                      "\", and gives " +
                      (empty ? "no row" : "\"" + one_line(rows->front().front(), max_shown_bytes) + "\""));
}

}  // namespace

std::optional<AgentResult> read_restored(const Context& context, const PrivateServer& server,
                                         const Journal& journal) {
    auto superuser = server.connect(journal.new_database);
    if (!superuser) return from_error("VerificationFailed", superuser.error());
    if (auto dropped = drop_asking_role(*superuser, journal); !dropped)
        return from_error("VerificationFailed", dropped.error());
    if (auto made = make_asking_role(*superuser, journal); !made)
        return from_error("VerificationFailed", made.error());
    std::optional<AgentResult> verdict;
    {
        auto session = server.connect_as_role(journal.role, journal.new_database);
        if (!session) return from_error("VerificationFailed", session.error());
        if (auto set = session->run("SET default_transaction_read_only = on; SET statement_timeout = '1h'");
            !set)
            return from_error("VerificationFailed", set.error());
        verdict = read_each_relation(*superuser, *session);
        if (const auto& question = context.request.verification; question && !verdict) {
            if (auto set = session->run("SET search_path = public"); !set)
                return from_error("VerificationFailed", set.error());
            verdict = judge_answer(session->query_one(question->query), *question);
        }
    }
    if (auto dropped = drop_asking_role(*superuser, journal); !dropped)
        return from_error("VerificationFailed", dropped.error());
    return verdict;
}

}  // namespace dbrestore::agent
