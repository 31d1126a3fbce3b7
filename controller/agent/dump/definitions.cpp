#include "agent/dump/definitions.h"

#include <array>

namespace dbrestore::agent {

namespace {

// More than this in one dump is no dump of a real database.
constexpr size_t max_names = 10000;

bool is_plain(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '$' ||
           static_cast<unsigned char>(c) >= 0x80;
}

bool skip(std::string_view text, size_t& at, std::string_view expected) {
    if (!text.substr(at).starts_with(expected)) return false;
    at += expected.size();
    return true;
}

// CREATE EXTENSION IF NOT EXISTS hstore WITH SCHEMA "Zusätze";
std::optional<DumpExtension> extension_in(std::string_view line) {
    size_t at = 0;
    if (!skip(line, at, "CREATE EXTENSION IF NOT EXISTS ")) return std::nullopt;
    const auto name = read_identifier(line, at);
    if (!name || !skip(line, at, " WITH SCHEMA ")) return std::nullopt;
    const auto schema = read_identifier(line, at);
    if (!schema || line.substr(at) != ";") return std::nullopt;
    return DumpExtension{*name, *schema};
}

// The roles after TO, which may be keywords (PUBLIC, CURRENT_USER): those are written in capitals and are no
// names.
void add_roles(std::string_view line, size_t at, Names& roles) {
    while (true) {
        const auto role = read_identifier(line, at);
        if (!role) return;
        roles.add(*role);
        if (!skip(line, at, ", ")) return;
    }
}

}  // namespace

size_t find_outside_quotes(std::string_view line, std::string_view word) {
    bool quoted = false;
    for (size_t i = 0; i < line.size(); ++i) {
        if (line[i] == '"') quoted = !quoted;
        if (!quoted && line.substr(i).starts_with(word)) return i;
    }
    return std::string_view::npos;
}

void Names::add(std::string name) {
    if (list_.size() < max_names && known_.insert(name).second) list_.push_back(std::move(name));
}

std::optional<std::string> read_identifier(std::string_view text, size_t& at) {
    std::string name;
    if (at < text.size() && text[at] == '"') {
        for (size_t i = at + 1; i < text.size(); ++i) {
            if (text[i] != '"') {
                name += text[i];
            } else if (i + 1 < text.size() && text[i + 1] == '"') {
                name += text[++i];
            } else {
                at = i + 1;
                return name;
            }
        }
        return std::nullopt;
    }
    for (; at < text.size() && is_plain(text[at]); ++at) name += text[at];
    if (name.empty()) return std::nullopt;
    return name;
}

void Definitions::add_line(std::string_view line) {
    if (encoding.empty() && line.starts_with("SET client_encoding = '"))
        encoding = line.substr(23, line.find('\'', 23) - 23);
    if (const auto extension = extension_in(line); extension && extensions.size() < max_names)
        extensions.push_back(*extension);
    if (size_t at = 14; line.starts_with("CREATE SCHEMA ")) {
        if (auto name = read_identifier(line, at)) schemas.add(*name);
    }
    if (line.starts_with("CREATE POLICY ")) {
        const size_t to = find_outside_quotes(line, " TO ");
        if (to != std::string_view::npos) add_roles(line, to + 4, roles);
    }
    if (line.starts_with("CREATE USER MAPPING FOR ")) add_roles(line, 24, roles);
    if (line.starts_with("CREATE PUBLICATION ") &&
        find_outside_quotes(line, " FOR ALL TABLES") != std::string_view::npos) {
        for_superusers.add("a publication for all tables");
    }
    if (line.starts_with("ALTER PUBLICATION ") &&
        find_outside_quotes(line, " ADD TABLES IN SCHEMA ") != std::string_view::npos) {
        for_superusers.add("a publication of a whole schema");
    }
    if (line.starts_with("CREATE FUNCTION ")) function_ = line.substr(16, line.find('(') - 16);
    for (const std::string_view language :
         {"c", "internal", "plpythonu", "plpython3u", "plperlu", "pltclu"}) {
        const std::string start = "    LANGUAGE " + std::string(language);
        if (!function_.empty() && (line == start || line.starts_with(start + " "))) {
            for_superusers.add("function " + function_ + " in language " + std::string(language));
        }
    }
}

}  // namespace dbrestore::agent
