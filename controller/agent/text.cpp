#include "agent/text.h"

namespace dbrestore::agent {

namespace {

std::string doubled(std::string_view text, char mark) {
    std::string out;
    for (const char c : text) {
        if (c == mark) out += mark;
        out += c;
    }
    return out;
}

}  // namespace

std::string quote_identifier(std::string_view name) {
    return '"' + doubled(name, '"') + '"';
}

std::string quote_literal(std::string_view text) {
    if (text.find('\\') == std::string_view::npos) return '\'' + doubled(text, '\'') + '\'';
    return " E'" + doubled(doubled(text, '\''), '\\') + '\'';
}

std::string quote_conninfo(std::string_view text) {
    std::string out = "'";
    for (const char c : text) {
        if (c == '\'' || c == '\\') out += '\\';
        out += c;
    }
    return out + "'";
}

}  // namespace dbrestore::agent
