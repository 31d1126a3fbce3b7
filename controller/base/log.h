#pragma once
// One JSON document a line on standard error: time, level, message, then the fields. Safe from any thread.

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace dbrestore::base {

enum class LogLevel { debug, info, warning, error };

using LogField = std::pair<std::string_view, std::string>;

void set_log_level(LogLevel lowest);
bool parse_log_level(std::string_view text, LogLevel& level);
void log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields = {});

// Fields that stand in each line which the current thread logs while this object lives, so that whoever reads
// the log of many restores can follow one: `restore` as namespace/name, and `step`.
class LogScope {
public:
    explicit LogScope(std::initializer_list<LogField> fields);
    ~LogScope();
    LogScope(const LogScope&) = delete;
    LogScope& operator=(const LogScope&) = delete;

private:
    size_t count_;
};

inline void log_info(std::string_view message, std::initializer_list<LogField> fields = {}) {
    log(LogLevel::info, message, fields);
}
inline void log_warning(std::string_view message, std::initializer_list<LogField> fields = {}) {
    log(LogLevel::warning, message, fields);
}
inline void log_error(std::string_view message, std::initializer_list<LogField> fields = {}) {
    log(LogLevel::error, message, fields);
}
inline void log_debug(std::string_view message, std::initializer_list<LogField> fields = {}) {
    log(LogLevel::debug, message, fields);
}

}  // namespace dbrestore::base
