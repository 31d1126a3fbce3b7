#include "agent/server/server_settings.h"

#include <algorithm>
#include <cctype>

namespace dbrestore::agent {

namespace {

// "max-connections=5" and "max_connections=5" are the same to postgres.
void add_setting(Settings& settings, std::string text) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos) return;
    std::string name = text.substr(0, equals);
    std::replace(name.begin(), name.end(), '-', '_');
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    // Where the data lies is ours to say: theirs would open the original.
    if (name == "data_directory") return;
    settings.emplace_back(std::move(name), text.substr(equals + 1));
}

const char* name_of_short_option(const std::string& option) {
    if (option == "-N") return "max_connections";
    if (option == "-B") return "shared_buffers";
    return nullptr;
}

}  // namespace

Settings settings_from_arguments(const std::vector<std::string>& arguments) {
    Settings settings;
    for (size_t i = 0; i < arguments.size(); ++i) {
        const std::string& argument = arguments[i];
        const bool has_next = i + 1 < arguments.size();
        const char* name = name_of_short_option(argument);
        if (argument == "-c" && has_next) {
            add_setting(settings, arguments[++i]);
        } else if (name != nullptr && has_next) {
            add_setting(settings, std::string(name) + "=" + arguments[++i]);
        } else if (argument.starts_with("--") || argument.starts_with("-c")) {
            add_setting(settings, argument.substr(2));
        }
    }
    return settings;
}

Settings overrides(const PrivatePlace& place, int major_version) {
    Settings settings{
        // Its own place: nobody else reaches it, and nothing of the live place is read or written.
        {"data_directory", place.tree},
        {"hba_file", place.hba_file},
        {"ident_file", place.ident_file},
        {"external_pid_file", ""},
        {"listen_addresses", ""},
        {"unix_socket_directories", place.socket_directory},
        {"unix_socket_group", ""},
        {"unix_socket_permissions", "0700"},
        {"port", std::to_string(place.port)},
        {"ssl", "off"},
        // Nothing is archived, replicated, recovered from elsewhere or waited for. archive_mode stays as
        // configured, so
        // that the live server archives later what was written here.
        {"archive_command", ""},
        {"restore_command", ""},
        {"recovery_end_command", ""},
        {"archive_cleanup_command", ""},
        {"primary_conninfo", ""},
        {"max_logical_replication_workers", "0"},
        {"synchronous_standby_names", ""},
        {"hot_standby", "off"},
        // Nothing runs by itself.
        {"autovacuum", "off"},
        {"cron.launch_active_jobs", "off"},
        {"cron.database_name", place.only_database_for_jobs},
        // Its log is ours to read, in English, and holds no statement.
        {"logging_collector", "off"},
        {"log_destination", "stderr"},
        {"log_min_messages", "warning"},
        {"log_statement", "none"},
        {"log_min_duration_statement", "-1"},
        {"log_min_error_statement", "panic"},
        {"lc_messages", "C"},
        // What would make the work fail, or not last.
        {"default_transaction_read_only", "off"},
        {"statement_timeout", "0"},
        {"lock_timeout", "0"},
        {"idle_in_transaction_session_timeout", "0"},
        {"fsync", "on"},
        {"full_page_writes", "on"},
        // New segments are written once, not twice.
        {"wal_init_zero", "off"},
        // What checks a key runs once: to compile it takes longer than it saves.
        {"jit", "off"},
        {"max_wal_size", std::to_string(place.max_wal_size_mb) + "MB"},
        {"maintenance_work_mem", std::to_string(place.maintenance_work_mem_mb) + "MB"},
    };
    if (major_version >= 14) settings.emplace_back("idle_session_timeout", "0");
    if (major_version >= 15) settings.emplace_back("archive_library", "");
    if (major_version <= 15) settings.emplace_back("promote_trigger_file", "");
    if (major_version >= 17) settings.emplace_back("event_triggers", "off");
    if (major_version >= 17) settings.emplace_back("transaction_timeout", "0");
    return settings;
}

std::vector<std::string> server_arguments(const Settings& theirs, const Settings& ours) {
    std::vector<std::string> arguments;
    for (const Settings* list : {&theirs, &ours}) {
        for (const auto& [name, value] : *list) {
            arguments.insert(arguments.end(), {"-c", std::string(name).append("=").append(value)});
        }
    }
    return arguments;
}

}  // namespace dbrestore::agent
