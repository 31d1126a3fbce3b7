#include "agent/restore_errors.h"

#include <charconv>

#include "agent/space.h"
#include "agent/text.h"

namespace dbrestore::agent {

namespace {

constexpr size_t max_errors = 3, max_forgiven = 10000;
constexpr size_t max_error_bytes = 400;

bool drops(std::string_view command) {
    return command.starts_with("DROP ") ||
           (command.starts_with("ALTER ") && command.find(" DROP ") != std::string_view::npos) ||
           command.starts_with("SELECT pg_catalog.lo_unlink(");
}

std::string joined(const std::vector<std::string>& texts) {
    std::string text;
    for (size_t i = 0; i < texts.size() && i < max_errors; ++i) text += (i == 0 ? "" : "; ") + texts[i];
    return text;
}

}  // namespace

void RestoreErrors::begin_error(std::string_view said) {
    constexpr std::string_view of_command = "could not execute query: ERROR:  ";
    may_be_forgiven_ = forgives_drops_ && said.starts_with(of_command);
    if (said.starts_with(of_command)) said = said.substr(of_command.size());
    const std::string about =
        entry_.empty() ? "" : "[" + entry_.substr(entry_.find(' ', entry_.find(' ') + 1) + 1) + "] ";
    if (errors_.empty()) first_entry_ = entry_;
    errors_.push_back(one_line(about + std::string(said), max_error_bytes));
}

void RestoreErrors::add_line(std::string_view line) {
    constexpr std::string_view entry = "from TOC entry ",
                               command = "Command was: ", ignored = "errors ignored on restore: ";
    const bool is_its_own = line.starts_with("pg_restore") || line.starts_with("psql:");
    const std::string_view error = line.find("error: ") == std::string_view::npos ? "ERROR:  " : "error: ";
    if (const size_t at = line.find(entry); at != std::string_view::npos && line.starts_with("pg_restore: "))
        entry_ = line.substr(at + entry.size());
    if (const size_t at = line.find(ignored); at != std::string_view::npos && is_its_own)
        std::from_chars(line.data() + at + ignored.size(), line.data() + line.size(), counted_);
    if (const size_t at = line.find(error);
        at != std::string_view::npos && is_its_own && errors_.size() <= max_errors) {
        begin_error(line.substr(at + error.size()));
    } else if (!errors_.empty() && (line.starts_with("DETAIL:") || line.starts_with("CONTEXT:  COPY"))) {
        errors_.back() = one_line(errors_.back() + " (" + trimmed(line.substr(line.find(':') + 1)) + ")",
                                  max_error_bytes * 2);
    } else if (may_be_forgiven_ && line.starts_with(command)) {
        may_be_forgiven_ = false;
        if (!drops(line.substr(command.size()))) return;
        ++forgiven_count_;
        if (forgiven_.size() < max_forgiven) forgiven_.emplace(entry_, errors_.back());
        errors_.pop_back();
    }
}

std::string RestoreErrors::text() const {
    const auto why = forgiven_.find(first_entry_);
    return joined(errors_) + (why == forgiven_.end() ? "" : "; before that: " + why->second);
}

AgentResult judge_failure(const RestoreErrors& errors, const base::ProcessEnd& end,
                          const PrivateServer& server) {
    const std::string said = errors.text();
    const std::string text = said.empty() ? "it ended with " + to_text(end) : said;
    if (tells_of_full_disk(text))
        return failed("InsufficientSpace", "the volume filled up while restoring: " + text);
    for (const char* sign : {"server closed the connection", "terminating connection",
                             "the database system is", "could not connect", "connection to server"}) {
        if (text.find(sign) != std::string::npos)
            return retryable("ServerDied", "the private server went away while restoring: " + text + "; " +
                                               server.log_tail());
    }
    if (said.empty() && end.signal != 0) return retryable("RestoreInterrupted", text);
    return failed("RestoreFailed", text);
}

}  // namespace dbrestore::agent
