#include "agent/dump/sql_script.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "agent/text.h"

namespace dbrestore::agent {

namespace {

// A statement beyond this is one with data, and not one of those that are left out.
constexpr size_t max_statement_bytes = 256 << 10;
constexpr size_t max_line_head_bytes = 3, max_tag_bytes = 64;

constexpr std::array left_out{"GRANT ",
                              "REVOKE ",
                              "ALTER DEFAULT PRIVILEGES ",
                              "CREATE EXTENSION ",
                              "DROP EXTENSION ",
                              "COMMENT ON EXTENSION ",
                              "SECURITY LABEL ",
                              "CREATE SUBSCRIPTION ",
                              "ALTER SUBSCRIPTION ",
                              "COMMENT ON SUBSCRIPTION ",
                              "SET default_tablespace ",
                              "SET SESSION AUTHORIZATION ",
                              "RESET SESSION AUTHORIZATION"};

bool is_name_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           static_cast<unsigned char>(c) >= 0x80;
}

bool begins_copy(std::string_view statement) {
    return statement.starts_with("COPY ") &&
           find_outside_quotes(statement, " FROM stdin") != std::string_view::npos;
}

std::string_view without_leading_space(std::string_view text) {
    return text.substr(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
}

// "-- Name: orders; Type: TABLE; Schema: shop; Owner: -", also "-- Data for Name: …".
std::optional<TocEntry> entry_from_comment(std::string_view comment) {
    const bool is_data = comment.starts_with("-- Data for ");
    const size_t name = comment.find("Name: "), type = comment.find("; Type: "),
                 schema = comment.find("; Schema: "), owner = comment.find("; Owner: ");
    if (name == std::string_view::npos || type == std::string_view::npos ||
        schema == std::string_view::npos || owner == std::string_view::npos ||
        !(name < type && type < schema && schema < owner))
        return std::nullopt;
    if (name != (is_data ? 12 : 3)) return std::nullopt;
    TocEntry entry;
    entry.description = comment.substr(type + 8, schema - type - 8);
    const auto part = [&](size_t from, size_t to) { return std::string(comment.substr(from, to - from)); };
    const size_t owner_end = comment.find("; Tablespace: ", owner);
    entry.rest = part(schema + 10, owner) + " " + part(name + 6, type) + " " +
                 part(owner + 9, owner_end == std::string_view::npos ? comment.size() : owner_end);
    return entry;
}

int major_of(std::string_view version) {
    int major = 0;
    std::from_chars(version.data(), version.data() + version.size(), major);
    return major;
}

}  // namespace

base::Status SqlScript::feed(std::string_view bytes, const Forward& forward) {
    while (!bytes.empty()) {
        if (in_ == In::copy) {
            if (auto taken = take_copy(bytes, forward); !taken) return taken;
            continue;
        }
        if (auto taken = take(bytes.front(), forward); !taken) return taken;
        bytes.remove_prefix(1);
    }
    return base::success();
}

base::Status SqlScript::take(char c, const Forward& forward) {
    if (in_ == In::command) {
        if (c == '\n') {
            end_command();
        } else if (command_.size() < max_statement_bytes) {
            command_ += c;
        }
        return base::success();
    }
    text_ += c;
    const bool is_code = in_ == In::text || in_ == In::dollar_tag;
    // What closed something opens nothing.
    const char counts = take_by_state(c) ? c : ' ';
    before_last_ = last_;
    last_ = counts;
    if (is_code && in_ == In::text && c == ';' && depth_ == 0) return end_statement(forward);
    return text_.size() > max_statement_bytes ? flush(forward) : base::success();
}

bool SqlScript::take_by_state(char c) {
    switch (in_) {
        case In::text:
            take_text(c);
            return true;
        case In::dollar_tag:
            take_dollar_tag(c);
            return true;
        case In::dollar:
            return take_dollar(c);
        case In::block_comment:
            return take_block_comment(c);
        case In::line_comment:
            if (c == '\n') end_comment();
            return true;
        case In::quoted:
            if (c == '\'') in_ = In::text;  // a doubled one opens it again
            return true;
        case In::escaped:
            if (last_ == '\\') return false;  // whatever it is, it is escaped
            if (c == '\'') in_ = In::text;
            return true;
        case In::name:
            if (c == '"') in_ = In::text;
            return true;
        case In::command:
        case In::copy:
            break;
    }
    return true;
}

void SqlScript::take_text(char c) {
    if (last_ == '-' && c == '-') {
        in_ = In::line_comment;
        comment_at_ = text_.size() - 2;
    } else if (last_ == '/' && c == '*') {
        in_ = In::block_comment;
        comment_depth_ = 1;
    } else if (c == '\'') {
        const bool has_escapes = (last_ == 'E' || last_ == 'e') && !is_name_char(before_last_);
        in_ = has_escapes ? In::escaped : In::quoted;
    } else if (c == '"') {
        in_ = In::name;
    } else if (c == '$' && !is_name_char(last_)) {
        in_ = In::dollar_tag;
        tag_ = "$";
    } else if (c == '(') {
        ++depth_;
    } else if (c == ')') {
        depth_ = std::max(depth_ - 1, 0);
    } else if (c == '\\') {
        in_ = In::command;
        command_.clear();
        text_.pop_back();
    }
}

void SqlScript::take_dollar_tag(char c) {
    const bool begins_with_digit = tag_.size() == 1 && c >= '0' && c <= '9';
    if (c == '$') {
        tag_ += c;
        tail_.clear();
        in_ = In::dollar;
    } else if (is_name_char(c) && !begins_with_digit && tag_.size() < max_tag_bytes) {
        tag_ += c;
    } else {
        in_ = In::text;
        take_text(c);
    }
}

bool SqlScript::take_dollar(char c) {
    tail_ += c;
    if (tail_.size() > tag_.size()) tail_.erase(0, 1);
    if (tail_ != tag_) return true;
    in_ = In::text;
    return false;
}

bool SqlScript::take_block_comment(char c) {
    const bool opens = last_ == '/' && c == '*', closes = last_ == '*' && c == '/';
    comment_depth_ += opens ? 1 : closes ? -1 : 0;
    if (comment_depth_ == 0) in_ = In::text;
    return !opens && !closes;
}

// One that stands between statements tells what follows, or how the dump was made.
void SqlScript::end_comment() {
    in_ = In::text;
    if (comment_at_ > text_.size() || !without_leading_space(text_.substr(0, comment_at_)).empty()) return;
    const std::string comment = text_.substr(comment_at_, text_.size() - comment_at_ - 1);
    text_.clear();
    if (comment == "-- PostgreSQL database dump") begins_as_dump_ = true;
    if (comment == "-- PostgreSQL database dump complete") is_complete_ = true;
    const auto value_after = [&](std::string_view words) {
        return comment.starts_with(words) ? comment.substr(words.size()) : std::string();
    };
    if (auto version = value_after("-- Dumped from database version "); !version.empty())
        archive.server_version = version;
    if (auto version = value_after("-- Dumped by pg_dump version "); !version.empty())
        pg_dump_version = version;
    auto entry = entry_from_comment(comment);
    if (!entry) return;
    archive.is_cut = archive.is_cut || archive.entries.size() == max_entries;
    if (!archive.is_cut) archive.entries.push_back(std::move(*entry));
}

// Those two keep hostile names from becoming commands; ours do so for the whole script.
void SqlScript::end_command() {
    in_ = In::text;
    last_ = '\n';
    const std::string word = command_.substr(0, command_.find_first_of(" \t\r"));
    if (word != "restrict" && word != "unrestrict" && foreign_command_.empty())
        foreign_command_ = "\\" + one_line(command_, 60);
}

base::Status SqlScript::end_statement(const Forward& forward) {
    is_foreign_ = is_foreign_ || !begins_as_dump_;
    is_complete_ = false;
    const std::string_view statement = without_leading_space(text_);
    const bool is_copy = !is_long_ && begins_copy(statement);
    if (!is_long_ && !is_copy) {
        for (const auto& line : lines_of(statement)) archive.definitions.add_line(line);
        if (is_left_out(statement)) {
            text_.clear();
            return base::success();
        }
    }
    auto flushed = flush(forward);
    is_long_ = false;
    if (is_copy) in_ = In::copy;
    copy_begins_ = is_copy;
    line_head_.clear();
    return flushed;
}

base::Status SqlScript::flush(const Forward& forward) {
    is_long_ = true;
    auto forwarded = forward(text_);
    text_.clear();
    comment_at_ = std::string::npos;
    return forwarded;
}

// Its data begins on the next line, and ends with one that is "\.".
base::Status SqlScript::take_copy(std::string_view& bytes, const Forward& forward) {
    size_t taken = 0;
    while (taken < bytes.size() && in_ == In::copy) {
        const size_t end = bytes.find('\n', taken);
        const std::string_view part = bytes.substr(taken, end == std::string_view::npos ? end : end - taken);
        line_head_.append(part.substr(0, max_line_head_bytes - line_head_.size()));
        taken += part.size();
        if (end == std::string_view::npos) break;
        ++taken;
        if (!copy_begins_ && line_head_ == "\\.") in_ = In::text;
        copy_begins_ = false;
        line_head_.clear();
    }
    auto forwarded = forward(bytes.substr(0, taken));
    bytes.remove_prefix(taken);
    last_ = '\n';
    return forwarded;
}

bool SqlScript::is_left_out(std::string_view statement) const {
    if (std::ranges::any_of(left_out, [&](const char* start) { return statement.starts_with(start); }))
        return true;
    if (statement.starts_with("ALTER ") &&
        find_outside_quotes(statement, " OWNER TO ") != std::string_view::npos)
        return true;
    size_t at = std::string_view("CREATE SCHEMA ").size();
    if (!statement.starts_with("CREATE SCHEMA ")) return false;
    const auto name = read_identifier(statement, at);
    return name && schemas_made_.contains(*name);
}

std::optional<Failure> SqlScript::problem() const {
    if (is_foreign_ || !begins_as_dump_)
        return Failure{
            "UnsupportedFormat",
            "the backup is text, but no dump of one database as pg_dump writes it: it must begin with "
            "\"-- PostgreSQL database dump\""};
    if (!foreign_command_.empty())
        return Failure{"UnsafeScript", "the dump must hold no commands for psql, but has " +
                                           foreign_command_ +
                                           "; make it without --create, or as pg_dump -Fc"};
    if (archive.is_cut)
        return Failure{"UnsupportedFormat",
                       "the dump must have at most " + std::to_string(max_entries) + " entries"};
    if (!is_complete_ || in_ != In::text || !without_leading_space(text_).empty())
        return Failure{"DumpTruncated",
                       "the dump ends too early: it must end with \"-- PostgreSQL database dump complete\""};
    return std::nullopt;
}

std::optional<Failure> read_script(backups::ByteSource& source, const std::string& server_version,
                                   Archive& archive, int64_t& output_bytes) {
    SqlScript script;
    output_bytes = 0;
    const auto read = backups::pump(source, [&](std::string_view bytes) {
        output_bytes += static_cast<int64_t>(bytes.size());
        return script.feed(bytes, [](std::string_view) { return base::success(); });
    });
    if (!read) return backups::to_failure(read.error());
    if (auto problem = script.problem()) return problem;
    if (major_of(script.pg_dump_version) > major_of(server_version))
        return Failure{"DumpTooNew",
                       "the dump was written by pg_dump " + one_line(script.pg_dump_version, 60) +
                           "; it must be at most of version " + server_version + ", the server's own"};
    archive = std::move(script.archive);
    return std::nullopt;
}

}  // namespace dbrestore::agent
