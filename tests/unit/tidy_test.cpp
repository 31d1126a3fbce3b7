// Keeps the house tidy. Reads the source tree; each complaint names file, line and rule.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace dbrestore {
namespace {

namespace fs = std::filesystem;
using Lines = std::vector<std::string>;

constexpr size_t max_function_lines = 70;
constexpr size_t max_file_lines = 500;

// Who may include whom, by folder.
const std::map<std::string, std::set<std::string>> permitted_includes{
    {"base", {"base"}},
    {"resources", {"base", "resources"}},
    {"decide", {"base", "resources", "decide"}},
    {"kube", {"base", "resources", "kube"}},
    {"operator", {"base", "resources", "decide", "kube", "operator"}},
    {"backups", {"base", "resources", "backups"}},
    {"agent", {"base", "resources", "backups", "agent", "agent/steps"}},
    {"agent/volume", {"base", "resources", "agent", "agent/volume"}},
    {"agent/server", {"base", "resources", "agent", "agent/volume", "agent/server"}},
    {"agent/dump", {"base", "resources", "backups", "agent", "agent/volume", "agent/server", "agent/dump"}},
    {"agent/point_in_time",
     {"base", "resources", "backups", "agent", "agent/volume", "agent/server", "agent/point_in_time"}},
    {"agent/steps",
     {"base", "resources", "backups", "agent", "agent/volume", "agent/server", "agent/dump",
      "agent/point_in_time", "agent/steps"}},
};
constexpr const char* only_file_with_cpprest = "controller/kube/cpprest_transport.cpp";

fs::path root() {
    return DBRESTORE_SOURCE_DIRECTORY;
}
std::string shown(const fs::path& path) {
    return fs::relative(path, root()).string();
}

Lines lines_of(const fs::path& path) {
    std::ifstream file(path);
    Lines lines;
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
}

std::string text_of(const fs::path& path) {
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

std::vector<fs::path> sources_below(const std::string& folder) {
    std::vector<fs::path> found;
    for (const auto& entry : fs::recursive_directory_iterator(root() / folder)) {
        if (entry.path().extension() == ".cpp" || entry.path().extension() == ".h")
            found.push_back(entry.path());
    }
    std::ranges::sort(found);
    return found;
}

std::vector<fs::path> all_sources() {
    auto all = sources_below("controller");
    for (auto& path : sources_below("tests")) all.push_back(std::move(path));
    return all;
}

void complain(const fs::path& path, size_t line, const std::string& rule) {
    ADD_FAILURE() << shown(path) << ":" << line << ": " << rule;
}

// What stands in an include line between its quotes or brackets; empty where it is none.
std::string included(const std::string& line) {
    if (!line.starts_with("#include")) return {};
    const size_t begin = line.find_first_of("\"<"), end = line.find_last_of("\">");
    return begin == std::string::npos || end <= begin ? std::string()
                                                      : line.substr(begin + 1, end - begin - 1);
}

// The line without what braces may hide in: comments, texts, characters. Raw texts that span lines are not in
// our style outside of tests, where their braces are paired.
std::string code_of(const std::string& line) {
    std::string code;
    char quote = 0;
    for (size_t i = 0; i < line.size(); ++i) {
        const char c = line[i];
        if (quote != 0) {
            if (c == '\\')
                ++i;
            else if (c == quote)
                quote = 0;
        } else if (c == '/' && i + 1 < line.size() && line[i + 1] == '/') {
            break;
        } else if (c == '"' ||
                   (c == '\'' && (i == 0 || std::isalnum(static_cast<unsigned char>(line[i - 1])) == 0))) {
            quote = c;
        } else {
            code += c;
        }
    }
    return code;
}

// A line that opens a block which is no namespace, type or list: a function, in our style.
bool opens_function(const std::string& code) {
    if (!code.ends_with('{') || code.find(')') == std::string::npos) return false;
    const std::string trimmed = code.substr(std::min(code.find_first_not_of(' '), code.size()));
    for (const char* other : {"namespace", "class ", "struct ", "enum ", "union ", "if ", "for ", "while ",
                              "switch ", "do ", "} ", "return "}) {
        if (trimmed.starts_with(other)) return false;
    }
    return true;
}

// The length of each function, by the line where its head ends. Functions inside of others count with them.
std::vector<std::pair<size_t, size_t>> functions_of(const Lines& lines) {
    std::vector<std::pair<size_t, size_t>> functions;
    int depth = 0, function_depth = -1;
    size_t begin = 0;
    for (size_t i = 0; i < lines.size(); ++i) {
        const std::string code = code_of(lines[i]);
        if (function_depth < 0 && opens_function(code)) {
            function_depth = depth;
            begin = i;
        }
        for (const char c : code) depth += c == '{' ? 1 : c == '}' ? -1 : 0;
        if (function_depth >= 0 && depth <= function_depth) {
            functions.emplace_back(begin + 1, i - begin + 1);
            function_depth = -1;
        }
    }
    return functions;
}

TEST(Tidy, includes_go_only_in_the_permitted_directions) {
    for (const auto& path : sources_below("controller")) {
        const std::string folder = fs::relative(path, root() / "controller").parent_path().string();
        const auto permitted = permitted_includes.find(folder);
        if (permitted == permitted_includes.end()) {
            complain(path, 1, "folder controller/" + folder + " must be in permitted_includes");
            continue;
        }
        const Lines lines = lines_of(path);
        for (size_t i = 0; i < lines.size(); ++i) {
            const std::string name = included(lines[i]);
            const std::string from = name.substr(0, name.rfind('/'));
            if (permitted_includes.contains(from) && !permitted->second.contains(from))
                complain(path, i + 1, folder + " must not include " + from);
            if (name.starts_with("cpprest/") && shown(path) != only_file_with_cpprest)
                complain(path, i + 1, std::string("only ") + only_file_with_cpprest + " may include cpprest");
            if (lines[i].starts_with("#include \"") && name.find('/') == std::string::npos)
                complain(path, i + 1, "includes must be written from controller/");
        }
    }
}

TEST(Tidy, functions_and_files_are_short) {
    for (const auto& path : all_sources()) {
        const Lines lines = lines_of(path);
        if (lines.size() > max_file_lines)
            complain(path, lines.size(),
                     "a file must have at most " + std::to_string(max_file_lines) + " lines");
        for (const auto& [line, length] : functions_of(lines)) {
            if (length > max_function_lines)
                complain(path, line,
                         "a function must have at most " + std::to_string(max_function_lines) +
                             " lines; this one has " + std::to_string(length));
        }
    }
}

TEST(Tidy, the_function_counter_counts) {
    const Lines lines{"namespace a {",    "class B {", "    void c() {",
                      "        if (d) {", "        }", "    }",
                      "    int e = 1;",   "};",        "",
                      "// f() {",         "int f(",    "    int g) {",
                      "    return '{';",  "}",         "}"};
    EXPECT_EQ(functions_of(lines), (std::vector<std::pair<size_t, size_t>>{{3, 4}, {12, 3}}));
}

TEST(Tidy, no_file_is_dead) {
    std::set<std::string> included_somewhere;
    for (const auto& path : all_sources()) {
        for (const auto& line : lines_of(path)) included_somewhere.insert(included(line));
    }
    for (const auto& path : sources_below("controller")) {
        if (path.extension() == ".h") {
            const std::string name = fs::relative(path, root() / "controller").string();
            if (!included_somewhere.contains(name))
                complain(path, 1, "a header must be included by somebody");
            continue;
        }
        std::istringstream words(text_of(path.parent_path() / "CMakeLists.txt"));
        bool named = false;
        for (std::string word; words >> word;) {
            word.erase(std::remove(word.begin(), word.end(), ')'), word.end());
            named = named || word == path.filename();
        }
        if (!named) complain(path, 1, "a source file must be named in its folder's CMakeLists.txt");
    }
    for (const auto& path : sources_below("tests/support")) {
        if (path.extension() == ".h" && !included_somewhere.contains("support/" + path.filename().string()))
            complain(path, 1, "a header must be included by somebody");
    }
}

TEST(Tidy, nothing_is_left_undone_or_switched_off) {
    // In two halves, so that this file does not complain of itself.
    const std::vector<std::string> banned{std::string("TO") + "DO", std::string("FIX") + "ME",
                                          std::string("GTEST_") + "SKIP", std::string("DIS") + "ABLED_"};
    for (const auto& path : all_sources()) {
        const Lines lines = lines_of(path);
        for (size_t i = 0; i < lines.size(); ++i) {
            for (const auto& word : banned) {
                if (lines[i].find(word) != std::string::npos)
                    complain(path, i + 1, word + " must not be committed");
            }
        }
    }
}

// What stands between backquotes in the last column of a table.
std::vector<std::string> quoted_in_last_column(const std::string& line) {
    std::vector<std::string> names;
    if (!line.starts_with("| ") || !line.ends_with(" |")) return names;
    std::string cell = line.substr(0, line.size() - 2);
    cell.erase(0, cell.rfind("| ") + 2);
    std::istringstream parts(cell);
    std::string part;
    for (bool quoted = false; std::getline(parts, part, '`'); quoted = !quoted) {
        if (quoted) names.push_back(part);
    }
    return names;
}

// "Suite.Test", or "Suite/Case" of a table of cases.
bool is_test(const std::vector<std::string>& texts, const std::string& name) {
    const size_t mark = name.find_first_of("./");
    if (mark == std::string::npos) return false;
    const std::string suite = name.substr(0, mark), rest = name.substr(mark + 1);
    return std::ranges::any_of(texts, [&](const std::string& text) {
        if (name[mark] == '/')
            return text.find("TEST_P(" + suite + ", ") != std::string::npos &&
                   text.find("{\"" + rest + "\",") != std::string::npos;
        return text.find("(" + suite + ", " + rest + ") {") != std::string::npos;
    });
}

TEST(Tidy, the_table_of_hostile_backups_names_tests_that_exist) {
    const fs::path path = root() / "docs/hostile-backups.md";
    const Lines lines = lines_of(path);
    std::vector<std::string> texts;
    for (const auto& source : sources_below("tests")) texts.push_back(text_of(source));
    size_t found = 0;
    for (size_t i = 0; i < lines.size(); ++i) {
        for (const auto& name : quoted_in_last_column(lines[i])) {
            ++found;
            if (!is_test(texts, name)) complain(path, i + 1, "there must be a test " + name);
        }
    }
    EXPECT_GE(found, 60u) << "the table was read";
    EXPECT_FALSE(is_test(texts, "Tidy.no_such_test"));
    EXPECT_FALSE(is_test(texts, "HostileFunction/NoSuchCase"));
}

TEST(Tidy, headers_are_included_once) {
    for (const auto& path : all_sources()) {
        if (path.extension() == ".h" && text_of(path).find("#pragma once\n") != 0)
            complain(path, 1, "a header must begin with #pragma once");
    }
}

TEST(Tidy, scripts_for_people_can_be_run) {
    size_t scripts = 0;
    for (const auto& entry : fs::directory_iterator(root() / "hack")) {
        const Lines lines = entry.is_regular_file() ? lines_of(entry.path()) : Lines{};
        // What others source has an extension; what a person starts has none.
        if (lines.empty() || entry.path().has_extension()) continue;
        ++scripts;
        if (!lines[0].starts_with("#!")) complain(entry.path(), 1, "a script must name its interpreter");
        if ((fs::status(entry.path()).permissions() & fs::perms::others_exec) == fs::perms::none)
            complain(entry.path(), 1, "a script in hack/ must be executable");
    }
    EXPECT_GE(scripts, 3u) << "the tree that was read is the project's own";
}

}  // namespace
}  // namespace dbrestore
