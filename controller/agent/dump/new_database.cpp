#include "agent/dump/new_database.h"

#include "agent/text.h"

namespace dbrestore::agent {

namespace {

using base::error;
using base::ErrorKind;

// How this version names what a database's locale is made of.
std::string locale_query(int version) {
    const std::string provider = version >= 150000 ? "datlocprovider" : "'c'";
    const std::string locale = version >= 170000   ? "coalesce(datlocale, '')"
                               : version >= 150000 ? "coalesce(daticulocale, '')"
                                                   : "''";
    const std::string rules = version >= 160000 ? "coalesce(daticurules, '')" : "''";
    return "SELECT pg_encoding_to_char(encoding), datcollate, datctype, (SELECT spcname FROM pg_tablespace t "
           "WHERE t.oid = dattablespace), " +
           provider + ", " + locale + ", " + rules + " FROM pg_database WHERE datname = $1";
}

// file_copy: the copy's WAL would otherwise be as large as the database.
std::string copy_statement(const Journal& journal, int version) {
    return "CREATE DATABASE " + quote_identifier(journal.new_database) + " TEMPLATE " +
           quote_identifier(journal.database) + " OWNER " + quote_identifier(journal.role) +
           (version >= 150000 ? " STRATEGY file_copy" : "");
}

std::string create_statement(const Journal& journal, const Row& old) {
    std::string sql = "CREATE DATABASE " + quote_identifier(journal.new_database) +
                      " TEMPLATE template0 OWNER " + quote_identifier(journal.role) + " ENCODING " +
                      quote_literal(old[0]) + " LC_COLLATE " + quote_literal(old[1]) + " LC_CTYPE " +
                      quote_literal(old[2]) + " TABLESPACE " + quote_identifier(old[3]);
    if (old[4] == "i") sql += " LOCALE_PROVIDER icu ICU_LOCALE " + quote_literal(old[5]);
    if (old[4] == "b") sql += " LOCALE_PROVIDER builtin BUILTIN_LOCALE " + quote_literal(old[5]);
    if (!old[6].empty()) sql += " ICU_RULES " + quote_literal(old[6]);
    return sql;
}

// Extensions' own tables that a dump carries data for; those with row security are left alone, since the role
// bypasses it and a scheduler's jobs could then run as anybody.
constexpr const char* grant_on_extensions = R"sql(
DO $$
DECLARE item record;
BEGIN
    FOR item IN SELECT c.oid::regclass AS name, c.relkind FROM pg_extension e CROSS JOIN unnest(e.extconfig) AS config
                JOIN pg_class c ON c.oid = config WHERE NOT c.relrowsecurity LOOP
        IF item.relkind = 'S' THEN
            EXECUTE format('GRANT USAGE, UPDATE ON SEQUENCE %s TO ROLE_NAME', item.name);
        ELSE
            EXECUTE format('GRANT INSERT ON TABLE %s TO ROLE_NAME', item.name);
        END IF;
    END LOOP;
    FOR item IN SELECT fdwname AS name FROM pg_foreign_data_wrapper LOOP
        EXECUTE format('GRANT USAGE ON FOREIGN DATA WRAPPER %I TO ROLE_NAME', item.name);
    END LOOP;
END $$)sql";

// Whatever the dump has done to it.
base::Status drop_database(const PrivateServer& server, Session& session, const std::string& database) {
    const auto limit = session.value("SELECT datconnlimit FROM pg_database WHERE datname = $1", {database});
    if (!limit) return limit.error();
    if (limit->empty()) return base::success();
    // A crash while it was dropped has left it invalid (-2): then nothing but dropping it is allowed.
    if (*limit == "-2") return session.run("DROP DATABASE " + quote_identifier(database));
    if (auto taken = take_settings_back(session, database); !taken) return taken;
    const auto prepared = session.query("SELECT gid FROM pg_prepared_xacts WHERE database = $1", {database});
    if (!prepared) return prepared.error();
    if (!prepared->empty()) {
        auto inside = server.connect(database);
        if (!inside) return inside.error();
        for (const auto& row : *prepared) {
            if (auto undone = inside->run("ROLLBACK PREPARED " + quote_literal(row[0])); !undone)
                return undone;
        }
    }
    return session.run("DROP DATABASE " + quote_identifier(database));
}

base::Error about(const std::string& what, const base::Error& cause) {
    return error(cause.kind, what + ": " + cause.message, cause.hint);
}

}  // namespace

std::optional<AgentResult> check_names(Session& session, const Journal& journal) {
    for (const auto& [name, reason] : {std::pair(journal.new_database, "PreviousDataGone"),
                                       std::pair(journal.database, "DatabaseNotFound")}) {
        const auto found = session.value("SELECT 1 FROM pg_database WHERE datname = $1", {name});
        if (!found) return from_error("VerificationFailed", found.error());
        if (found->empty()) return failed(reason, "database \"" + name + "\" does not exist");
    }
    return std::nullopt;
}

base::Status take_settings_back(Session& elsewhere, const std::string& database) {
    const std::string name = quote_identifier(database);
    return elsewhere.run("ALTER DATABASE " + name + " RESET ALL;ALTER DATABASE " + name +
                         " IS_TEMPLATE false");
}

base::Status drop_leftovers(const PrivateServer& server, Session& session, const Journal& journal) {
    // What an earlier restore kept is no leftover of an Undo: it is closed again, and stays.
    if (journal.undo) {
        const auto kept =
            session.value("SELECT 1 FROM pg_database WHERE datname = $1", {journal.new_database});
        if (!kept) return kept.error();
        if (kept->empty()) return base::success();
        return session.run("ALTER DATABASE " + quote_identifier(journal.new_database) +
                           " ALLOW_CONNECTIONS false");
    }
    if (auto dropped = drop_database(server, session, journal.new_database); !dropped) return dropped;
    const auto exists = session.value("SELECT 1 FROM pg_roles WHERE rolname = $1", {journal.role});
    if (!exists) return exists.error();
    if (exists->empty()) return base::success();
    // Grants on tablespaces are all that a role can hold outside of its database.
    if (auto dropped = session.run("DROP OWNED BY " + quote_identifier(journal.role)); !dropped)
        return dropped;
    return session.run("DROP ROLE " + quote_identifier(journal.role));
}

base::Status make_role_and_database(Session& session, const Journal& journal) {
    const auto old = session.query(locale_query(session.server_version()), {journal.database});
    if (!old) return old.error();
    if (old->empty())
        return error(ErrorKind::not_found, "database \"" + journal.database + "\" does not exist");
    const std::string role = quote_identifier(journal.role);
    // BYPASSRLS: materialized views may read tables that force row security on their owner. What a dump's
    // functions say must not fill our log, and a role cannot undo that.
    const std::string create_role = "CREATE ROLE " + role + " LOGIN BYPASSRLS " +
                                    (journal.as_superuser ? "SUPERUSER" : "NOSUPERUSER") +
                                    " NOCREATEDB NOCREATEROLE NOREPLICATION;"
                                    "ALTER ROLE " +
                                    role +
                                    " SET log_min_messages = 'panic';"
                                    "ALTER ROLE " +
                                    role +
                                    " SET log_min_error_statement = 'panic';"
                                    "GRANT CREATE ON TABLESPACE " +
                                    quote_identifier(old->front()[3]) + " TO " + role;
    if (auto made = session.run(create_role); !made) return made;
    return session.run(journal.clean ? copy_statement(journal, session.server_version())
                                     : create_statement(journal, old->front()));
}

base::Status make_extensions(const PrivateServer& server, const Journal& journal, const Archive& archive) {
    auto session = server.connect(journal.new_database);
    if (!session) return session.error();
    const std::string role = quote_identifier(journal.role);
    // Before version 15 the schema public belongs to the bootstrap superuser, and a dump's comment on it
    // would fail.
    if (session->server_version() < 150000) {
        if (auto given = session->run("ALTER SCHEMA public OWNER TO " + role); !given) return given;
    }
    for (const auto& schema : schemas_made_beforehand(archive, journal.clean)) {
        if (auto made = session->run("CREATE SCHEMA IF NOT EXISTS " + quote_identifier(schema) +
                                     " AUTHORIZATION " + role);
            !made)
            return made;
    }
    for (const auto& extension : archive.definitions.extensions) {
        const std::string schema =
            extension.schema == "pg_catalog" ? "" : " SCHEMA " + quote_identifier(extension.schema);
        auto made = session->run("CREATE EXTENSION IF NOT EXISTS " + quote_identifier(extension.name) +
                                 schema + " CASCADE");
        if (!made) return about("cannot create extension \"" + extension.name + "\"", made.error());
    }
    return session->run(replaced(grant_on_extensions, "ROLE_NAME", role));
}

}  // namespace dbrestore::agent
