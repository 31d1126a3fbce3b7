#include "integration/agent_fixture.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "agent/programs.h"
#include "agent/space.h"
#include "agent/text.h"
#include "base/files.h"
#include "base/unique_fd.h"

namespace dbrestore::tests {

namespace {

namespace fs = std::filesystem;

constexpr const char* os_user = "postgres";
constexpr int sample_scale = 300;
// Two seconds in a pod; waiting that long would be half of the time of these tests.
constexpr const char* control_interval_ms = "300";
constexpr int64_t wanted_memory_bytes = int64_t{2} << 30;

void give_to_postgres(const std::string& path) {
    const passwd* user = ::getpwnam(os_user);
    if (::geteuid() != 0 || user == nullptr) return;
    ASSERT_EQ(::chown(path.c_str(), user->pw_uid, user->pw_gid), 0);
}

void make_folder(const std::string& path, mode_t mode) {
    fs::create_directories(path);
    ASSERT_EQ(::chmod(path.c_str(), mode), 0);
    give_to_postgres(path);
}

void must(const Output& output, const std::string& what) {
    ASSERT_EQ(output.exit_code, 0) << what << ": " << output.out << output.err;
}

// A folder that goes with the process; the agent's program is copied, since the build may lie where postgres
// cannot read.
struct SuiteFolder {
    std::string path;

    SuiteFolder() {
        // In memory where there is room: the tests are about order and content, and a slow disk would be most
        // of their time.
        const auto memory = agent::disk_space("/dev/shm");
        std::string pattern = memory && memory->free_bytes > wanted_memory_bytes
                                  ? "/dev/shm/dbrestore-test-XXXXXX"
                                  : "/tmp/dbrestore-test-XXXXXX";
        path = ::mkdtemp(pattern.data());
        ::chmod(path.c_str(), 0755);
        give_to_postgres(path);
        fs::copy_file(DBRESTORE_AGENT_PROGRAM, path + "/dbrestore-agent");
        fs::copy_file(support_file("sample_database.sql"), path + "/sample_database.sql");
        fs::copy_file(support_file("fingerprint.sql"), path + "/fingerprint.sql");
    }
    ~SuiteFolder() {
        std::error_code ignored;
        fs::remove_all(path, ignored);
    }
    SuiteFolder(const SuiteFolder&) = delete;
    SuiteFolder& operator=(const SuiteFolder&) = delete;
};

pid_t start_postgres(const std::string& data, int64_t port, std::vector<std::string> more,
                     const std::string& log) {
    std::vector<std::string> arguments{program("postgres"),
                                       "-D",
                                       data,
                                       "-c",
                                       "listen_addresses=127.0.0.1",
                                       "-c",
                                       "port=" + std::to_string(port),
                                       "-c",
                                       "unix_socket_directories=" + fs::path(data).parent_path().string(),
                                       "-c",
                                       "fsync=off",
                                       "-c",
                                       "dynamic_shared_memory_type=mmap"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    base::ProcessSpec spec;
    spec.arguments = as_postgres(arguments);
    spec.environment = {{"LC_ALL", "C.UTF-8"}};
    const base::UniqueFd file{::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)};
    const auto pid = base::start_process(spec, file.get());
    EXPECT_TRUE(pid) << (pid ? "" : pid.error().message);
    const agent::ConnectTarget target{"127.0.0.1", port, superuser, password, "postgres"};
    const bool ready = pid && wait_for([&] { return agent::Session::open(target).ok(); });
    const auto said = base::read_file(log);
    EXPECT_TRUE(ready) << "the server did not start: " << (said ? *said : "");
    return pid ? *pid : -1;
}

void end_postgres(pid_t& pid, int signal) {
    if (pid <= 0) return;
    ::kill(pid, signal);
    ::waitpid(pid, nullptr, 0);
    pid = -1;
}

void fill_cluster(const std::string& folder, int64_t port, const std::vector<std::string>& psql_arguments) {
    const std::string host = "--host=" + folder, at = "--port=" + std::to_string(port),
                      user = "--username=" + std::string(superuser);
    const auto psql = [&](const std::string& database, const std::vector<std::string>& more) {
        std::vector<std::string> arguments{program("psql"),   host, at,      user, "-qX", "-v",
                                           "ON_ERROR_STOP=1", "-d", database};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return run_as_postgres(arguments);
    };
    must(psql("postgres", {"-c", "CREATE ROLE app LOGIN PASSWORD " + agent::quote_literal(password), "-c",
                           "CREATE DATABASE shop OWNER app"}),
         "create the database");
    must(psql("shop", psql_arguments), "fill the database");
    must(run_as_postgres({program("pg_dump"), host, at, user, "-Fc", "-f", folder + "/shop.dump", "shop"}),
         "dump the database");
}

}  // namespace

const resources::PreflightFinding* AgentRun::finding(const std::string& check) const {
    for (const auto& finding : result.findings) {
        if (finding.check == check) return &finding;
    }
    return nullptr;
}

std::string to_text(const AgentRun& run) {
    return "exit code " + std::to_string(run.exit_code) + ", reason \"" + run.result.reason +
           "\", message \"" + run.result.message + "\"\n" + run.err;
}

std::vector<std::string> as_postgres(const std::vector<std::string>& arguments) {
    if (::geteuid() != 0) return arguments;
    std::vector<std::string> all{"setpriv",       "--reuid=postgres", "--regid=postgres",
                                 "--init-groups", "--no-new-privs",   "--"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return all;
}

Output run_as_postgres(const std::vector<std::string>& arguments,
                       const std::map<std::string, std::string>& environment) {
    Output output;
    base::ProcessSpec spec;
    spec.arguments = as_postgres(arguments);
    spec.environment = environment;
    spec.environment.emplace("LC_ALL", "C.UTF-8");
    spec.working_directory = "/";
    spec.on_stdout = [&](std::string_view text) { output.out += text; };
    spec.on_stderr = [&](std::string_view text) { output.err += text; };
    const auto end = base::run_process(spec);
    if (!end) output.err += end.error().message;
    if (end) output.exit_code = end->exit_code;
    return output;
}

std::string postgres_version() {
    const char* version = std::getenv("DBRESTORE_TEST_POSTGRES");
    return version != nullptr ? version : "15";
}

std::string program(const std::string& name) {
    const auto path = agent::find_program(name, postgres_version());
    return path ? *path : name;
}

std::string suite_folder() {
    static const SuiteFolder folder;
    return folder.path;
}

std::string support_file(const std::string& name) {
    return std::string(DBRESTORE_SOURCE_DIRECTORY) + "/tests/support/" + name;
}

std::string agent_program() {
    return suite_folder() + "/dbrestore-agent";
}

void make_cluster(const std::string& folder, const std::vector<std::string>& initdb_options,
                  const std::vector<std::string>& psql_arguments) {
    make_folder(folder, 0755);
    const std::string password_file = folder + "/password", data = folder + "/data";
    std::ofstream(password_file) << password << "\n";
    std::vector<std::string> initdb{program("initdb"),
                                    "-D",
                                    data,
                                    "-U",
                                    superuser,
                                    "-N",
                                    "--auth-local=trust",
                                    "--auth-host=scram-sha-256",
                                    "--pwfile=" + password_file,
                                    "-E",
                                    "UTF8",
                                    "--locale=C.UTF-8"};
    initdb.insert(initdb.end(), initdb_options.begin(), initdb_options.end());
    must(run_as_postgres(initdb), "initdb");
    const int64_t port = free_port();
    pid_t server = start_postgres(data, port, {}, folder + "/server.log");
    fill_cluster(folder, port, psql_arguments);
    end_postgres(server, SIGINT);
}

int64_t free_port() {
    const base::UniqueFd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return 0;
    if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) return 0;
    return ntohs(address.sin_port);
}

std::string difference(const std::string& left, const std::string& right) {
    const auto in_left = agent::lines_of(left), in_right = agent::lines_of(right);
    const std::set<std::string> a(in_left.begin(), in_left.end()), b(in_right.begin(), in_right.end());
    std::string text;
    for (const auto& line : a) {
        if (!b.contains(line)) text += "- " + line + "\n";
    }
    for (const auto& line : b) {
        if (!a.contains(line)) text += "+ " + line + "\n";
    }
    return text;
}

bool wait_for(const std::function<bool()>& condition, std::chrono::milliseconds patience) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (std::chrono::steady_clock::now() < deadline) {
        if (condition()) return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return condition();
}

std::string AgentTest::cluster() {
    const std::string folder = suite_folder() + "/template";
    if (!fs::exists(folder)) {
        make_cluster(
            folder, {},
            {"-v", "scale=" + std::to_string(sample_scale), "-f", suite_folder() + "/sample_database.sql"});
    }
    return folder;
}

void AgentTest::SetUp() {
    std::string pattern = suite_folder() + "/test-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
    ASSERT_EQ(::chmod(folder_.c_str(), 0755), 0);
    give_to_postgres(folder_);
    for (const char* name : {"/source", "/secret", "/tmp"}) make_folder(folder_ + name, 0755);
    std::ofstream(folder_ + "/secret/username") << app_user;
    std::ofstream(folder_ + "/secret/password") << password << "\n";
    port_ = free_port();
    make_volume();
    const std::string from = cluster();
    replace_data(from);
    fs::copy_file(from + "/shop.dump", folder_ + "/source/shop.dump");
}

void AgentTest::replace_data(const std::string& cluster_folder) {
    fs::remove_all(data_directory());
    must(run_as_postgres({"cp", "-a", "--reflink=auto", cluster_folder + "/data", data_directory()}),
         "copy the cluster");
}

void AgentTest::TearDown() {
    kill_server();
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
}

void AgentTest::start_server(const std::vector<std::string>& arguments) {
    std::vector<std::string> all = server_arguments_;
    all.insert(all.end(), arguments.begin(), arguments.end());
    server_ = start_postgres(data_directory(), port_, std::move(all), folder_ + "/server.log");
}
void AgentTest::stop_server() {
    end_postgres(server_, SIGINT);
}

void AgentTest::kill_server() {
    if (server_ <= 0) return;
    // Its children notice, as they would in a pod whose processes all go.
    end_postgres(server_, SIGKILL);
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
}

std::string AgentTest::sql(const std::string& statements, const std::string& database) {
    auto session = agent::Session::open({"127.0.0.1", port_, superuser, password, database});
    EXPECT_TRUE(session) << (session ? "" : to_text(session.error()));
    if (!session) return {};
    EXPECT_TRUE(session->run("SET search_path = public"));
    const auto rows = session->query(statements);
    EXPECT_TRUE(rows) << (rows ? "" : to_text(rows.error())) << "\n" << statements;
    return rows && !rows->empty() && !rows->front().empty() ? rows->front().front() : "";
}

std::string AgentTest::fingerprint(const std::string& database) {
    const Output output =
        run_as_postgres({program("psql"), "--host=" + folder_, "--port=" + std::to_string(port_),
                         "--username=" + std::string(superuser), "-qAtX", "-v", "ON_ERROR_STOP=1", "-f",
                         suite_folder() + "/fingerprint.sql", "-d", database});
    EXPECT_EQ(output.exit_code, 0) << output.err;
    return output.out;
}

void AgentTest::dump(const std::string& file, const std::string& database,
                     const std::vector<std::string>& options) {
    fs::remove(folder_ + "/source/" + file);
    std::vector<std::string> arguments{program("pg_dump"),
                                       "--host=" + folder_,
                                       "--port=" + std::to_string(port_),
                                       "--username=" + std::string(superuser),
                                       "-Fc",
                                       "-f",
                                       folder_ + "/source/" + file,
                                       database};
    arguments.insert(arguments.end(), options.begin(), options.end());
    must(run_as_postgres(arguments), "pg_dump");
}

resources::AgentRequest AgentTest::request(const std::string& step) const {
    resources::AgentRequest request;
    request.step = step;
    request.restore_name = "bring-back";
    request.restore_uid = restore_uid_;
    request.attempt = attempt_;
    request.data_directory = data_directory();
    request.port = port_;
    request.user_key = "username";
    request.password_key = "password";
    request.database = "shop";
    request.backup_name = "shop.dump";
    // A killed server leaves its shared memory: so it lies in the test's folder.
    request.server_arguments = {"-c", "dynamic_shared_memory_type=mmap"};
    request.new_database = "dbrestore_new_0a1b2c3d";
    request.old_database = "dbrestore_old_0a1b2c3d";
    request.role = "dbrestore_0a1b2c3d";
    return request;
}

resources::AgentRequest AgentTest::request_to_server(const std::string& step) const {
    auto made = request(step);
    made.host = "127.0.0.1";
    return made;
}

std::map<std::string, std::string> AgentTest::environment_of(const resources::AgentRequest& request) const {
    return {{resources::request_variable, to_json(request).dump()},
            {resources::pod_uid_variable, pod_uid_},
            {"DBRESTORE_SOURCE_DIRECTORY", folder_ + "/source"},
            {"DBRESTORE_SECRET_DIRECTORY", folder_ + "/secret"},
            {"DBRESTORE_STORE_DIRECTORY", folder_ + "/store"},
            {"DBRESTORE_REPOSITORY_DIRECTORY", folder_ + "/repository-secret"},
            {"DBRESTORE_PGBACKREST_PROGRAM", pgbackrest_program_},
            {"DBRESTORE_TEMPORARY_DIRECTORY", folder_ + "/tmp"},
            {"DBRESTORE_TERMINATION_LOG", folder_ + "/tmp/termination"},
            {"DBRESTORE_CONTROL_INTERVAL_MS", control_interval_ms},
            {"HOME", "/nonexistent"}};
}

TracedSpec AgentTest::traced(const resources::AgentRequest& request) const {
    return {as_postgres({agent_program(), request.step}), environment_of(request), agent_program(),
            folder_ + "/out.log", folder_ + "/err.log"};
}

AgentRun AgentTest::understand(const Output& output) const {
    AgentRun run;
    run.exit_code = output.exit_code;
    run.out = output.out;
    run.err = output.err;
    if (const auto text = base::read_file(folder_ + "/tmp/termination")) run.termination = *text;
    const auto report = resources::parse_agent_report(output.out, run.termination, true);
    run.has_result = report.result.has_value();
    if (report.result) run.result = *report.result;
    for (const auto& line : agent::lines_of(output.out)) {
        if (const auto one = resources::parse_agent_report(line, "", false).progress)
            run.progress.push_back(*one);
    }
    return run;
}

AgentRun AgentTest::run(const resources::AgentRequest& request) {
    std::error_code ignored;
    fs::remove(folder_ + "/tmp/termination", ignored);
    return understand(run_as_postgres({agent_program(), request.step}, environment_of(request)));
}

pid_t AgentTest::launch(const resources::AgentRequest& request) {
    base::ProcessSpec spec;
    spec.arguments = as_postgres({agent_program(), request.step});
    spec.environment = environment_of(request);
    const base::UniqueFd log{
        ::open((folder_ + "/agent.log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)};
    const auto pid = base::start_process(spec, log.get());
    EXPECT_TRUE(pid);
    return pid ? *pid : -1;
}

void AgentTest::kill_agent(pid_t pid) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
}

void AgentTest::damage() {
    sql("DELETE FROM shop.order_lines WHERE line > 1; DELETE FROM shop.events WHERE id % 2 = 0; UPDATE "
        "shop.products SET title = 'gone';"
        "CREATE TABLE shop.made_later (id integer); DROP FUNCTION shop.next_number(); SELECT "
        "lo_unlink(500004)");
}

void AgentTest::restore() {
    for (const char* step : {"prepare", "verify", "commit"}) {
        const AgentRun ran = run_step(step);
        ASSERT_TRUE(ran.is_done()) << step << ": " << to_text(ran);
    }
}

}  // namespace dbrestore::tests
