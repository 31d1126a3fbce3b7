#include "agent/programs.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <vector>

#include "agent/text.h"
#include "base/files.h"
#include "base/process.h"

namespace dbrestore::agent {

namespace {

std::vector<std::string> candidate_folders(const std::string& version) {
    std::vector<std::string> folders;
    const char* path = std::getenv("PATH");
    std::string_view rest = path != nullptr ? path : "";
    while (!rest.empty()) {
        const size_t colon = rest.find(':');
        if (colon != 0) folders.emplace_back(rest.substr(0, colon));
        rest = colon == std::string_view::npos ? std::string_view() : rest.substr(colon + 1);
    }
    std::error_code ignored;
    std::vector<std::string> installed;
    for (const auto& entry : std::filesystem::directory_iterator("/usr/lib/postgresql", ignored)) {
        if (version.empty() || entry.path().filename() == version)
            installed.push_back(entry.path().string() + "/bin");
    }
    std::sort(installed.rbegin(), installed.rend());
    folders.insert(folders.end(), installed.begin(), installed.end());
    folders.push_back("/usr/local/bin");
    folders.push_back("/usr/pgsql-" + version + "/bin");
    return folders;
}

bool is_of_version(const std::string& program, const std::string& version) {
    const std::string number = version_of(program);
    return number.starts_with(version) &&
           (number.size() == version.size() || number[version.size()] < '0' || number[version.size()] > '9');
}

}  // namespace

base::Result<std::string> data_version(const std::string& directory) {
    auto text = base::read_file(directory + "/PG_VERSION", 1000);
    if (!text) return text.error();
    const std::string version = trimmed(*text);
    if (version.empty() || version.find_first_not_of("0123456789") != std::string::npos) {
        return base::error(base::ErrorKind::invalid,
                           directory + "/PG_VERSION must hold a major version of PostgreSQL");
    }
    return version;
}

base::Result<std::string> find_program(const std::string& name, const std::string& version) {
    for (const auto& folder : candidate_folders(version)) {
        const std::string program = std::string(folder).append("/").append(name);
        if (::access(program.c_str(), X_OK) != 0) continue;
        if (version.empty() || is_of_version(program, version)) return program;
    }
    return base::error(
        base::ErrorKind::not_found,
        "the image holds no " + name + (version.empty() ? std::string() : " of PostgreSQL " + version),
        "the restore's pods run the database's own image, which must hold PostgreSQL's programs");
}

base::Result<RestorePrograms> find_restore_programs(const std::string& version) {
    auto pg_restore = find_program("pg_restore", version);
    if (!pg_restore) return pg_restore.error();
    auto psql = find_program("psql", version);
    if (!psql) return psql.error();
    return RestorePrograms{version, *pg_restore, *psql};
}

std::string version_of(const std::string& program) {
    std::string output;
    base::ProcessSpec spec;
    spec.arguments = {program, "--version"};
    spec.on_stdout = [&](std::string_view text) { output.append(text.substr(0, 1000)); };
    const auto end = base::run_process(spec);
    constexpr std::string_view mark = "(PostgreSQL) ";
    const size_t at = output.find(mark);
    return end && end->ok() && at != std::string::npos ? trimmed(output.substr(at + mark.size())) : "";
}

bool is_safe_psql(std::string_view version) {
    int major = 0, minor = -1;
    const auto [dot, code] = std::from_chars(version.data(), version.data() + version.size(), major);
    if (code != std::errc{} || dot == version.data() + version.size() || *dot != '.') return false;
    std::from_chars(dot + 1, version.data() + version.size(), minor);
    constexpr std::array<std::pair<int, int>, 5> first_safe{
        {{14, 24}, {15, 19}, {16, 15}, {17, 11}, {18, 6}}};
    for (const auto& [of_major, first_minor] : first_safe) {
        if (major == of_major) return minor >= first_minor;
    }
    return major > first_safe.back().first;
}

}  // namespace dbrestore::agent
