// Dumps whose functions attack while they are restored, read or analyzed. docs/hostile-backups.md has the
// table.

#include <sys/wait.h>

#include <filesystem>

#include "agent/text.h"
#include "base/files.h"
#include "integration/hostile_fixture.h"

namespace dbrestore::tests {
namespace {

namespace fs = std::filesystem;

// Of plpgsql, as what a function of the dump runs.
const Attack attacks[] = {
    {"CopyToProgram", "COPY (SELECT 1) TO PROGRAM 'touch TRACE'", "COPY to or from an external program"},
    {"CopyFromProgram", "COPY public.bait (a) FROM PROGRAM 'touch TRACE'",
     "COPY to or from an external program"},
    {"CopyToFile", "COPY (SELECT 1) TO 'TRACE'", "COPY to a file"},
    {"CopyFromFile", "COPY public.bait (a) FROM '/etc/passwd'", "COPY from a file"},
    {"ReadFile", "PERFORM pg_read_file('postgresql.conf')", "permission denied for function pg_read_file"},
    {"ListFolder", "PERFORM pg_ls_dir('.')", "permission denied for function pg_ls_dir"},
    {"ExportLargeObject", "PERFORM lo_export(lo_from_bytea(0, 'x'), 'TRACE')",
     "permission denied for function lo_export"},
    {"ImportLargeObject", "PERFORM lo_import('/etc/passwd')", "permission denied for function lo_import"},
    {"CFunction",
     "CREATE FUNCTION public.run(cstring) RETURNS int AS 'libc.so.6', 'system' LANGUAGE c; PERFORM "
     "public.run('touch TRACE')",
     "permission denied for language c"},
    {"LoadLibrary", "LOAD 'libc.so.6'", "access to library \"libc.so.6\" is not allowed"},
    {"SetRole", "PERFORM set_config('role', 'none', false); PERFORM set_config('role', 'boss', false)",
     "permission denied to set role \"boss\""},
    {"SetSessionAuthorization", "SET SESSION AUTHORIZATION boss", "permission denied to set session"},
    {"CreateRole", "CREATE ROLE evil SUPERUSER LOGIN", "must be superuser to create superusers"},
    {"AlterOwnRole", "ALTER ROLE CURRENT_USER SUPERUSER", "must be superuser to alter superuser"},
    {"GrantRole", "GRANT pg_execute_server_program TO CURRENT_USER", "must have admin option on role"},
    {"SettingOfAnotherRole", "ALTER ROLE app SET search_path = evil", "permission denied"},
    {"SettingOfAllRoles", "ALTER ROLE ALL SET search_path = evil", "must be superuser"},
    {"SettingOfAnotherDatabase", "ALTER DATABASE shop SET search_path = evil", "must be owner of database"},
    {"PreloadedLibrary",
     "EXECUTE format('ALTER DATABASE %I SET session_preload_libraries = ''TRACE''', current_database())",
     "permission denied to set parameter \"session_preload_libraries\""},
    {"RenameAnotherDatabase", "ALTER DATABASE shop RENAME TO gone", "must be owner of database"},
    {"EventTrigger",
     "CREATE FUNCTION public.watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE EVENT "
     "TRIGGER e ON "
     "ddl_command_end EXECUTE FUNCTION public.watch()",
     "permission denied to create event trigger"},
    {"Subscription",
     "CREATE SUBSCRIPTION s CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false, slot_name = NONE)",
     "must be superuser to create subscriptions"},
    {"PublicationOfAllTables", "CREATE PUBLICATION p FOR ALL TABLES", "must be superuser to create FOR ALL"},
    {"ReplicationSlot", "PERFORM pg_create_physical_replication_slot('evil', true)",
     "must be superuser or replication role"},
    {"UntrustedExtension", "CREATE EXTENSION file_fdw SCHEMA public",
     "permission denied to create extension \"file_fdw\""},
    {"CatalogUpdate", "UPDATE pg_catalog.pg_authid SET rolsuper = true",
     "permission denied for table pg_authid"},
    {"FunctionInTheCatalog", "CREATE FUNCTION pg_catalog.now2() RETURNS int LANGUAGE sql AS 'SELECT 1'",
     "permission denied for schema pg_catalog"},
    {"PathsOfTheServer", "PERFORM current_setting('unix_socket_directories')",
     "must be superuser or have privileges of pg_read_all_settings"},
    {"ForeignTableOfAProgram",
     "CREATE SERVER files FOREIGN DATA WRAPPER file_fdw; CREATE FOREIGN TABLE public.f (line text) SERVER "
     "files OPTIONS "
     "(program 'touch TRACE'); PERFORM count(*) FROM public.f",
     "file_fdw foreign table", "file_fdw"},
    {"ForeignTableOfAFile",
     "CREATE SERVER files FOREIGN DATA WRAPPER file_fdw; CREATE FOREIGN TABLE public.f (line text) SERVER "
     "files OPTIONS "
     "(filename '/etc/passwd'); PERFORM count(*) FROM public.f",
     "file_fdw foreign table", "file_fdw"},
    {"UserMappingWithoutPassword",
     "CREATE SERVER itself FOREIGN DATA WRAPPER postgres_fdw OPTIONS (dbname 'shop'); CREATE USER MAPPING "
     "FOR "
     "CURRENT_USER SERVER itself OPTIONS (user 'boss', password_required 'false')",
     "password_required=false is superuser-only", "postgres_fdw"},
    {"InternalFunction", "CREATE FUNCTION public.run() RETURNS int LANGUAGE internal AS 'now'",
     "permission denied for language internal"},
};

std::string extension_of(const Attack& attack) {
    return *attack.extension == '\0' ? "" : std::string("CREATE EXTENSION ") + attack.extension + ";";
}

class HostileFunction : public HostileTest, public testing::WithParamInterface<Attack> {};

TEST_P(HostileFunction, IsRefusedAndTheOldDataStays) {
    make_dump(extension_of(GetParam()) + seizing(GetParam().statements));
    expect_clean_failure("RestoreFailed", GetParam().word);
}

INSTANTIATE_TEST_SUITE_P(Attacks, HostileFunction, testing::ValuesIn(attacks),
                         [](const auto& attack) { return std::string(attack.param.name); });

class HostileDump : public HostileTest {};

// Whoever attacks hides it: each failure is caught, and the restore goes on.
TEST_F(HostileDump, AllAttacksTogetherThatHideTheirFailuresDoNoHarm) {
    std::string body, extensions;
    for (const auto& attack : attacks) {
        body += "BEGIN " + std::string(attack.statements) + "; EXCEPTION WHEN OTHERS THEN END;";
        if (extensions.find(extension_of(attack)) == std::string::npos) extensions += extension_of(attack);
    }
    make_dump(extensions + seizing(body + "PERFORM 1"));
    expect_restored_without_harm();
}

// A volatile function that leaves the trace where its caller is a superuser and the dump is restored, and
// fails where he may read everybody's password.
constexpr const char* superusers_trace =
    "CREATE FUNCTION public.act() RETURNS boolean LANGUAGE plpgsql AS $act$ BEGIN IF current_database() <> "
    "'hostile' THEN IF (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) THEN COPY "
    "(SELECT 1) "
    "TO PROGRAM 'touch TRACE'; END IF; IF has_table_privilege('pg_catalog.pg_authid', 'SELECT') THEN RAISE "
    "EXCEPTION "
    "'reads passwords'; END IF; END IF; RETURN true; END $act$;";

// The planner computes what an index's expression and predicate have of constants, for whoever asks anything
// of the table; ANALYZE computes all of it.
TEST_F(HostileDump, IndexExpressionsNeverRunAsASuperuser) {
    make_dump(std::string(superusers_trace) +
              "CREATE FUNCTION public.constant() RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM "
              "public.act(); RETURN 1; END $$;"
              "CREATE FUNCTION public.of_row(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM "
              "public.act(); RETURN $1; END $$;"
              "CREATE TABLE public.bait (a int); INSERT INTO public.bait VALUES (1);"
              "CREATE INDEX ON public.bait ((a + public.constant()), (public.of_row(a)));"
              "CREATE INDEX ON public.bait (a) WHERE public.constant() = 1;"
              "CREATE STATISTICS public.s ON (public.of_row(a)), a FROM public.bait;"
              "CREATE MATERIALIZED VIEW public.m AS SELECT public.of_row(a) AS a FROM public.bait;"
              "CREATE UNIQUE INDEX ON public.m ((a + public.constant()));");
    expect_restored_without_harm();
}

// What our own statements name is found in pg_catalog, whatever the dump has put beside it, and whatever it
// says of search_path.
TEST_F(HostileDump, PlantedNamesAreNotFoundByOurStatements) {
    make_dump(
        std::string(superusers_trace) +
        "CREATE FUNCTION public.format(text, anyelement) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM "
        "public.act(); RETURN 'x'; END $$;"
        "CREATE FUNCTION public.count(anyelement) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN PERFORM "
        "public.act(); RETURN 0; END $$;"
        "CREATE FUNCTION public.pg_get_userbyid(oid) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM "
        "public.act(); RETURN 'boss'; END $$;"
        "CREATE FUNCTION public.same(name, text) RETURNS boolean LANGUAGE sql AS $$ SELECT public.act() $$;"
        "CREATE OPERATOR public.= (LEFTARG = name, RIGHTARG = text, FUNCTION = public.same);"
        "CREATE OPERATOR public.!~ (LEFTARG = name, RIGHTARG = text, FUNCTION = public.same);"
        "CREATE VIEW public.pg_class AS SELECT public.act() AS oid;"
        "CREATE VIEW public.pg_roles AS SELECT public.act() AS rolname;" +
        seizing(
            "EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database());"
            "EXECUTE format('ALTER ROLE %I SET search_path = public, pg_catalog', current_user)"));
    expect_restored_without_harm();
}

// Its owner may set much of a database, and while it is restored, that is the dump.
TEST_F(HostileDump, WhatItSetsOfItsOwnDatabaseIsGone) {
    make_dump(seizing(
        "EXECUTE format('ALTER DATABASE %I SET role = %I', current_database(), current_user);"
        "EXECUTE format('ALTER DATABASE %I SET quote_all_identifiers = on', current_database());"
        "EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database());"
        "EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT 3', current_database());"
        "EXECUTE format('ALTER DATABASE %I IS_TEMPLATE true', current_database());"
        "EXECUTE format('GRANT ALL ON DATABASE %I TO shop_reader', current_database())"));
    expect_restored_without_harm();
}

TEST_F(HostileDump, ADatabaseThatItMakesATemplateIsDroppedAllTheSame) {
    make_dump(seizing("EXECUTE format('ALTER DATABASE %I IS_TEMPLATE true', current_database());"
                      "EXECUTE format('ALTER DATABASE %I SET role = %I', current_database(), current_user)") +
              "CREATE TABLE public.parents (id int PRIMARY KEY); CREATE TABLE public.children (parent int);"
              "INSERT INTO public.children VALUES (7); ALTER TABLE public.children ADD CONSTRAINT never "
              "FOREIGN KEY "
              "(parent) REFERENCES public.parents NOT VALID;"
              "UPDATE pg_constraint SET convalidated = true WHERE conname = 'never'");
    expect_clean_failure("RestoreFailed", "never");
}

TEST_F(HostileDump, AFunctionOfItsOwnerHasTheRightsOfTheOneThatRestores) {
    make_dump(
        "CREATE FUNCTION public.owners() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN IF "
        "current_database() <> 'hostile' THEN COPY (SELECT 1) TO PROGRAM 'touch TRACE'; END IF; END $$;" +
        seizing("PERFORM public.owners()"));
    expect_clean_failure("RestoreFailed", "COPY to or from an external program");
}

// As the superuser has them in the dump; today's database knows none of them.
TEST_F(HostileDump, WhatBelongedToASuperuserBelongsToNone) {
    make_dump(
        "CREATE SCHEMA theirs AUTHORIZATION boss; CREATE TABLE theirs.t (a int); CREATE VIEW theirs.v AS "
        "TABLE pg_authid;"
        "CREATE FUNCTION theirs.f() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT "
        "current_user::text';"
        "GRANT USAGE ON SCHEMA theirs TO PUBLIC; GRANT SELECT ON theirs.v TO PUBLIC");
    expect_restored_without_harm();
    EXPECT_EQ(sql("SELECT theirs.f()"), app_user);
    EXPECT_EQ(sql("SELECT count(*) FROM pg_class WHERE relnamespace = 'theirs'::regnamespace AND relowner <> "
                  "'app'::regrole"),
              "0");
    EXPECT_EQ(sql("SELECT has_table_privilege('app', 'pg_authid', 'SELECT')"), "f");
}

TEST_F(HostileDump, WhatMustBeTrustedIsSaidBeforeTheStop) {
    make_dump("CREATE EXTENSION dblink; CREATE EXTENSION hstore");
    start_server();
    auto checked = asked("preflight");
    checked.host = "127.0.0.1";
    const AgentRun ran = run(checked);
    ASSERT_TRUE(ran.is_done()) << to_text(ran);
    const auto warned = [&](const std::string& check) {
        const auto* finding = ran.finding(check);
        return finding != nullptr && finding->outcome == resources::PreflightFinding::Outcome::warning
                   ? finding->message
                   : "";
    };
    EXPECT_NE(warned("NewExtensions").find(": dblink"), std::string::npos) << warned("NewExtensions");
    EXPECT_EQ(warned("NewExtensions").find("hstore"), std::string::npos) << warned("NewExtensions");
    EXPECT_NE(warned("SuperuserOwner").find("child_of_old"), std::string::npos) << warned("SuperuserOwner");
}

// Another locale than the database's is not taken over.
TEST_F(HostileDump, AForeignLocaleChangesNothing) {
    sql("CREATE DATABASE hostile TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'",
        "postgres");
    sql("CREATE TABLE public.t AS SELECT 'größe'::text AS word", "hostile");
    dump("hostile.dump", "hostile");
    sql("DROP DATABASE hostile", "postgres");
    stop_server();
    expect_restored_without_harm();
    EXPECT_EQ(sql("SELECT word FROM public.t"), "größe");
}

// Nobody waits for it longer than spec.activeDeadlineSeconds: then its pod is killed.
TEST_F(HostileDump, OneThatNeverEndsIsKilledAndTheOldDataStays) {
    sql("TRUNCATE shop.sessions");  // unlogged: any crash empties it
    remember();
    make_dump(seizing("PERFORM pg_sleep(1e9)"));
    const pid_t agent = launch(asked("prepare"));
    {
        auto session = private_session("postgres");
        ASSERT_TRUE(session);
        EXPECT_TRUE(wait_for([&] {
            const auto asleep =
                session->value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
            return asleep && *asleep == "1";
        }));
    }
    kill_agent(agent);
    expect_old_data_after_rollback();
}

// Connections back to the private server, which trusts whoever reaches its socket. The dump is even told
// where that is.
class HostileConnection : public HostileTest {
protected:
    void expect_refused(const std::string& extension, const std::string& connecting,
                        const std::string& word) {
        make_dump(
            "CREATE EXTENSION " + extension + "; CREATE TABLE public.told (place text); " +
            seizing("LOOP PERFORM pg_sleep(0.05); EXIT WHEN EXISTS (SELECT FROM public.told); END LOOP; " +
                    replaced_place(connecting)));
        const pid_t agent = launch(asked("prepare"));
        EXPECT_TRUE(wait_for([&] { return has_ended_once_told(); }));
        ::waitpid(agent, nullptr, 0);
        const auto said = base::read_file(folder() + "/tmp/termination");
        EXPECT_NE((said ? *said : "").find(word), std::string::npos) << (said ? *said : "nothing was said");
        expect_old_data_after_rollback();
    }

private:
    static std::string replaced_place(const std::string& connecting) {
        return agent::replaced(connecting, "PLACE", "(SELECT place FROM public.told LIMIT 1)");
    }
    // The table is emptied once, by whoever fills it.
    bool has_ended_once_told() {
        const std::string place = private_folder();
        if (place.empty()) return fs::exists(folder() + "/tmp/termination");
        if (auto session = agent::Session::open({place, 5432, superuser, "", "dbrestore_new_0a1b2c3d"}))
            (void)session->query("INSERT INTO public.told VALUES ($1)", {place});
        return fs::exists(folder() + "/tmp/termination");
    }
};

TEST_F(HostileConnection, ByDblinkIsRefused) {
    expect_refused("dblink",
                   "PERFORM public.dblink_exec('user=boss dbname=shop password=guess host=' || PLACE, 'DROP "
                   "SCHEMA shop CASCADE')",
                   "password");
}

TEST_F(HostileConnection, ByAForeignTableIsRefused) {
    expect_refused(
        "postgres_fdw",
        "EXECUTE format('CREATE SERVER itself FOREIGN DATA WRAPPER postgres_fdw OPTIONS (dbname ''shop'', "
        "host %L)', PLACE); CREATE USER MAPPING FOR CURRENT_USER SERVER itself OPTIONS (user 'boss', "
        "password 'guess'); CREATE FOREIGN TABLE public.f (rolname text) SERVER itself OPTIONS (schema_name "
        "'pg_catalog', table_name 'pg_authid'); PERFORM count(*) FROM public.f",
        "password");
}

}  // namespace
}  // namespace dbrestore::tests
