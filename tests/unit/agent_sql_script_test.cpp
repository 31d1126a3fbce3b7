#include <gtest/gtest.h>

#include "agent/dump/sql_script.h"
#include "agent/programs.h"
#include "agent/text.h"

namespace dbrestore::agent {
namespace {

const std::string head =
    "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc123\n\n-- Dumped from database version 15.18 "
    "(Debian)\n"
    "-- Dumped by pg_dump version 15.18 (Debian)\n\n";
const std::string tail = "--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict abc123\n\n";

struct Read {
    std::string forwarded, reason, message;
    Archive archive;
};

Read read(const std::string& text, size_t piece_bytes, const std::set<std::string>& schemas_made = {}) {
    SqlScript script(schemas_made);
    Read result;
    for (size_t at = 0; at < text.size(); at += piece_bytes) {
        const auto fed =
            script.feed(std::string_view(text).substr(at, piece_bytes), [&](std::string_view piece) {
                result.forwarded += piece;
                return base::success();
            });
        EXPECT_TRUE(fed);
    }
    if (const auto problem = script.problem()) {
        result.reason = problem->reason;
        result.message = problem->message;
    }
    result.archive = std::move(script.archive);
    return result;
}

// What is left of the body, blank lines apart; the same in every cut.
std::string left_of(const std::string& body, const std::set<std::string>& schemas_made = {}) {
    const Read whole = read(head + body + tail, 1 << 20, schemas_made);
    EXPECT_EQ(whole.reason, "") << whole.message;
    for (const size_t piece_bytes : {size_t{1}, size_t{7}})
        EXPECT_EQ(read(head + body + tail, piece_bytes, schemas_made).forwarded, whole.forwarded);
    std::string text;
    for (const char c : whole.forwarded) {
        if (c != '\n' || (!text.empty() && text.back() != '\n')) text += c;
    }
    return trimmed(text) + "\n";
}

TEST(SqlScript, ForwardsStatementsAndDataAsTheyAre) {
    for (const std::string body :
         {"CREATE TABLE a.b (c text DEFAULT 'x;\\'\n);\n",
          "SELECT E'a\\';', U&\"d\\0061;\" FROM \"t;\"\"\" ;\n",
          "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $_$ SELECT 1; -- GRANT $x$ \n $_$;\n",
          "CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql AS $$SELECT $1;$$;\nSELECT $1;\n",
          "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2);\n", "SELECT 1 /* ; /* ' */ ; */ ;\n",
          "COPY a.b (c) FROM stdin;\nGRANT all;\n\\x\n\\\\.\n\\.\n",
          "SELECT 1 - -1, 'it''s', a$b$c, '$$';\n"}) {
        EXPECT_EQ(left_of(body), body);
    }
}

TEST(SqlScript, LeavesOutWhatPgRestoreWouldBeToldToLeaveOut) {
    for (const std::string body :
         {"ALTER TABLE a.b OWNER TO app;\n", "ALTER FUNCTION f(\"x OWNER TO y\" int)\n OWNER TO app;\n",
          "GRANT ALL ON TABLE t TO PUBLIC;\n", "REVOKE USAGE ON SCHEMA public FROM PUBLIC;\n",
          "CREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA public;\n",
          "COMMENT ON EXTENSION hstore IS 'x;y';\n",
          "ALTER DEFAULT PRIVILEGES FOR ROLE a GRANT SELECT ON TABLES TO b;\n",
          "SET default_tablespace = fast;\n",
          "SET SESSION AUTHORIZATION a;\nGRANT SELECT ON TABLE t TO b;\nRESET SESSION AUTHORIZATION;\n",
          "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p;\n", "SECURITY LABEL ON TABLE t IS 'x';\n"}) {
        EXPECT_EQ(left_of(body), "\n") << body;
    }
    const std::string stays = "ALTER TABLE t ADD COLUMN \" OWNER TO \" int;\nCREATE SCHEMA b;\n";
    EXPECT_EQ(left_of(stays + "CREATE SCHEMA \"a b\";\n", {"a b"}), stays);
}

TEST(SqlScript, TellsWhatTheDumpHolds) {
    const Read dump = read(
        head +
            "--\n-- Name: hstore; Type: EXTENSION; Schema: -; Owner: -\n--\n\n"
            "CREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA public;\n"
            "--\n-- Name: my orders; Type: TABLE; Schema: shop; Owner: app; Tablespace: fast\n--\n\n"
            "CREATE TABLE shop.\"my orders\" (a int);\n"
            "--\n-- Data for Name: my orders; Type: TABLE DATA; Schema: shop; Owner: app\n--\n"
            "COPY shop.\"my orders\" (a) FROM stdin;\n-- Name: x; Type: TABLE; Schema: s; Owner: o\n\\.\n" +
            tail,
        5);
    EXPECT_EQ(dump.reason, "");
    EXPECT_EQ(dump.archive.server_version, "15.18 (Debian)");
    ASSERT_EQ(dump.archive.entries.size(), 3u);
    EXPECT_EQ(dump.archive.count("TABLE"), 1);
    EXPECT_EQ(dump.archive.entries[1].rest, "shop my orders app");
    EXPECT_EQ(dump.archive.definitions.extensions, (std::vector<DumpExtension>{{"hstore", "public"}}));
}

TEST(SqlScript, RefusesWhatIsNoWholeDumpOfOneDatabase) {
    EXPECT_EQ(read("SELECT 1;\n", 3).reason, "UnsupportedFormat");
    EXPECT_EQ(read("DROP TABLE t;\n" + head + tail, 3).reason, "UnsupportedFormat");
    EXPECT_EQ(read("--\n-- PostgreSQL database cluster dump\n--\n" + tail, 3).reason, "UnsupportedFormat");
    EXPECT_EQ(read(head + "SELECT 1;\n", 3).reason, "DumpTruncated");
    EXPECT_EQ(read(head + "COPY t FROM stdin;\n1\n" + tail, 3).reason, "DumpTruncated");
    EXPECT_EQ(read(head + "SELECT 'x;\n" + tail, 3).reason, "DumpTruncated");
    EXPECT_EQ(read(head + tail + "DROP TABLE t", 3).reason, "DumpTruncated");
    EXPECT_EQ(read(head + tail + "DROP TABLE t;", 3).reason, "DumpTruncated");
    EXPECT_EQ(read(head + tail, 3).reason, "");
}

TEST(SqlScript, RefusesCommandsForPsqlWhereverTheyStand) {
    for (const std::string command :
         {"\\! touch /tmp/x\n", "\\connect other\n", "SELECT 1 \\gexec\n",
          "SELECT 1;\\copy t from program 'id'\n", "\\unrestrict abc123\n\\! id\n"}) {
        const Read script = read(head + command + tail, 4);
        EXPECT_EQ(script.reason, "UnsafeScript") << command;
        EXPECT_EQ(script.forwarded.find('\\'), std::string::npos) << "it is not even passed on";
    }
}

TEST(Programs, PsqlIsSafeFromTheReleasesThatMendedIt) {
    for (const char* version :
         {"14.24", "15.19", "15.20 (Debian 15.20-0+deb12u1)", "16.15", "17.11", "18.6", "19.0", "20.1"})
        EXPECT_TRUE(is_safe_psql(version)) << version;
    for (const char* version :
         {"", "13.99", "14.23", "15.18 (Debian 15.18-0+deb12u1)", "17.1", "18.5", "18devel", "x"})
        EXPECT_FALSE(is_safe_psql(version)) << version;
}

}  // namespace
}  // namespace dbrestore::agent
