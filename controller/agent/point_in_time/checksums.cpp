#include "agent/point_in_time/checksums.h"

#include <cstdlib>

#include "agent/programs.h"
#include "agent/server/control_data.h"
#include "agent/text.h"
#include "base/process.h"

namespace dbrestore::agent {

namespace {

constexpr size_t max_checker_line_bytes = 2000;

// "   12/300 MB (4%) computed"
std::optional<int64_t> checked_percent(std::string_view line) {
    const size_t open = line.find(" MB ("), end = line.find("%) computed");
    if (open == std::string_view::npos || end == std::string_view::npos || end < open) return std::nullopt;
    return std::strtoll(std::string(line.substr(open + 5, end - open - 5)).c_str(), nullptr, 10);
}

}  // namespace

std::optional<AgentResult> check_pages(const Context& context, const std::string& directory) {
    const auto version = data_version(directory);
    if (!version) return from_error("DataDirectoryDamaged", version.error());
    const auto control = read_control_data(directory, *version);
    if (!control) return from_error("ControlFileUnreadable", control.error());
    if (const std::string kind = control->field("Data page checksum version"); kind.empty() || kind == "0")
        return std::nullopt;
    const auto program = find_program("pg_checksums", *version);
    if (!program) return from_error("ProgramsMissing", program.error());
    base::ProcessSpec spec;
    spec.arguments = {*program, "--check", "--progress", "-D", directory};
    spec.environment = {{"LC_ALL", "C"}};
    std::string first_error;
    LineSplitter lines(max_checker_line_bytes);
    spec.on_stderr = [&](std::string_view text) {
        // Its progress ends each line by a carriage return.
        lines.feed(replaced(std::string(text), "\r", "\n"), [&](std::string_view line) {
            if (const auto percent = checked_percent(line))
                context.report.progress("reading every page by its checksum", *percent);
            if (const size_t at = line.find("error: "); at != std::string_view::npos && first_error.empty())
                first_error = line.substr(at + 7);
        });
    };
    const auto end = base::run_process(spec);
    if (!end) return from_error("ProgramsMissing", end.error());
    if (end->ok()) return std::nullopt;
    return failed("ChecksumMismatch",
                  "what was recovered is damaged: " +
                      (first_error.empty() ? to_text(*end) : one_line(first_error, max_told_bytes)));
}

}  // namespace dbrestore::agent
