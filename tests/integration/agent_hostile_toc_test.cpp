// Dumps whose table of contents was edited by hand: what no pg_dump writes.

#include <fstream>

#include "agent/text.h"
#include "base/files.h"
#include "integration/hostile_fixture.h"

namespace dbrestore::tests {
namespace {

class HostileContents : public HostileTest {
protected:
    std::string toc() const {
        const auto text = base::read_file(source("hostile.dump/toc.dat"), 16u << 20);
        EXPECT_TRUE(text);
        return text ? *text : "";
    }
    void write_toc(const std::string& text) const {
        std::ofstream(source("hostile.dump/toc.dat"), std::ios::binary | std::ios::trunc) << text;
    }
    static constexpr const char* outside = "secret-of-the-pod.dat";
    // As seen from the dump's folder, which is somewhere else in each step.
    std::string path_outside() const {
        std::string up;
        for (int i = 0; i < 20; ++i) up += "../";
        return up + folder().substr(1) + "/secret/" + outside;
    }
    // In preflight, and where the backup was exchanged for another after it.
    void expect_unsafe(const std::string& word) {
        std::ofstream(folder() + "/secret/" + outside) << "outside\n\\.\n\n\n";
        start_server();
        auto checked = asked("preflight");
        checked.host = "127.0.0.1";
        const AgentRun ran = run(checked);
        EXPECT_EQ(ran.result.reason, "UnsafeArchive") << to_text(ran);
        stop_server();
        expect_clean_failure("UnsafeArchive", word);
    }
    // A small dump in directory format, whose one comment's command is another one.
    void make_dump_that_runs(const std::string& statements) {
        make_dump(
            "CREATE TABLE public.bait (a int); INSERT INTO public.bait VALUES (1);"
            "COMMENT ON TABLE public.bait IS 'a table'",
            "-Fd");
        write_toc(with_text_replaced(toc(), "COMMENT ON TABLE public.bait",
                                     agent::replaced(statements, "TRACE", trace())));
    }
};

const Attack commands[] = {
    {"CopyToProgram", "COPY (SELECT 1) TO PROGRAM 'touch TRACE'", "COPY to or from an external program"},
    {"AlterSystem", "ALTER SYSTEM SET archive_command = 'touch TRACE'",
     "permission denied to set parameter \"archive_command\""},
    {"CreateRole", "CREATE ROLE evil SUPERUSER LOGIN", "must be superuser to create superusers"},
    {"GrantSuperuser", "GRANT boss TO app", "must be"},
    {"CreateDatabase", "CREATE DATABASE evil", "permission denied to create database"},
    {"DropDatabase", "DROP DATABASE shop", "must be owner of database shop"},
    {"RenameOwnDatabase", "ALTER DATABASE dbrestore_new_0a1b2c3d RENAME TO gone",
     "permission denied to rename"},
    {"CloseOwnDatabase", "ALTER DATABASE dbrestore_new_0a1b2c3d ALLOW_CONNECTIONS false",
     "cannot disallow connections for current database"},
    {"CreateTablespace", "CREATE TABLESPACE evil LOCATION '/tmp'", "permission denied to create tablespace"},
    {"ReassignOwned", "REASSIGN OWNED BY boss TO CURRENT_USER", "permission denied to reassign objects"},
    {"SessionAuthorization",
     "RESET SESSION AUTHORIZATION; RESET ROLE; COPY (SELECT 1) TO PROGRAM 'touch TRACE'",
     "COPY to or from an external program"},
    {"MetaCommand", "\\! touch TRACE\n", "syntax error at or near \"\\\""},
    {"UnknownCollation", "CREATE COLLATION public.c (provider = libc, locale = '../../evil')",
     "could not create locale"},
};

class HostileCommand : public HostileContents, public testing::WithParamInterface<Attack> {};

TEST_P(HostileCommand, IsRefusedAndTheOldDataStays) {
    make_dump_that_runs(GetParam().statements);
    expect_clean_failure("RestoreFailed", GetParam().word);
}

INSTANTIATE_TEST_SUITE_P(Commands, HostileCommand, testing::ValuesIn(commands),
                         [](const auto& command) { return std::string(command.param.name); });

TEST_F(HostileContents, ATriggerAndARuleThatActWhileDataIsCopiedHaveNoRights) {
    make_dump_that_runs(
        "CREATE FUNCTION public.fire() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN COPY (SELECT 1) TO PROGRAM "
        "''touch "
        "TRACE''; RETURN NEW; END';"
        "CREATE RULE r AS ON INSERT TO public.bait DO ALSO DELETE FROM pg_catalog.pg_authid;"
        "CREATE TRIGGER t BEFORE INSERT ON public.bait FOR EACH ROW EXECUTE FUNCTION public.fire()");
    expect_clean_failure("RestoreFailed", "COPY to or from an external program");
}

// It would hold its locks, and the horizon of the whole server, for ever.
TEST_F(HostileContents, APreparedTransactionDoesNotOutliveTheRestore) {
    stop_server();
    server_arguments_ = {"-c", "max_prepared_transactions=5"};
    start_server(server_arguments_);
    make_dump_that_runs("BEGIN; CREATE TABLE public.held (a int); PREPARE TRANSACTION 'for ever'");
    expect_clean_failure("RestoreFailed", "prepared transaction");
}

// pg_restore reads whatever file the table of contents names.
TEST_F(HostileContents, ADataFileOutsideOfTheDumpIsNotRead) {
    make_dump("CREATE TABLE public.bait (line text); INSERT INTO public.bait VALUES ('inside')", "-Fd");
    const std::string text = toc();
    const size_t end = text.find(".dat");
    ASSERT_NE(end, std::string::npos);
    const size_t begin = text.find_last_not_of("0123456789", end - 1) + 1;
    write_toc(with_text_replaced(text, text.substr(begin, end + 4 - begin), path_outside()));
    expect_unsafe(outside);
}

TEST_F(HostileContents, ALargeObjectOutsideOfTheDumpIsNotRead) {
    make_dump("SELECT lo_from_bytea(4711, 'inside')", "-Fd");
    std::ofstream(source("hostile.dump/blobs.toc")) << "4711 blob_4711.dat/../" << path_outside() << "\n";
    expect_unsafe("blobs.toc");
}

TEST_F(HostileContents, NamesThatLookLikeCommandsAreNames) {
    make_dump(
        "CREATE TABLE public.\"a\n\\! touch TRACE\n\" (\"b\nCREATE ROLE evil;\" int);"
        "CREATE SCHEMA \"s\n\\connect shop\n\"; COMMENT ON SCHEMA \"s\n\\connect shop\n\" IS E'x\n\\\\! "
        "touch TRACE\n';"
        "CREATE FUNCTION public.f() RETURNS text LANGUAGE sql AS E'SELECT ''\n\\\\! touch TRACE\n''::text'");
    expect_restored_without_harm();
    EXPECT_EQ(sql("SELECT count(*) FROM pg_class WHERE relname LIKE E'a\\n%'"), "1");
}

// What pg_restore lists has a line more than there are entries.
TEST_F(HostileContents, AKindOfEntryWithANewlineGainsNothing) {
    make_dump_that_runs("COMMENT ON TABLE public.bait IS 'a table'");
    write_toc(with_text_replaced(toc(), "COMMENT",
                                 "COMMENT\n1; 0 0 EXTENSION - plperlu boss\n2; 0 0 TABLE public x boss"));
    expect_clean_failure("RestoreFailed", "could not find entry for ID 2");
}

}  // namespace
}  // namespace dbrestore::tests
