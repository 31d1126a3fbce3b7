#include "agent/question.h"

#include "agent/text.h"

namespace dbrestore::agent {

namespace {

constexpr size_t max_shown_bytes = 200;

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
    // Before version 14 there is no role that reads everything.
    if (session.server_version() >= 140000) return session.run(sql + "GRANT pg_read_all_data TO " + role);
    return session.run(
        sql +
        "DO $$ DECLARE item record; BEGIN FOR item IN SELECT nspname FROM pg_namespace WHERE nspname !~ "
        "'^(pg_|information_schema$)' LOOP EXECUTE format('GRANT USAGE ON SCHEMA %I TO " +
        role + "', item.nspname); EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO " + role +
        "', item.nspname); END LOOP; END $$");
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

std::optional<AgentResult> ask_question(const Context& context, const PrivateServer& server,
                                        const Journal& journal) {
    const auto& question = context.request.verification;
    if (!question) return std::nullopt;
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
        if (auto set = session->run("SET search_path = public; SET default_transaction_read_only = on; SET "
                                    "statement_timeout = '1h'");
            !set)
            return from_error("VerificationFailed", set.error());
        verdict = judge_answer(session->query_one(question->query), *question);
    }
    if (auto dropped = drop_asking_role(*superuser, journal); !dropped)
        return from_error("VerificationFailed", dropped.error());
    return verdict;
}

}  // namespace dbrestore::agent
