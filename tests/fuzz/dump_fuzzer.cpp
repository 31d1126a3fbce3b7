// What pg_restore prints of an untrusted dump. The input: lines of `pg_restore --list`, a line "--", lines of
// `pg_restore --schema-only`.

#include <set>
#include <vector>

#include "agent/dump/archive.h"
#include "agent/text.h"
#include "fuzz/properties.h"

namespace dbrestore::fuzz {
namespace {

std::vector<std::string> split(std::string_view text, size_t piece_bytes) {
    std::vector<std::string> lines;
    agent::LineSplitter splitter(200);
    for (size_t at = 0; at < text.size(); at += piece_bytes)
        splitter.feed(text.substr(at, piece_bytes), [&](std::string_view line) { lines.emplace_back(line); });
    return lines;
}

void check_words(const std::string& line) {
    size_t at = 0;
    const std::string quoted = agent::quote_identifier(line);
    const auto name = agent::read_identifier(quoted, at);
    require(name == line && at == quoted.size(), "a quoted name is read as it was", line);
    const std::string shown = agent::one_line(line, 40);
    require(shown.size() <= 40 + std::string_view("…").size(), "what people are shown is short", shown);
    for (const char c : shown)
        require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f, "no control character is shown", shown);
}

void check(std::string_view input) {
    std::string_view rest = input;
    const std::string_view list = take_until(rest, "\n--\n");
    const auto list_lines = split(list, 1u << 20);
    require(list_lines == split(list, 7), "lines are the same however they come in pieces");

    agent::Archive archive;
    for (const auto& line : list_lines) archive.add_list_line(line);
    for (const auto& line : split(rest, 1u << 20)) {
        archive.definitions.add_line(line);
        check_words(line);
    }

    // pg_restore is told to restore nothing but what it listed itself.
    const std::set<std::string> known(list_lines.begin(), list_lines.end());
    const std::string chosen = agent::list_for_restore(archive, false);
    for (const auto& line : agent::lines_of(chosen)) {
        require(known.contains(line), "every chosen line is one that was listed", line);
        agent::Archive one;
        one.add_list_line(line);
        require(one.count("EXTENSION") == 0, "no extension is left to the restoring role", line);
    }
    require(archive.entries.size() <= list_lines.size(), "no entry is made up");
    require(agent::entries_for_superusers(archive).size() <=
                100 + archive.definitions.for_superusers.list().size(),
            "what is shown has a bound");
    for (const auto& schema : agent::schemas_made_beforehand(archive, false))
        require(!schema.empty() || rest.find("\"\"") != std::string_view::npos, "a schema has a name");
}

}  // namespace
}  // namespace dbrestore::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    dbrestore::fuzz::check(dbrestore::fuzz::text_of(data, size));
    return 0;
}
