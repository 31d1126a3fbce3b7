#include "agent/server/private_server.h"

#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <thread>

#include "agent/programs.h"
#include "agent/server/control_data.h"
#include "agent/server/recovery.h"
#include "agent/server/replay_progress.h"
#include "agent/server/wal_commits.h"
#include "agent/space.h"
#include "agent/text.h"
#include "base/files.h"
#include "base/process.h"

namespace dbrestore::agent {

namespace {

using base::error;
using base::ErrorKind;

constexpr int64_t private_port = 5432;
constexpr auto poll_interval = std::chrono::milliseconds(50);
// A fast shutdown writes all dirty buffers; the pod's deadline bounds it in the end.
constexpr std::chrono::minutes stop_patience{30};
constexpr std::chrono::seconds haste{20};
constexpr size_t log_tail_bytes = 700;

// What pg_control calls them, and the configuration: a server needs the same to start on the data directory,
// and drops what it keeps there for a setting that is off.
constexpr std::array<std::pair<const char*, const char*>, 8> settings_in_pg_control{{
    {"max_connections", "max_connections"},
    {"max_worker_processes", "max_worker_processes"},
    {"max_wal_senders", "max_wal_senders"},
    {"max_prepared_xacts", "max_prepared_transactions"},
    {"max_locks_per_xact", "max_locks_per_transaction"},
    {"wal_level", "wal_level"},
    {"wal_log_hints", "wal_log_hints"},
    {"track_commit_timestamp", "track_commit_timestamp"},
}};

// A configuration for a data directory whose own is not at hand.
std::string configuration_of(const ControlData& control, const std::string& tree) {
    std::string text;
    for (const auto& [name, setting] : settings_in_pg_control) {
        const std::string value = control.field(std::string(name) + " setting");
        if (!value.empty()) text.append(setting).append(" = ").append(value).append("\n");
    }
    // Where WAL was archived, what is written here must be, too.
    std::error_code ignored;
    const std::filesystem::directory_iterator archived(tree + "/pg_wal/archive_status", ignored);
    if (archived != std::filesystem::directory_iterator() && control.field("wal_level setting") != "minimal")
        text += "archive_mode = on\n";
    return text;
}

std::string os_user() {
    const passwd* entry = ::getpwuid(::geteuid());
    return entry != nullptr ? entry->pw_name : "";
}

}  // namespace

PrivateServer::PrivateServer(const Context& context, std::string version, std::string tree)
    : context_(context),
      version_(std::move(version)),
      tree_(std::move(tree)),
      role_database_(context.request.new_database) {
    if (const auto database = credential(context, context.request.database, context.request.database_key);
        context.request.point_in_time && database)
        role_database_ = *database;
    const auto named = credential(context, context.request.user, context.request.user_key);
    for (const std::string& name : {named ? *named : std::string(), std::string("postgres"), os_user()}) {
        if (!name.empty() && std::find(candidates_.begin(), candidates_.end(), name) == candidates_.end())
            candidates_.push_back(name);
    }
}

base::Result<std::unique_ptr<PrivateServer>> PrivateServer::start(const Context& context,
                                                                  const WorkFolder& folder,
                                                                  const std::string& tree,
                                                                  const std::optional<Recovery>& recovery) {
    const auto version = data_version(tree);
    if (!version) return version.error();
    std::unique_ptr<PrivateServer> server{new PrivateServer(context, *version, tree)};
    if (auto settled = server->settle_signals(recovery.has_value()); !settled) return settled.error();
    if (auto made = server->make_place(); !made) return made.error();
    if (auto launched = server->launch(folder, recovery.value_or(Recovery{}).settings); !launched)
        return launched.error();
    if (auto ready = server->wait_until_ready(recovery.value_or(Recovery{})); !ready) return ready.error();
    if (auto found = server->find_superuser(); !found) return found.error();
    return server;
}

base::Status PrivateServer::settle_signals(bool recovers) const {
    if (recovers) {
        ::unlink((tree_ + "/standby.signal").c_str());
        return base::write_file_durably(tree_ + "/recovery.signal", "");
    }
    for (const char* signal : {"/standby.signal", "/recovery.signal"}) {
        if (::access((tree_ + signal).c_str(), F_OK) == 0)
            return error(ErrorKind::failed,
                         "the database is a standby: " + std::string(signal + 1) + " exists");
    }
    return base::success();
}

PrivateServer::~PrivateServer() {
    if (pid_ > 0) {
        ::kill(pid_, SIGINT);
        const auto deadline = std::chrono::steady_clock::now() + haste;
        while (!has_ended() && std::chrono::steady_clock::now() < deadline)
            std::this_thread::sleep_for(poll_interval);
    }
    if (pid_ > 0) {
        ::kill(pid_, SIGQUIT);  // the next server recovers, as after a crash
        ::waitpid(pid_, nullptr, 0);
    }
    std::error_code ignored;
    if (!place_.empty()) std::filesystem::remove_all(place_, ignored);
}

base::Status PrivateServer::make_place() {
    std::string pattern = context_.surroundings.temporary_directory + "/dbrestore-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr)
        return base::io_error("cannot make a folder in " + context_.surroundings.temporary_directory);
    place_ = pattern;
    if (auto written = base::write_file_durably(place_ + "/ident.conf", ""); !written) return written;
    return write_access_rules(candidates_);
}

// The temporary role must reach nothing but its own database, since what a dump runs, runs as it.
base::Status PrivateServer::write_access_rules(const std::vector<std::string>& superusers) const {
    std::string rules = "local " + quote_identifier(role_database_) + " " +
                        quote_identifier(context_.request.role) + " trust\n";
    for (const auto& name : superusers) {
        if (name != context_.request.role) rules += "local all " + quote_identifier(name) + " trust\n";
    }
    return base::write_file_durably(place_ + "/hba.conf", rules);
}

base::Status PrivateServer::launch(const WorkFolder& folder, const Settings& recovery) {
    const auto program = find_program("postgres", version_);
    if (!program) return program.error();
    PrivatePlace place{
        tree_, place_, place_ + "/hba.conf", place_ + "/ident.conf", private_port, role_database_, 1024, 64};
    place.max_wal_size_mb = moderate_wal_size_mb(tree_);
    place.maintenance_work_mem_mb = moderate_maintenance_memory_mb();
    Settings theirs = settings_from_arguments(context_.request.server_arguments);
    if (auto settled = settle_configuration(folder, theirs); !settled) return settled;
    base::ProcessSpec spec;
    spec.arguments = {*program, "-D", tree_};
    Settings ours = overrides(place, std::stoi(version_));
    ours.insert(ours.end(), recovery.begin(), recovery.end());
    for (auto& argument : server_arguments(theirs, ours)) spec.arguments.push_back(std::move(argument));
    spec.environment = {{"LC_ALL", "C"}, {"PGDATA", tree_}};
    // Ours only until the server has it.
    const auto lock = folder.lock_for_server();
    if (!lock) return lock.error();
    spec.inherited_fds = {folder.lock_fd(), lock->get()};
    ::unlink((tree_ + "/postmaster.pid").c_str());
    const base::UniqueFd log{
        ::open((place_ + "/server.log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)};
    if (!log) return base::io_error("cannot create the private server's log");
    const auto pid = base::start_process(spec, log.get());
    if (!pid) return pid.error();
    pid_ = *pid;
    return base::success();
}

// The configuration is found where it is now: among the moved files, or at its own place. Where neither is
// (it lay on a volume that this pod does not have, or the entrypoint writes it), the server gets what the
// data directory says that it needs.
base::Status PrivateServer::settle_configuration(const WorkFolder& folder, Settings& theirs) const {
    bool has_file = ::access((tree_ + "/postgresql.conf").c_str(), R_OK) == 0;
    for (auto& [name, value] : theirs) {
        if (name == "config_file" && value.starts_with(folder.data_directory() + "/"))
            value = tree_ + value.substr(folder.data_directory().size());
    }
    std::erase_if(theirs, [](const auto& setting) {
        return setting.first == "config_file" && ::access(setting.second.c_str(), R_OK) != 0;
    });
    for (const auto& setting : theirs) has_file = has_file || setting.first == "config_file";
    if (has_file) return base::success();
    const auto control = read_control_data(tree_, version_);
    if (!control) return control.error();
    theirs.emplace_back("config_file", place_ + "/postgresql.conf");
    return base::write_file_durably(place_ + "/postgresql.conf", configuration_of(*control, tree_));
}

bool PrivateServer::has_ended() {
    if (pid_ > 0 && ::waitpid(pid_, nullptr, WNOHANG) == pid_) pid_ = -1;
    return pid_ <= 0;
}

// The server itself says it in the title of one of its processes, and WAL says the time.
void PrivateServer::tell_progress(const Recovery& recovery) const {
    if (!context_.report.is_due()) return;
    ReplayedTo reached{segment_replayed_by(pid_), ""};
    if (reached.segment.empty()) {
        // Before the first segment of a recovery nothing is told: it would keep back the next word, which
        // says more.
        if (recovery.settings.empty())
            context_.report.progress("waiting for the private server, which may be recovering");
        return;
    }
    if (const auto program = find_program("pg_waldump", version_))
        reached.time = commit_near(*program, tree_ + "/pg_wal", reached.segment);
    const auto percent = replayed_percent(recovery.range, reached).value_or(0);
    context_.report.progress("replaying WAL: " + to_text(recovery.range, reached, recovery.target),
                             recovery.percent_before + percent * (100 - recovery.percent_before) / 100);
}

base::Status PrivateServer::wait_until_ready(const Recovery& recovery) {
    while (true) {
        if (has_ended()) return error(ErrorKind::failed, "the private server did not start: " + log_tail());
        // The eighth line of postmaster.pid is the server's own word on its state.
        const auto state = base::read_file(tree_ + "/postmaster.pid", 4096);
        if (const auto lines = lines_of(state ? *state : "");
            lines.size() >= 8 && trimmed(lines[7]) == "ready")
            return base::success();
        tell_progress(recovery);
        std::this_thread::sleep_for(poll_interval);
    }
}

// True where this user is a superuser. A user who is not still tells the names of those who are.
base::Result<bool> PrivateServer::try_as(const std::string& user) {
    auto session = Session::open({place_, private_port, user, "", "template1"});
    if (!session) return session.error();
    auto supers = session->query(
        "SELECT rolname, rolname = current_user FROM pg_roles WHERE rolsuper AND rolcanlogin ORDER BY oid");
    if (!supers) return supers.error();
    for (const auto& row : *supers) {
        if (row[1] == "t") return true;
    }
    if (!supers->empty()) superuser_ = supers->front()[0];
    return false;
}

base::Status PrivateServer::find_superuser() {
    std::string why;
    bool found = false;
    for (const auto& user : candidates_) {
        const auto is_super = try_as(user);
        if (!is_super) why = to_text(is_super.error());
        if (!is_super || !*is_super) continue;
        superuser_ = user;
        found = true;
        break;
    }
    if (superuser_.empty()) return error(ErrorKind::failed, "no superuser that may log in was found: " + why);
    if (auto written = write_access_rules({superuser_}); !written) return written;
    ::kill(pid_, SIGHUP);
    // Until the new rules are read, a superuser that was only looked up is still refused.
    for (int i = 0; !found && i < 200; ++i) {
        found = connect("template1").ok();
        if (!found) std::this_thread::sleep_for(poll_interval);
    }
    if (!found) return error(ErrorKind::failed, "cannot log in as the superuser \"" + superuser_ + "\"");
    return base::success();
}

base::Result<Session> PrivateServer::connect(const std::string& database) const {
    return connect_as_role(superuser_, database);
}

base::Result<Session> PrivateServer::connect_as_role(const std::string& role,
                                                     const std::string& database) const {
    return Session::open({place_, private_port, role, "", database});
}

std::string PrivateServer::conninfo(const std::string& role, const std::string& database) const {
    return "host=" + quote_conninfo(place_) + " port=" + std::to_string(private_port) +
           " user=" + quote_conninfo(role) + " dbname=" + quote_conninfo(database) +
           " application_name=dbrestore passfile=/dev/null/none";
}

base::Status PrivateServer::stop() {
    if (has_ended()) return error(ErrorKind::failed, "the private server ended by itself: " + log_tail());
    ::kill(pid_, SIGINT);
    const auto deadline = std::chrono::steady_clock::now() + stop_patience;
    while (std::chrono::steady_clock::now() < deadline) {
        int status = 0;
        if (::waitpid(pid_, &status, WNOHANG) == pid_) {
            pid_ = -1;
            if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return base::success();
            return error(ErrorKind::failed, "the private server did not stop cleanly: " + log_tail());
        }
        context_.report.progress("stopping the private server");
        std::this_thread::sleep_for(poll_interval);
    }
    return error(ErrorKind::failed, "the private server did not stop within half an hour");
}

std::string PrivateServer::log_tail() const {
    const auto log = base::read_file(place_ + "/server.log", 64u << 20);
    if (!log) return "it left no log";
    const std::string text = trimmed(*log);
    return one_line(
        text.size() > log_tail_bytes ? text.substr(text.find('\n', text.size() - log_tail_bytes) + 1) : text,
        log_tail_bytes);
}

}  // namespace dbrestore::agent
