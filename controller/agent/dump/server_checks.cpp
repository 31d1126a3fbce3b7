#include "agent/dump/server_checks.h"

#include <array>
#include <set>

#include "agent/text.h"

namespace dbrestore::agent {

namespace {

// The first column of each row. A failed query is a finding of its own, and nothing is returned.
std::optional<std::vector<std::string>> ask(const ServerQuestion& question, Findings& findings,
                                            const std::string& sql,
                                            const std::vector<std::string>& parameters = {}) {
    const auto rows = question.session.query(sql, parameters);
    if (!rows) {
        findings.failed("ServerQueryFailed", "a check could not be made: " + to_text(rows.error()));
        return std::nullopt;
    }
    std::vector<std::string> names;
    for (const auto& row : *rows) names.push_back(row.empty() ? "" : row[0]);
    return names;
}

void check_database(const ServerQuestion& question, Findings& findings) {
    const auto state = ask(question, findings, "SELECT datistemplate FROM pg_database WHERE datname = $1",
                           {question.database});
    if (!state) return;
    if (state->empty())
        return findings.failed("DatabaseNotFound", "database \"" + question.database + "\" does not exist");
    if (state->front() == "t")
        return findings.failed("DatabaseIsTemplate",
                               "\"" + question.database + "\" is a template and must not be restored into");
    findings.passed("DatabaseFound");
}

void check_standby(const ServerQuestion& question, Findings& findings) {
    const auto standby = ask(question, findings, "SELECT pg_is_in_recovery()");
    if (standby && standby->front() == "t")
        return findings.failed("ServerIsStandby", "the server is a standby; restore its primary");
    const auto clients =
        ask(question, findings,
            "SELECT coalesce(nullif(application_name, ''), 'pid ' || pid) FROM pg_stat_replication");
    if (!clients) return;
    if (!clients->empty())
        return findings.failed("StandbysConnected", "standbys or receivers are connected: " +
                                                        listed(*clients) + "; they would be left behind");
    findings.passed("NoStandbys");
}

void check_slots(const ServerQuestion& question, Findings& findings) {
    const auto slots =
        ask(question, findings,
            "SELECT slot_name FROM pg_replication_slots WHERE slot_type = 'logical' AND database = $1",
            {question.database});
    if (!slots) return;
    if (slots->empty()) return findings.passed("NoLogicalReplicationSlots");
    findings.failed("LogicalReplicationSlots",
                    "logical replication slots would stay with the old database: " + listed(*slots) +
                        "; drop them first");
}

void check_subscriptions(const ServerQuestion& question, Findings& findings) {
    const auto names =
        ask(question, findings,
            "SELECT subname FROM pg_subscription s JOIN pg_database d ON d.oid = subdbid WHERE datname = $1",
            {question.database});
    if (!names) return;
    if (names->empty()) return findings.passed("NoSubscriptions");
    findings.failed("Subscriptions", "subscriptions would stay with the old database: " + listed(*names) +
                                         "; drop them first");
}

void check_prepared(const ServerQuestion& question, Findings& findings) {
    const auto names =
        ask(question, findings, "SELECT gid FROM pg_prepared_xacts WHERE database = $1", {question.database});
    if (!names) return;
    if (names->empty()) return findings.passed("NoPreparedTransactions");
    findings.failed("PreparedTransactions", "prepared transactions stand in the database: " + listed(*names) +
                                                "; commit or roll them back first");
}

void check_superuser(const ServerQuestion& question, Findings& findings) {
    const auto names = ask(question, findings, "SELECT rolname FROM pg_roles WHERE rolsuper AND rolcanlogin");
    if (names && names->empty())
        findings.failed("NoSuperuser",
                        "no superuser may log in; the restore needs one on its private server");
    const auto owner = ask(
        question, findings,
        "SELECT rolname FROM pg_database d JOIN pg_roles r ON r.oid = datdba WHERE rolsuper AND datname = $1",
        {question.database});
    if (!owner || owner->empty()) return;
    findings.warning("SuperuserOwner", "the database belongs to the superuser \"" + owner->front() +
                                           "\", so the dump's functions will run with all rights once the "
                                           "application uses them: the dump must be trusted");
}

// Handed over to their owners again, these run what the dump says as a superuser: a function, a view's query,
// and in any table's ANALYZE an index's expressions.
constexpr const char* objects_of_superusers = R"sql(
WITH objects(name, owner, classid, objid) AS (
    SELECT oid::regclass::text, relowner, 'pg_class'::regclass, oid FROM pg_class
        WHERE relkind IN ('r', 'p', 'v', 'm') AND relpersistence <> 't'
    UNION ALL SELECT oid::regprocedure::text, proowner, 'pg_proc'::regclass, oid FROM pg_proc WHERE prosecdef
)
SELECT name FROM objects JOIN pg_roles r ON r.oid = owner WHERE rolsuper AND objid >= 16384 AND NOT EXISTS (
    SELECT FROM pg_depend d WHERE d.classid = objects.classid AND d.objid = objects.objid AND d.deptype = 'e') ORDER BY name)sql";

void check_superusers_objects(const ServerQuestion& question, Findings& findings) {
    const auto owner =
        ask(question, findings,
            "SELECT 1 FROM pg_database d JOIN pg_roles r ON r.oid = datdba WHERE rolsuper AND datname = $1",
            {question.database});
    if (!owner || !owner->empty()) return;  // said of the database as a whole
    const auto names = ask(question, findings, objects_of_superusers);
    if (!names || names->empty()) return;
    findings.warning("SuperuserOwner",
                     "a superuser owns " + listed(*names) +
                         ", and will own what the dump has in their place, whose code then runs with all "
                         "rights: the dump must be trusted");
}

void check_right_to_drop(const ServerQuestion& question, Findings& findings) {
    const auto strangers =
        ask(question, findings,
            "SELECT current_user FROM pg_database, pg_roles WHERE datname = $1 AND rolname = "
            "current_user AND NOT rolsuper AND NOT pg_has_role(datdba, 'USAGE')",
            {question.database});
    if (!strangers || strangers->empty()) return;
    findings.warning(
        "OldDatabaseStays",
        "the role \"" + strangers->front() +
            "\" is neither superuser nor owner of the database, so the old database stays when its "
            "time is over; `spec.postgres.connectionSecret` must name one who is");
}

void check_unlogged(const ServerQuestion& question, Findings& findings) {
    const auto names = ask(question, findings,
                           "SELECT oid::regclass::text FROM pg_class WHERE relpersistence = 'u' AND relkind "
                           "= 'r' AND pg_relation_size(oid) > 0");
    if (!names) return;
    if (names->empty()) return findings.passed("NoUnloggedTables");
    findings.warning(
        "UnloggedTables",
        "unlogged tables are empty after any crash of the server, also in the database that is kept: " +
            listed(*names));
}

// They bring functions that an ordinary role could not have made.
void warn_of_new_extensions(const ServerQuestion& question, Findings& findings) {
    const auto untrusted =
        ask(question, findings,
            "SELECT name FROM pg_available_extension_versions v WHERE superuser AND NOT trusted AND "
            "NOT EXISTS (SELECT FROM pg_extension WHERE extname = v.name)");
    if (!untrusted) return;
    const std::set<std::string> names(untrusted->begin(), untrusted->end());
    std::vector<std::string> created;
    for (const auto& extension : question.archive->definitions.extensions) {
        if (names.contains(extension.name)) created.push_back(extension.name);
    }
    if (!created.empty())
        findings.warning("NewExtensions",
                         "only a superuser may create extensions that the dump needs and today's database "
                         "lacks, and the restore will: " +
                             listed(created));
}

void check_extensions(const ServerQuestion& question, Findings& findings) {
    const auto available = ask(question, findings, "SELECT name FROM pg_available_extensions");
    if (!available) return;
    const std::set<std::string> known(available->begin(), available->end());
    std::vector<std::string> missing;
    for (const auto& extension : question.archive->definitions.extensions) {
        if (!known.contains(extension.name)) missing.push_back(extension.name);
    }
    if (!missing.empty())
        return findings.failed(
            "ExtensionsMissing",
            "the dump needs extensions that the server's image does not hold: " + listed(missing));
    findings.passed("ExtensionsAvailable");
    warn_of_new_extensions(question, findings);
}

void check_roles(const ServerQuestion& question, Findings& findings) {
    const auto names = ask(question, findings, "SELECT rolname FROM pg_roles");
    if (!names) return;
    const std::set<std::string> known(names->begin(), names->end());
    std::vector<std::string> missing;
    for (const auto& role : question.archive->definitions.roles.list()) {
        if (!known.contains(role)) missing.push_back("\"" + one_line(role, 63) + "\"");
    }
    if (missing.empty()) return findings.passed("RolesPresent");
    findings.failed("RolesMissing", "the dump's policies or user mappings name roles that do not exist: " +
                                        listed(missing) + "; create them first");
}

void check_encoding(const ServerQuestion& question, Findings& findings) {
    const auto encoding =
        ask(question, findings, "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = $1",
            {question.database});
    if (!encoding || encoding->empty()) return;
    const std::string& have = encoding->front();
    const std::string& dump = question.archive->definitions.encoding;
    if (have == dump || dump.empty() || have == "SQL_ASCII") return findings.passed("EncodingFits");
    if (have != "UTF8")
        return findings.failed("EncodingMismatch", "the dump is in " + dump + ", and the database in " +
                                                       have + " cannot hold all of its characters");
    if (dump == "SQL_ASCII")
        return findings.warning("EncodingUnknown",
                                "the dump is in SQL_ASCII: bytes that are no UTF-8 will stop the restore");
    findings.passed("EncodingFits", dump + " is converted to UTF8");
}

void check_superuser_entries(const ServerQuestion& question, Findings& findings) {
    if (question.as_superuser)
        return findings.warning("RunsAsSuperuser",
                                "what the dump runs, runs with all rights: the dump must be trusted");
    const auto entries = entries_for_superusers(*question.archive);
    if (entries.empty()) return findings.passed("OrdinaryRoleSuffices");
    findings.failed("NeedsSuperuser",
                    "only a superuser can restore: " + listed(entries) +
                        "; leave them out of the dump, or set `logical.runAs` to Superuser");
}

// Names that the dump's entries of tables and the like begin with, "schema name": which of a line's spaces
// part schema, name and owner cannot be told.
std::set<std::string> relations_of_dump(const Archive& archive) {
    std::set<std::string> names;
    for (const auto& entry : archive.entries) {
        const auto& kind = entry.description;
        if (kind != "TABLE" && kind != "FOREIGN TABLE" && kind != "VIEW" && kind != "MATERIALIZED VIEW")
            continue;
        for (size_t space = entry.rest.find(' '); space != std::string::npos;
             space = entry.rest.find(' ', space + 1))
            names.insert(entry.rest.substr(0, space));
    }
    return names;
}

// What DROP TABLE would take along (partitions), or would be stopped by (views, foreign keys), of what the
// dump lacks: relations, each with "what is the matter with it".
constexpr const char* relations_in_the_way = R"sql(
WITH named AS (SELECT c.oid, nspname || ' ' || relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace)
SELECT DISTINCT d.name, t.name, what FROM (
    SELECT ev_class AS dependent, refobjid AS target, 'reads' AS what FROM pg_depend JOIN pg_rewrite r ON r.oid = objid
        WHERE classid = 'pg_rewrite'::regclass AND refclassid = 'pg_class'::regclass AND refobjid <> ev_class
    UNION ALL SELECT conrelid, confrelid, 'refers to' FROM pg_constraint WHERE contype = 'f' AND conparentid = 0
    UNION ALL SELECT inhrelid, inhparent, 'is a part of' FROM pg_inherits) AS link
JOIN named d ON d.oid = dependent JOIN named t ON t.oid = target ORDER BY 1, 2
)sql";

std::string shown(const std::string& relation) {
    return "\"" + one_line(replaced(relation, " ", "."), 130) + "\"";
}

void check_nothing_in_the_way(const ServerQuestion& question, Findings& findings) {
    if (!question.clean) return;
    const auto links = question.session.query(relations_in_the_way);
    if (!links)
        return findings.failed("ServerQueryFailed", "a check could not be made: " + to_text(links.error()));
    const auto known = relations_of_dump(*question.archive);
    std::vector<std::string> in_the_way;
    for (const auto& link : *links) {
        if (known.contains(link[1]) && !known.contains(link[0]))
            in_the_way.push_back(shown(link[0]) + " " + link[2] + " " + shown(link[1]));
    }
    if (in_the_way.empty()) return findings.passed("NothingInTheWay");
    findings.failed(
        "DependsOnTheDump",
        "mode Clean drops and makes anew what the dump holds, and what the dump lacks depends on it: " +
            listed(in_the_way, 20) + "; drop these first, or set `logical.mode` to Replace");
}

void check_what_it_lacks(const ServerQuestion& question, Findings& findings) {
    const auto relations =
        ask(question, findings,
            "SELECT nspname || ' ' || relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
            "WHERE relkind IN ('r', 'p', 'f', 'v', 'm') AND relpersistence <> 't' AND nspname !~ "
            "'^(pg_|information_schema$)' AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = "
            "'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') ORDER BY 1");
    if (!relations) return;
    const auto known = relations_of_dump(*question.archive);
    std::vector<std::string> missing;
    for (const auto& relation : *relations) {
        if (!known.contains(relation)) missing.push_back(shown(relation));
    }
    if (missing.empty()) return findings.passed("NothingLeftOut");
    findings.warning(
        "LeftOutOfTheDump",
        "the dump lacks " + std::to_string(missing.size()) + " tables and views of today's database, which " +
            (question.clean ? "stay as they are: " : "are gone after the restore: ") + listed(missing, 20));
}

using Check = void (*)(const ServerQuestion&, Findings&);
constexpr std::array checks_of_server{check_database,      check_standby,  check_slots,
                                      check_subscriptions, check_prepared, check_superuser,
                                      check_right_to_drop, check_unlogged};
constexpr std::array checks_of_dump{
    check_extensions,         check_roles,         check_encoding,          check_superuser_entries,
    check_superusers_objects, check_what_it_lacks, check_nothing_in_the_way};

}  // namespace

void check_server(const ServerQuestion& question, Findings& findings) {
    for (const Check check : checks_of_server) check(question, findings);
    if (question.archive == nullptr) return;
    for (const Check check : checks_of_dump) check(question, findings);
}

}  // namespace dbrestore::agent
