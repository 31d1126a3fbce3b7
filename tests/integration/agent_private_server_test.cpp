// The private server: each setting that keeps it from acting on anything outside wins over a configuration
// that says otherwise in every place where one can.
#include <filesystem>
#include <fstream>

#include "agent/server/server_settings.h"
#include "base/files.h"
#include "integration/agent_fixture.h"

namespace dbrestore::tests {
namespace {

using agent::Settings;

agent::PrivatePlace place_in(const std::string& folder, int64_t port) {
    return {folder + "/data",
            folder + "/socket",
            folder + "/hba.conf",
            folder + "/ident.conf",
            port,
            "jobs_here",
            256,
            64};
}

Settings overrides_in(const agent::PrivatePlace& place) {
    return agent::overrides(place, std::stoi(postgres_version()));
}

std::vector<std::string> override_names() {
    std::vector<std::string> names;
    for (const auto& [name, value] : overrides_in(place_in("", 1))) names.push_back(name);
    return names;
}

// What a hostile or merely different configuration says for each of them.
std::string opposite(const std::string& name, const std::string& wanted) {
    if (wanted == "off") return "on";
    if (wanted == "on") return "off";
    if (name == "archive_library") return "basic_archive";
    if (name == "synchronous_standby_names") return "nobody";
    if (name == "port") return "9999";
    if (name == "unix_socket_permissions") return "0777";
    if (name == "log_destination") return "csvlog";
    if (name == "log_statement") return "all";
    if (name == "log_min_messages" || name == "log_min_error_statement") return "debug5";
    if (name == "max_wal_size") return "64MB";
    if (name == "maintenance_work_mem") return "1MB";
    if (name == "lc_messages") return "C.UTF-8";
    if (name == "listen_addresses") return "0.0.0.0";
    if (wanted == "0" || wanted == "-1") return "7";
    return "/nonexistent/" + name;
}

class PrivateServerSettings : public AgentTest, public testing::WithParamInterface<std::string> {
protected:
    // One server for all parameters: starting one for each would take most of a minute.
    static std::map<std::string, std::string>& seen() {
        static std::map<std::string, std::string> values;
        return values;
    }
    // Only the first needs a cluster.
    void SetUp() override {
        if (!seen().empty()) return;
        AgentTest::SetUp();
        observe();
    }
    void observe() {
        const auto place = place_in(folder(), port());
        const Settings ours = overrides_in(place);
        std::ofstream configuration(data_directory() + "/postgresql.auto.conf", std::ios::app);
        std::vector<std::string> pod_arguments;
        for (const auto& [name, value] : ours) {
            configuration << name << " = '" << opposite(name, value) << "'\n";
            pod_arguments.push_back("--" + name + "=" + opposite(name, value));
        }
        configuration << "archive_mode = 'on'\n";
        configuration.close();
        std::ofstream(place.hba_file) << "local all all trust\n";
        std::ofstream(place.ident_file) << "";
        ASSERT_EQ(run_as_postgres({"mkdir", "-m", "0700", place.socket_directory}).exit_code, 0);
        base::ProcessSpec spec;
        std::vector<std::string> arguments{"setpriv",       "--reuid=postgres",  "--regid=postgres",
                                           "--init-groups", program("postgres"), "-D",
                                           data_directory()};
        for (auto& argument : agent::server_arguments(agent::settings_from_arguments(pod_arguments), ours))
            arguments.push_back(argument);
        spec.arguments = arguments;
        std::string said;
        spec.on_stderr = [&](std::string_view text) { said += text; };
        spec.tick = std::chrono::milliseconds(100);
        int ticks = 0;
        spec.on_tick = [&](pid_t) { return !ask(place.socket_directory, ours) && ++ticks < 200; };
        const auto end = base::run_process(spec);
        ASSERT_FALSE(seen().empty()) << "the server did not start: " << said;
    }
    // True once the server has answered.
    bool ask(const std::string& socket_directory, const Settings& settings) {
        auto session = agent::Session::open({socket_directory, port(), superuser, "", "template1"});
        if (!session) return false;
        for (const auto& [name, value] : settings) {
            // What the server itself was given, not what this session set for itself.
            auto now = session->value(
                "SELECT CASE WHEN source = 'client' THEN reset_val ELSE setting END || coalesce(unit, '') "
                "FROM pg_settings WHERE name = $1",
                {name});
            if (now && now->empty())
                now = session->value("SELECT coalesce(current_setting($1, true), '')", {name});
            seen()[name] = now ? *now : "cannot be asked: " + now.error().message;
        }
        return true;
    }
};

TEST_P(PrivateServerSettings, Win) {
    const std::string name = GetParam();
    std::string wanted;
    for (const auto& [key, value] : overrides_in(place_in(folder(), port()))) {
        if (key == name) wanted = value;
    }
    ASSERT_TRUE(seen().contains(name));
    const std::string now = seen()[name];
    if (name == "max_wal_size" || name == "maintenance_work_mem") {
        EXPECT_TRUE(now == "256MB" || now == "65536kB") << now;
    } else if (now.ends_with("ms") && wanted == "0") {
        EXPECT_EQ(now, "0ms");
    } else if (name == "log_min_duration_statement") {
        EXPECT_EQ(now, "-1ms");
    } else if (wanted.find('/') == std::string::npos && name != "port") {
        EXPECT_EQ(now, wanted);
    } else {
        // Places of the first test's folder: not the one that the configuration named.
        EXPECT_EQ(now.find("nonexistent"), std::string::npos) << now;
        EXPECT_NE(now, "9999");
    }
}

INSTANTIATE_TEST_SUITE_P(Overrides, PrivateServerSettings, testing::ValuesIn(override_names()),
                         [](const auto& name) {
                             std::string text = name.param;
                             for (char& c : text) c = c == '.' ? '_' : c;
                             return text;
                         });

class AgentPrivateServer : public AgentTest {};

TEST_F(AgentPrivateServer, ArchivesNothingAndRunsNothingOfThePodsOwn) {
    const std::string trace = folder() + "/archived";
    auto asked = request("prepare");
    asked.server_arguments = {"-c",
                              "archive_mode=on",
                              "-c",
                              "archive_command=touch " + trace,
                              "--synchronous_standby_names=nobody",
                              "-c",
                              "log_statement=all",
                              "-c",
                              "external_pid_file=" + folder() + "/outside.pid",
                              "-c",
                              "statement_timeout=1",
                              "-c",
                              "default_transaction_read_only=on",
                              "-D",
                              "/nonexistent",
                              "-c",
                              "data_directory=/nonexistent",
                              "-c",
                              "config_file=/nonexistent/postgresql.conf"};
    const AgentRun prepared = run(asked);
    ASSERT_TRUE(prepared.is_done()) << to_text(prepared);
    EXPECT_FALSE(std::filesystem::exists(trace));
    EXPECT_FALSE(std::filesystem::exists(folder() + "/outside.pid"));
    EXPECT_TRUE(run_step("rollback").is_done());
}

// As where an entrypoint writes the configuration to a place that only its own pod has.
TEST_F(AgentPrivateServer, WithoutTheConfigurationKeepsWhatTheDataDirectoryHoldsForIt) {
    for (const char* name : {"/postgresql.conf", "/pg_hba.conf", "/pg_ident.conf"})
        std::filesystem::rename(data_directory() + name, folder() + name);
    const std::vector<std::string> configuration{"--config-file=" + folder() + "/postgresql.conf",
                                                 "--hba-file=" + folder() + "/pg_hba.conf",
                                                 "--ident-file=" + folder() + "/pg_ident.conf"};
    std::ofstream(folder() + "/postgresql.conf", std::ios::app)
        << "wal_level = logical\ntrack_commit_timestamp = on\nmax_connections = 150\n"
           "archive_mode = on\narchive_command = 'true'\n";
    const char* committed = "SELECT pg_xact_commit_timestamp(xmin) IS NOT NULL FROM t";
    const char* not_archived =
        "SELECT count(*) FROM pg_ls_waldir() w WHERE name < pg_walfile_name(pg_current_wal_lsn()) AND NOT "
        "EXISTS "
        "(SELECT FROM pg_ls_archive_statusdir() s WHERE s.name LIKE w.name || '.%')";
    start_server(configuration);
    sql("CREATE TABLE t (a int); INSERT INTO t VALUES (1)", "postgres");
    sql("SELECT pg_create_logical_replication_slot('theirs', 'pgoutput')", "postgres");
    sql("SELECT pg_switch_wal()", "postgres");
    ASSERT_TRUE(wait_for([&] {
        return sql("SELECT count(*) > 0 FROM pg_ls_archive_statusdir() WHERE name LIKE '%.done'",
                   "postgres") == "t";
    }));
    stop_server();
    for (const char* step : {"prepare", "verify", "commit"}) {
        auto asked = request(step);
        asked.server_arguments = {"--config-file=/opt/nowhere/postgresql.conf",
                                  "--hba-file=/opt/nowhere/pg_hba.conf",
                                  "--external_pid_file=/opt/nowhere/postgresql.pid"};
        const AgentRun ran = run(asked);
        ASSERT_TRUE(ran.is_done()) << step << ": " << to_text(ran);
    }
    start_server(configuration);
    EXPECT_EQ(sql(committed, "postgres"), "t");
    EXPECT_EQ(sql("SELECT slot_name FROM pg_replication_slots", "postgres"), "theirs");
    EXPECT_EQ(sql(not_archived, "postgres"), "0");
    EXPECT_EQ(sql("SELECT count(*) FROM shop.order_lines"), "900");
}

TEST_F(AgentPrivateServer, FindsASuperuserOfAnyNameThroughAnOrdinaryRole) {
    std::ofstream(folder() + "/secret/username", std::ios::trunc) << app_user;
    const AgentRun prepared = run_step("prepare");
    EXPECT_TRUE(prepared.is_done()) << to_text(prepared);
}

TEST_F(AgentPrivateServer, SettingsOfRolesAndDatabasesDoNotDisturbIt) {
    start_server();
    sql("ALTER ROLE boss SET default_transaction_read_only = on; ALTER ROLE boss SET statement_timeout = "
        "'1ms'; ALTER DATABASE shop SET search_path = shop",
        "postgres");
    stop_server();
    restore();
    start_server();
    EXPECT_EQ(sql("SELECT count(*) FROM shop.order_lines"), "900");
}

TEST(ServerArguments, SettingsAreTakenInEverySpellingAndPlacesAreNot) {
    const Settings settings = agent::settings_from_arguments(
        {"-c", "max_connections=5", "-cshared_buffers=1GB", "--work-mem=3MB", "-N", "7", "-D", "/elsewhere",
         "-c", "data_directory=/elsewhere", "-h", "0.0.0.0", "-F"});
    const Settings expected{
        {"max_connections", "5"}, {"shared_buffers", "1GB"}, {"work_mem", "3MB"}, {"max_connections", "7"}};
    EXPECT_EQ(settings, expected);
}

TEST(ServerArguments, EachVersionGetsOnlyTheSettingsThatItKnows) {
    const auto names = [](int version) {
        std::string text;
        for (const auto& [name, value] : agent::overrides(place_in("", 1), version)) text += name + " ";
        return text;
    };
    EXPECT_EQ(names(14).find("archive_library"), std::string::npos);
    EXPECT_NE(names(15).find("archive_library"), std::string::npos);
    EXPECT_NE(names(15).find("promote_trigger_file"), std::string::npos);
    EXPECT_EQ(names(16).find("promote_trigger_file"), std::string::npos);
    EXPECT_EQ(names(16).find("event_triggers"), std::string::npos);
    EXPECT_NE(names(17).find("event_triggers"), std::string::npos);
}

}  // namespace
}  // namespace dbrestore::tests
