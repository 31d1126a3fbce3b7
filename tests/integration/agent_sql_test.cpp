// Whole restores from plain SQL. Where the installed psql is not one that keeps a script from becoming
// commands, a wrapper says so of itself and runs the installed one: what is proven here is how scripts are
// run, and the refusal of the real one elsewhere. The real one that is safe runs on the cluster, with
// PostgreSQL 17.

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "agent/programs.h"
#include "agent/text.h"
#include "integration/agent_fixture.h"

namespace dbrestore::tests {
namespace {

namespace fs = std::filesystem;

class AgentSql : public AgentTest {
protected:
    void SetUp() override {
        AgentTest::SetUp();
        fs::create_directories(bin());
        std::ofstream(bin() + "/psql")
            << "#!/bin/sh\n"
            << "[ \"$1\" != --version ] || { echo 'psql (PostgreSQL) 15.19'; exit; }\n"
            << "exec " << program("psql") << " \"$@\"\n";
        fs::permissions(bin() + "/psql", static_cast<fs::perms>(0755));
    }

    std::string bin() const { return folder() + "/bin"; }

    AgentRun run_safely(resources::AgentRequest asked, const std::string& backup) {
        asked.backup_name = backup;
        std::error_code ignored;
        fs::remove(folder() + "/tmp/termination", ignored);
        auto environment = environment_of(asked);
        environment["PATH"] = bin() + ":" + std::getenv("PATH");
        return understand(run_as_postgres({agent_program(), asked.step}, environment));
    }
    void restore_from(const std::string& backup) {
        const AgentRun checked = run_safely(request_to_server("preflight"), backup);
        ASSERT_TRUE(checked.is_done()) << to_text(checked);
        stop_server();
        for (const char* step : {"prepare", "verify", "commit"}) {
            const AgentRun ran = run_safely(request(step), backup);
            ASSERT_TRUE(ran.is_done()) << step << ": " << to_text(ran);
        }
        start_server();
    }
    std::string script(const std::string& name) const {
        std::ifstream file(folder() + "/source/" + name);
        return {std::istreambuf_iterator<char>(file), {}};
    }
    void write(const std::string& name, const std::string& text) const {
        std::ofstream(folder() + "/source/" + name) << text;
    }
};

TEST_F(AgentSql, RestoresADumpInPlainSql) {
    start_server();
    dump("shop.sql", "shop", {"-Fp"});
    const std::string good = fingerprint();
    sql("TRUNCATE shop.order_lines; DELETE FROM shop.events");
    restore_from("shop.sql");
    EXPECT_EQ(difference(good, fingerprint()), "");
    EXPECT_EQ(sql("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'dbrestore%'"), "0");
}

TEST_F(AgentSql, RestoresADumpOfInserts) {
    start_server();
    dump("shop.sql", "shop", {"-Fp", "--rows-per-insert=50"});
    const std::string good = fingerprint();
    sql("TRUNCATE shop.order_lines");
    restore_from("shop.sql");
    EXPECT_EQ(difference(good, fingerprint()), "");
}

TEST_F(AgentSql, AScriptThatFailsLeavesTheOldDataAndNamesTheError) {
    start_server();
    dump("shop.sql", "shop", {"-Fp"});
    const std::string good = fingerprint(), whole = script("shop.sql");
    const std::string view = "CREATE VIEW shop.",
                      broken = "CREATE VIEW shop.broken AS SELECT nothing FROM nowhere;\n";
    const size_t at = whole.find(view);
    ASSERT_NE(at, std::string::npos);
    write("broken.sql", whole.substr(0, at) + broken + whole.substr(at));
    stop_server();
    const AgentRun ran = run_safely(request("prepare"), "broken.sql");
    EXPECT_EQ(ran.result.reason, "RestoreFailed") << to_text(ran);
    EXPECT_NE(ran.result.message.find("relation \"nowhere\" does not exist"), std::string::npos)
        << ran.result.message;
    ASSERT_TRUE(run_step("rollback").is_done());
    start_server();
    EXPECT_EQ(difference(good, fingerprint()), "");
}

TEST_F(AgentSql, NoScriptMakesACommandOfPsql) {
    start_server();
    dump("shop.sql", "shop", {"-Fp"});
    const std::string whole = script("shop.sql"), trace = folder() + "/trace";
    write("hostile.sql", whole + "\\! touch " + trace + "\n");
    AgentRun ran = run_safely(request_to_server("preflight"), "hostile.sql");
    ASSERT_NE(ran.finding("UnsafeScript"), nullptr) << to_text(ran);
    EXPECT_NE(ran.result.message.find("\\!"), std::string::npos) << ran.result.message;
    // What our reading takes for data, and psql for a command.
    const size_t at = whole.find("CREATE VIEW shop.");
    write("tricky.sql",
          whole.substr(0, at) +
              "SELECT 'FROM stdin' AS \"x\nCOPY y FROM stdin;\";\nSET x.y = 'COPY t FROM stdin';\n"
              "COPY pg_temp.none FROM stdin WHERE false;\n\\! touch " +
              trace + "\n\\.\n" + whole.substr(at));
    stop_server();
    ran = run_safely(request("prepare"), "tricky.sql");
    EXPECT_EQ(ran.result.outcome, resources::AgentResult::Outcome::failed) << to_text(ran);
    EXPECT_FALSE(fs::exists(trace));
}

TEST_F(AgentSql, ModeCleanAndNewerDumpsAreRefused) {
    start_server();
    dump("shop.sql", "shop", {"-Fp"});
    auto clean = request_to_server("preflight");
    clean.clean = true;
    const AgentRun refused = run_safely(clean, "shop.sql");
    ASSERT_NE(refused.finding("UnsupportedFormat"), nullptr) << to_text(refused);
    EXPECT_NE(refused.result.message.find("mode Clean"), std::string::npos);
    std::string newer = script("shop.sql");
    const std::string mark = "-- Dumped by pg_dump version 15";
    ASSERT_NE(newer.find(mark), std::string::npos);
    newer.replace(newer.find(mark), mark.size(), "-- Dumped by pg_dump version 99");
    write("newer.sql", newer);
    const AgentRun too_new = run_safely(request_to_server("preflight"), "newer.sql");
    ASSERT_NE(too_new.finding("DumpTooNew"), nullptr) << to_text(too_new);
}

TEST_F(AgentSql, TheInstalledPsqlIsRefusedWhereItIsNotSafe) {
    start_server();
    dump("shop.sql", "shop", {"-Fp"});
    auto asked = request_to_server("preflight");
    asked.backup_name = "shop.sql";
    const AgentRun ran = run(asked);
    if (agent::is_safe_psql(agent::version_of(program("psql")))) {
        EXPECT_TRUE(ran.is_done()) << to_text(ran);
    } else {
        ASSERT_NE(ran.finding("UnsupportedFormat"), nullptr) << to_text(ran);
        EXPECT_NE(ran.result.message.find("CVE-2026-18408"), std::string::npos) << ran.result.message;
    }
}

}  // namespace
}  // namespace dbrestore::tests
