#include "agent/dump/restore_errors.h"

#include <algorithm>
#include <charconv>

#include "agent/space.h"
#include "agent/text.h"

namespace dbrestore::agent {

namespace {

constexpr size_t max_errors = 3, max_forgiven = 10000, max_named = 10000;
constexpr size_t max_error_bytes = 400;
constexpr std::string_view of_command = "could not execute query: ERROR:  ";

// "3612; 2606 18790 FK CONSTRAINT …": how the list and the errors begin that are about one entry.
std::string number_of(std::string_view entry) {
    return std::string(entry.substr(0, entry.find(';')));
}

// What it is and its name, behind its number in the database that was dumped.
std::string described(const std::string& entry) {
    return entry.substr(entry.find(' ', entry.find(' ') + 1) + 1);
}

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

// What fails outside of the tables' data fails as a whole, and leaves nothing of its entry.
bool RestoreErrors::is_to_repeat(std::string_view said) const {
    const bool is_whole = said.starts_with(of_command) && named_.size() < max_named &&
                          std::none_of(named_.begin(), named_.end(), [](const auto& named) {
                              const std::string text = described(named.second);
                              return text.compare(text.find(' ') + 1, 5, "TABLE") == 0;
                          });
    return is_whole && (to_repeat_count_ > 0 || said.substr(of_command.size()) == "deadlock detected");
}

bool RestoreErrors::all_are_forgiven() const {
    if (!errors_.empty() || counted_ == 0) return false;
    // A worker that had an error counts all that it does afterwards.
    return to_repeat_count_ > 0 ? counted_ >= forgiven_count_ + to_repeat_count_
                                : counted_ == forgiven_count_;
}

bool RestoreErrors::must_be_repeated(std::string_view list_line) const {
    return to_repeat_count_ > 0 && named_.contains(number_of(list_line));
}

void RestoreErrors::begin_error(std::string_view said) {
    if (is_to_repeat(said)) {
        ++to_repeat_count_;
        return;
    }
    may_be_forgiven_ = forgives_drops_ && said.starts_with(of_command);
    if (said.starts_with(of_command)) said = said.substr(of_command.size());
    const std::string about = entry_.empty() ? "" : "[" + described(entry_) + "] ";
    if (errors_.empty()) first_entry_ = entry_;
    errors_.push_back(one_line(about + std::string(said), max_error_bytes));
}

void RestoreErrors::add_line(std::string_view line) {
    constexpr std::string_view entry = "from TOC entry ",
                               command = "Command was: ", ignored = "errors ignored on restore: ";
    const bool is_its_own = line.starts_with("pg_restore") || line.starts_with("psql:");
    const std::string_view error = line.find("error: ") == std::string_view::npos ? "ERROR:  " : "error: ";
    if (const size_t at = line.find(entry);
        at != std::string_view::npos && line.starts_with("pg_restore: ")) {
        entry_ = line.substr(at + entry.size());
        if (named_.size() < max_named) named_.emplace(number_of(entry_), entry_);
    }
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
        named_.erase(number_of(entry_));
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
