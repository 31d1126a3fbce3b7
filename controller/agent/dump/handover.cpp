#include "agent/dump/handover.h"

#include <map>
#include <tuple>
#include <utility>

#include "agent/dump/handover_sql.h"
#include "agent/dump/new_database.h"
#include "agent/text.h"

namespace dbrestore::agent {

namespace {

// Many statements in one round trip, but not so many that one message becomes huge.
constexpr size_t batch_bytes = 262144;

class Batch {
public:
    explicit Batch(Session& session) : session_(session) {}

    base::Status add(const std::string& statement) {
        sql_ += statement + ";\n";
        return sql_.size() < batch_bytes ? base::success() : flush();
    }
    base::Status flush() {
        const std::string sql = std::exchange(sql_, {});
        return sql.empty() ? base::success() : session_.run(sql);
    }

private:
    Session& session_;
    std::string sql_;
};

using ObjectKey = std::tuple<std::string, std::string, std::string>;  // keyword, identity, column

struct Owned {
    std::string owner;
    bool owner_moves = false, has_acl = false;
};

std::string objects_to_carry() {
    return replaced(replaced(owned_objects, "COLUMNS", columns_to_carry), "CHOSEN", chosen_to_carry);
}
std::string objects_that_exist() {
    return replaced(replaced(owned_objects, "COLUMNS", columns_that_exist), "CHOSEN", chosen_that_exist);
}

base::Result<std::map<ObjectKey, Owned>> read_owned(Session& session, const std::string& objects_query) {
    const auto rows = session.query(objects_query + select_owners);
    if (!rows) return rows.error();
    std::map<ObjectKey, Owned> objects;
    for (const auto& row : *rows)
        objects[{row[0], row[1], row[2]}] = Owned{row[3], row[4] == "t", row[5] == "t"};
    return objects;
}

std::string role_or_public(const std::string& role) {
    return role.empty() ? "PUBLIC" : quote_identifier(role);
}

// "TABLE a.b", also where a column's privilege is meant.
std::string target_of(const ObjectKey& key) {
    const auto& [keyword, identity, column] = key;
    return (keyword == "COLUMN" ? "TABLE" : keyword) + " " + identity;
}

std::string alter_owner(const ObjectKey& key, const std::string& owner) {
    const auto& [keyword, identity, column] = key;
    // ALTER TABLE takes sequences and views too; only servers have another name here than in GRANT.
    return "ALTER " + (keyword == "FOREIGN SERVER" ? "SERVER" : keyword) + " " + identity + " OWNER TO " +
           quote_identifier(owner);
}

// A grant made by another than the owner is made again by that one, or revoking it would no longer work as
// before. Where that role may not any more (it lost the schema), the owner grants instead.
base::Status add_grant(Session& session, Batch& batch, const std::string& grantor,
                       const std::string& statement) {
    if (grantor.empty()) return batch.add(statement);
    if (auto flushed = batch.flush(); !flushed) return flushed;
    auto granted =
        session.run("BEGIN;SET LOCAL ROLE " + quote_identifier(grantor) + ";" + statement + ";COMMIT");
    if (granted) return granted;
    if (auto aborted = session.run("ROLLBACK"); !aborted) return aborted;
    return batch.add(statement);
}

std::string grant(const std::string& privilege, const std::string& target, const std::string& grantee,
                  bool grantable) {
    return "GRANT " + privilege + " ON " + target + " TO " + role_or_public(grantee) +
           (grantable ? " WITH GRANT OPTION" : "");
}

// What only a superuser may own, while the role is one, does not become the database owner's.
constexpr const char* keep_with_superuser = R"sql(
DO $$
DECLARE item record;
BEGIN
    FOR item IN SELECT 'EVENT TRIGGER' AS kind, evtname AS name FROM pg_event_trigger WHERE evtowner = 'ROLE_NAME'::regrole
            UNION ALL SELECT 'FOREIGN DATA WRAPPER', fdwname FROM pg_foreign_data_wrapper WHERE fdwowner = 'ROLE_NAME'::regrole
            UNION ALL SELECT 'PUBLICATION', pubname FROM pg_publication WHERE pubowner = 'ROLE_NAME'::regrole AND puballtables LOOP
        EXECUTE format('ALTER %s %I OWNER TO CURRENT_USER', item.kind, item.name);
    END LOOP;
END $$)sql";

base::Status carry_owners(Batch& batch, const std::map<ObjectKey, Owned>& old,
                          const std::map<ObjectKey, Owned>& restored) {
    for (const auto& [key, object] : restored) {
        const auto before = old.find(key);
        if (before == old.end() || !object.owner_moves || before->second.owner == object.owner) continue;
        if (auto added = batch.add(alter_owner(key, before->second.owner)); !added) return added;
    }
    return batch.flush();
}

base::Status carry_privileges(Session& old_session, Session& session, Batch& batch,
                              const std::map<ObjectKey, Owned>& old,
                              const std::map<ObjectKey, Owned>& restored) {
    const auto grants = old_session.query(objects_to_carry() + select_grants);
    if (!grants) return grants.error();
    for (const auto& [key, before] : old) {
        const auto now = restored.find(key);
        if (now == restored.end() || !before.has_acl || std::get<0>(key) == "COLUMN") continue;
        // A given object has the owner of its extension; the others have theirs back by now.
        const std::string owner = before.owner_moves ? before.owner : now->second.owner;
        if (auto added =
                batch.add("REVOKE ALL ON " + target_of(key) + " FROM PUBLIC, " + quote_identifier(owner));
            !added)
            return added;
    }
    for (const auto& row : *grants) {
        const ObjectKey key{row[0], row[1], row[2]};
        if (!restored.contains(key)) continue;
        const std::string privilege =
            row[0] == "COLUMN" ? row[5] + " (" + quote_identifier(row[2]) + ")" : row[5];
        if (auto added =
                add_grant(session, batch, row[3], grant(privilege, target_of(key), row[4], row[6] == "t"));
            !added)
            return added;
    }
    return batch.flush();
}

base::Status carry_default_privileges(Session& old_session, Batch& batch,
                                      const std::map<ObjectKey, Owned>& restored) {
    const auto rows = old_session.query(select_default_privileges);
    if (!rows) return rows.error();
    std::string last;
    for (const auto& row : *rows) {
        const std::string& schema = row[1];
        if (!schema.empty() && !restored.contains({"SCHEMA", schema, ""})) continue;
        const std::string start = "ALTER DEFAULT PRIVILEGES FOR ROLE " + quote_identifier(row[0]) +
                                  (schema.empty() ? "" : " IN SCHEMA " + schema) + " ";
        // A default for the whole database replaces the built-in one; one of a schema only adds to it.
        if (const std::string scope = start + row[2]; schema.empty() && scope != last) {
            last = scope;
            if (auto added = batch.add(start + "REVOKE ALL ON " + row[2] + " FROM PUBLIC, " +
                                       quote_identifier(row[0]));
                !added)
                return added;
        }
        if (row[4].empty()) continue;
        if (auto added = batch.add(start + "GRANT " + row[4] + " ON " + row[2] + " TO " +
                                   role_or_public(row[3]) + (row[5] == "t" ? " WITH GRANT OPTION" : ""));
            !added)
            return added;
    }
    return batch.flush();
}

base::Status carry_database(Session& session, Batch& batch, const Journal& journal) {
    const std::string target = "DATABASE " + quote_identifier(journal.new_database);
    const auto old = session.query(
        "SELECT pg_get_userbyid(datdba), datconnlimit, coalesce(shobj_description(oid, 'pg_database'), '') "
        "FROM pg_database WHERE datname = $1",
        {journal.database});
    const auto grants = session.query(select_database_grants, {journal.database});
    const auto now = session.query(select_database_grants, {journal.new_database});
    if (!old) return old.error();
    if (!grants) return grants.error();
    if (!now) return now.error();
    if (old->empty())
        return base::error(base::ErrorKind::not_found,
                           "database \"" + journal.database + "\" does not exist");
    std::vector<std::string> statements{"ALTER " + target + " OWNER TO " + quote_identifier(old->front()[0]),
                                        "ALTER " + target + " CONNECTION LIMIT " + old->front()[1],
                                        "COMMENT ON " + target + " IS " + quote_literal(old->front()[2])};
    for (const auto& row : *now)
        statements.push_back("REVOKE ALL ON " + target + " FROM " + role_or_public(row[1]) + " CASCADE");
    // Settings are copied as rows: a statement would have to quote each as its kind of setting wants, and
    // would refuse those of extensions that are not loaded.
    const auto oid_of = [](const std::string& name) {
        return "(SELECT oid FROM pg_database WHERE datname = " + quote_literal(name) + ")";
    };
    statements.push_back("DELETE FROM pg_db_role_setting WHERE setdatabase = " +
                         oid_of(journal.new_database));
    statements.push_back(
        "INSERT INTO pg_db_role_setting (setdatabase, setrole, setconfig) SELECT " +
        oid_of(journal.new_database) +
        ", setrole, setconfig FROM pg_db_role_setting WHERE setdatabase = " + oid_of(journal.database));
    for (const auto& statement : statements) {
        if (auto added = batch.add(statement); !added) return added;
    }
    for (const auto& row : *grants) {
        if (auto added = add_grant(session, batch, row[0], grant(row[2], target, row[1], row[3] == "t"));
            !added)
            return added;
    }
    return batch.flush();
}

base::Status carry_extension_comments(Session& old_session, Session& session, Batch& batch) {
    const auto comments = old_session.query(
        "SELECT extname, coalesce(obj_description(oid, 'pg_extension'), '') FROM pg_extension");
    if (!comments) return comments.error();
    for (const auto& row : *comments) {
        const auto there = session.value("SELECT 1 FROM pg_extension WHERE extname = $1", {row[0]});
        if (!there) return there.error();
        if (there->empty()) continue;
        if (auto added = batch.add("COMMENT ON EXTENSION " + quote_identifier(row[0]) + " IS " +
                                   quote_literal(row[1]));
            !added)
            return added;
    }
    return batch.flush();
}

base::Status drop_role(Session& session, const Journal& journal) {
    const std::string role = quote_identifier(journal.role);
    return session.run("DROP OWNED BY " + role + "; DROP ROLE " + role);
}

}  // namespace

base::Status lend_to_role(const PrivateServer& server, const Journal& journal) {
    auto session = server.connect(journal.new_database);
    if (!session) return session.error();
    const auto objects = session->query(objects_that_exist() + select_lendable);
    if (!objects) return objects.error();
    Batch batch(*session);
    for (const auto& row : *objects) {
        if (auto added = batch.add(alter_owner({row[0], row[1], ""}, journal.role)); !added) return added;
    }
    return batch.flush();
}

base::Status hand_over(const PrivateServer& server, const Journal& journal) {
    auto old_session = server.connect(journal.database);
    if (!old_session) return old_session.error();
    if (auto taken = take_settings_back(*old_session, journal.new_database); !taken) return taken;
    auto session = server.connect(journal.new_database);
    if (!session) return session.error();
    const auto owner = session->value("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = $1",
                                      {journal.database});
    if (!owner) return owner.error();
    if (journal.as_superuser) {
        if (auto kept = session->run(replaced(keep_with_superuser, "ROLE_NAME", journal.role)); !kept)
            return kept;
    }
    if (auto given = session->run("REASSIGN OWNED BY " + quote_identifier(journal.role) + " TO " +
                                  quote_identifier(*owner));
        !given)
        return given;
    const auto old = read_owned(*old_session, objects_to_carry());
    if (!old) return old.error();
    const auto restored = read_owned(*session, objects_that_exist());
    if (!restored) return restored.error();
    Batch batch(*session);
    if (auto carried = carry_owners(batch, *old, *restored); !carried) return carried;
    if (auto carried = carry_privileges(*old_session, *session, batch, *old, *restored); !carried)
        return carried;
    if (auto carried = carry_default_privileges(*old_session, batch, *restored); !carried) return carried;
    if (auto carried = carry_extension_comments(*old_session, *session, batch); !carried) return carried;
    if (auto carried = carry_database(*session, batch, journal); !carried) return carried;
    return drop_role(*session, journal);
}

}  // namespace dbrestore::agent
