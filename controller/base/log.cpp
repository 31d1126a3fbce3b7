#include "base/log.h"

#include <unistd.h>

#include <atomic>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/clock.h"

namespace dbrestore::base {

namespace {

std::atomic<LogLevel> lowest_level{LogLevel::info};
thread_local std::vector<std::pair<std::string, std::string>> scope_fields;

const char* level_name(LogLevel level) {
    switch (level) {
        case LogLevel::debug:
            return "debug";
        case LogLevel::info:
            return "info";
        case LogLevel::warning:
            return "warning";
        case LogLevel::error:
            return "error";
    }
    return "error";
}

}  // namespace

void set_log_level(LogLevel lowest) {
    lowest_level = lowest;
}

bool parse_log_level(std::string_view text, LogLevel& level) {
    for (const LogLevel candidate : {LogLevel::debug, LogLevel::info, LogLevel::warning, LogLevel::error}) {
        if (text == level_name(candidate)) {
            level = candidate;
            return true;
        }
    }
    return false;
}

void log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
    if (level < lowest_level.load()) return;
    nlohmann::ordered_json line;
    line["time"] = format_time_micro(SystemClock{}.now());
    line["level"] = level_name(level);
    line["message"] = message;
    for (const auto& [key, value] : scope_fields) line[key] = value;
    for (const auto& [key, value] : fields) line[std::string(key)] = value;
    // Foreign bytes may be no UTF-8: replaced, since a log line must never throw.
    std::string text = line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    // One write, so that lines of several threads do not mix; a full pipe loses the rest of the line, nothing
    // else.
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
}

LogScope::LogScope(std::initializer_list<LogField> fields) : count_(fields.size()) {
    for (const auto& [key, value] : fields) scope_fields.emplace_back(std::string(key), value);
}

LogScope::~LogScope() {
    scope_fields.resize(scope_fields.size() - count_);
}

}  // namespace dbrestore::base
