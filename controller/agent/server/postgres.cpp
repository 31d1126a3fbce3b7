#include "agent/server/postgres.h"

#include <libpq-fe.h>
#include <poll.h>

#include "agent/text.h"

namespace dbrestore::agent {

namespace {

using SteadyClock = std::chrono::steady_clock;
constexpr std::chrono::seconds connect_timeout{5};
constexpr size_t max_server_message_bytes = 600;
// libpq warns of a file that is none, and takes an empty name for its default.
constexpr const char* no_password_file = "/dev/null/none";

struct ResultCloser {
    void operator()(PGresult* result) const { PQclear(result); }
};
using OwnedResult = std::unique_ptr<PGresult, ResultCloser>;

base::ErrorKind kind_of_login_failure(const std::string& text) {
    // Verbose messages carry the SQLSTATE in every language: "FATAL:  28P01: …".
    if (text.find(" 28P01: ") != std::string::npos || text.find(" 28000: ") != std::string::npos)
        return base::ErrorKind::refused;
    if (text.find(" 3D000: ") != std::string::npos) return base::ErrorKind::not_found;
    return base::ErrorKind::unavailable;
}

// Only what the server or libpq says first: the rest of a verbose message names source files.
base::Error login_failure(pg_conn* connection, const ConnectTarget& target) {
    const std::string text = PQerrorMessage(connection);
    std::string first = text.substr(0, text.find("\nLOCATION:"));
    return base::error(kind_of_login_failure(text), "cannot log in to database \"" + target.database +
                                                        "\" as \"" + target.user +
                                                        "\": " + one_line(first, max_server_message_bytes));
}

// False where the connection failed or time ran out.
bool wait_for_login(pg_conn* connection) {
    const auto deadline = SteadyClock::now() + connect_timeout;
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;
    while (state != PGRES_POLLING_OK && state != PGRES_POLLING_FAILED) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(deadline - SteadyClock::now());
        pollfd polled{PQsocket(connection),
                      static_cast<short>(state == PGRES_POLLING_READING ? POLLIN : POLLOUT), 0};
        if (left.count() <= 0 || ::poll(&polled, 1, static_cast<int>(left.count())) == 0) return false;
        state = PQconnectPoll(connection);
    }
    return state == PGRES_POLLING_OK;
}

base::Error query_failure(pg_conn* connection, const PGresult* result) {
    const auto part = [&](int code) {
        const char* text = PQresultErrorField(result, code);
        return std::string(text != nullptr ? text : "");
    };
    if (PQstatus(connection) != CONNECTION_OK) {
        return base::error(base::ErrorKind::unavailable,
                           "the server closed the connection: " +
                               one_line(PQerrorMessage(connection), max_server_message_bytes));
    }
    std::string message = part(PG_DIAG_MESSAGE_PRIMARY);
    if (const std::string detail = part(PG_DIAG_MESSAGE_DETAIL); !detail.empty())
        message += " (" + detail + ")";
    const auto kind = part(PG_DIAG_SQLSTATE) == "42501" ? base::ErrorKind::refused : base::ErrorKind::failed;
    return base::error(kind, one_line(message, max_server_message_bytes),
                       one_line(part(PG_DIAG_MESSAGE_HINT), max_server_message_bytes));
}

}  // namespace

std::string session_options(std::string_view search_path) {
    return "-c search_path=" + std::string(search_path) +
           " -c default_transaction_read_only=off -c default_transaction_isolation=read\\ committed -c "
           "statement_timeout=0"
           " -c lock_timeout=0 -c idle_in_transaction_session_timeout=0 -c row_security=off";
}

base::Result<Session> Session::open(const ConnectTarget& target) {
    const std::string port = std::to_string(target.port);
    const std::string options = session_options("pg_catalog");
    const char* const keys[] = {"host",     "port",     "user",
                                "password", "dbname",   "application_name",
                                "options",  "passfile", "client_encoding",
                                nullptr};
    const char* const values[] = {target.host.c_str(),
                                  port.c_str(),
                                  target.user.c_str(),
                                  target.password.c_str(),
                                  target.database.c_str(),
                                  "dbrestore",
                                  options.c_str(),
                                  no_password_file,
                                  "UTF8",
                                  nullptr};
    Session session{PQconnectStartParams(keys, values, 0)};
    pg_conn* const connection = session.connection_.get();
    if (connection == nullptr) return base::error(base::ErrorKind::io, "out of memory");
    PQsetErrorVerbosity(connection, PQERRORS_VERBOSE);
    PQsetNoticeProcessor(
        connection, [](void*, const char*) {}, nullptr);
    if (PQstatus(connection) == CONNECTION_BAD) return login_failure(connection, target);
    if (!wait_for_login(connection)) {
        if (PQstatus(connection) == CONNECTION_BAD) return login_failure(connection, target);
        return base::error(base::ErrorKind::unavailable,
                           target.host + " port " + port + " did not answer within " +
                               std::to_string(connect_timeout.count()) + " seconds");
    }
    return session;
}

base::Result<Rows> Session::query(const std::string& sql, const std::vector<std::string>& parameters) {
    if (!parameters.empty()) return query_one(sql, parameters);
    return rows_of(PQexec(connection_.get(), sql.c_str()));
}

base::Result<Rows> Session::query_one(const std::string& sql, const std::vector<std::string>& parameters) {
    std::vector<const char*> values;
    values.reserve(parameters.size());
    for (const auto& parameter : parameters) values.push_back(parameter.c_str());
    return rows_of(PQexecParams(connection_.get(), sql.c_str(), static_cast<int>(values.size()), nullptr,
                                values.data(), nullptr, nullptr, 0));
}

base::Result<Rows> Session::rows_of(pg_result* owned) {
    const OwnedResult result{owned};
    const auto status = PQresultStatus(result.get());
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && status != PGRES_EMPTY_QUERY)
        return query_failure(connection_.get(), result.get());
    Rows rows;
    for (int i = 0; i < PQntuples(result.get()); ++i) {
        Row row;
        for (int column = 0; column < PQnfields(result.get()); ++column) {
            row.emplace_back(PQgetvalue(result.get(), i, column),
                             static_cast<size_t>(PQgetlength(result.get(), i, column)));
        }
        rows.push_back(std::move(row));
    }
    return rows;
}

base::Result<std::string> Session::value(const std::string& sql, const std::vector<std::string>& parameters) {
    auto rows = query(sql, parameters);
    if (!rows) return rows.error();
    return rows->empty() || rows->front().empty() ? std::string() : rows->front().front();
}

base::Status Session::run(const std::string& sql) {
    if (auto rows = query(sql); !rows) return rows.error();
    return base::success();
}

base::Result<std::string> Session::hashed_password(const std::string& user, const std::string& password) {
    // By no algorithm of ours: the server's own setting.
    const std::unique_ptr<char, void (*)(void*)> hash{
        PQencryptPasswordConn(connection_.get(), password.c_str(), user.c_str(), nullptr), PQfreemem};
    if (!hash)
        return base::error(base::ErrorKind::failed,
                           "cannot hash a password: " +
                               one_line(PQerrorMessage(connection_.get()), max_server_message_bytes));
    return std::string(hash.get());
}

int Session::server_version() const {
    return PQserverVersion(connection_.get());
}

void Session::Closer::operator()(pg_conn* connection) const {
    PQfinish(connection);
}

}  // namespace dbrestore::agent
