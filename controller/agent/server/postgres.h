#pragma once
// One session with a PostgreSQL server, by libpq.

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

struct pg_conn;
struct pg_result;

namespace dbrestore::agent {

struct ConnectTarget {
    std::string host;  // a name, an address, or the folder of a socket
    int64_t port = 5432;
    std::string user, password, database;
};

// NULL reads as an empty text; queries that must tell them apart ask for IS NULL.
using Row = std::vector<std::string>;
using Rows = std::vector<Row>;

// Settings that each session of ours begins with, in the form of PGOPTIONS: they beat ALTER ROLE and ALTER
// DATABASE, so that neither a planted function is found through search_path nor a user's timeout ends the
// work.
std::string session_options(std::string_view search_path);

class Session {
public:
    // Gives up after five seconds. Errors: refused (login denied); not_found (no such database); unavailable
    // (the rest).
    static base::Result<Session> open(const ConnectTarget& target);

    // Errors: refused (insufficient privilege); unavailable (the connection broke); failed.
    // Without parameters `sql` may be several statements.
    base::Result<Rows> query(const std::string& sql, const std::vector<std::string>& parameters = {});
    // Exactly one statement, whatever the text says. Same errors.
    base::Result<Rows> query_one(const std::string& sql, const std::vector<std::string>& parameters = {});
    // The first column of the first row, or empty.
    base::Result<std::string> value(const std::string& sql, const std::vector<std::string>& parameters = {});
    base::Status run(const std::string& sql);

    // What ALTER ROLE … PASSWORD takes instead of the password itself, as this server would store it: so it
    // stands in no statement and no log. Errors: failed.
    base::Result<std::string> hashed_password(const std::string& user, const std::string& password);

    // As the server says at login: 150018 for 15.18.
    int server_version() const;

private:
    struct Closer {
        void operator()(pg_conn* connection) const;
    };
    base::Result<Rows> rows_of(pg_result* owned);
    explicit Session(pg_conn* connection) : connection_(connection) {}

    std::unique_ptr<pg_conn, Closer> connection_;
};

}  // namespace dbrestore::agent
