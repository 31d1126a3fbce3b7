#include "agent/restore_run.h"

#include <algorithm>

#include "agent/programs.h"
#include "agent/restore_errors.h"
#include "agent/space.h"
#include "agent/text.h"
#include "base/files.h"
#include "base/process.h"

namespace dbrestore::agent {

namespace {

constexpr size_t max_line_bytes = 4096;
// Until now at least, and then: the rest are ANALYZE and the handover.
constexpr int64_t percent_before = 5, percent_with_data = 60, percent_of_entries = 30;

// Counts entries as --verbose tells them: one by one at first, then by workers.
struct EntryCounter {
    int64_t done = 0;

    void add_line(std::string_view line) {
        for (const std::string_view word : {"processing item ", "finished item ", "skipping item "}) {
            if (line.find(word) != std::string_view::npos) ++done;
        }
    }
};

resources::Progress progress_now(const EntryCounter& counter, int64_t bytes, int64_t entries_total,
                                 int64_t bytes_total, int64_t before) {
    resources::Progress progress;
    progress.entries_total = entries_total;
    progress.entries_done = std::min(counter.done, entries_total);
    progress.bytes_total = bytes_total;
    progress.bytes_done = std::min(bytes, bytes_total);
    const int64_t percent_of_data = percent_with_data - before;
    const double data =
        bytes_total > 0 ? static_cast<double>(progress.bytes_done) / static_cast<double>(bytes_total) : 1;
    const double entries =
        entries_total > 0 ? static_cast<double>(progress.entries_done) / static_cast<double>(entries_total)
                          : 1;
    progress.percent = before + static_cast<int64_t>(data * static_cast<double>(percent_of_data) +
                                                     entries * percent_of_entries);
    progress.summary = "restoring: " + human_size(progress.bytes_done) + " of " + human_size(bytes_total) +
                       ", " + std::to_string(progress.entries_done) + " of " + std::to_string(entries_total) +
                       " entries";
    return progress;
}

}  // namespace

std::optional<AgentResult> run_pg_restore(const Context& context, const PrivateServer& server,
                                          const Journal& journal, const Archive& archive,
                                          const DumpFile& dump, const std::string& data_path) {
    const auto program = find_program("pg_restore", server.version());
    if (!program) return failed("AgentFailed", to_text(program.error()));
    const std::string list =
        context.surroundings.temporary_directory + "/dbrestore-" + journal.role + ".list";
    if (auto written = base::write_file_durably(list, list_for_restore(archive, journal.clean)); !written)
        return from_error("AgentFailed", written.error());
    const int64_t wished = context.request.jobs > 0 ? context.request.jobs : usable_cpus();
    const int64_t jobs = dump.suits_workers() ? wished : 1;
    base::ProcessSpec spec;
    spec.arguments = {*program,
                      "--no-owner",
                      "--no-privileges",
                      "--no-security-labels",
                      "--no-subscriptions",
                      "--no-tablespaces",
                      "--verbose",
                      "--jobs=" + std::to_string(jobs),
                      "--format=" + backups::to_text(dump.format()),
                      "--use-list=" + list,
                      "--dbname=" + server.conninfo(journal.role, journal.new_database),
                      dump.path_in_child()};
    const std::vector<std::string> of_mode =
        journal.clean ? std::vector<std::string>{"--clean", "--if-exists", "--no-comments"}
                      : std::vector<std::string>{"--exit-on-error"};
    spec.arguments.insert(spec.arguments.begin() + 1, of_mode.begin(), of_mode.end());
    spec.environment = {{"LC_ALL", "C"},
                        {"PGOPTIONS", session_options("pg_catalog") + " -c synchronous_commit=off"}};
    spec.inherited_fds = {dump.fd()};
    const int64_t before = std::max(percent_before, context.report.percent());
    EntryCounter counter;
    RestoreErrors errors(journal.clean);
    LineSplitter lines(max_line_bytes);
    int64_t bytes = 0;
    bool full = false;
    const auto take = [&](std::string_view line) {
        counter.add_line(line);
        errors.add_line(line);
    };
    spec.on_stderr = [&](std::string_view text) { lines.feed(text, take); };
    spec.on_tick = [&](pid_t pid) {
        bytes = std::max(bytes, bytes_read_by(pid));
        context.report.progress(progress_now(counter, bytes, static_cast<int64_t>(archive.entries.size()),
                                             dump.size_bytes(), before));
        const auto space = disk_space(data_path);
        full = full || (space && space->is_nearly_full());
        return !full && !errors.has_fatal();
    };
    const auto end = base::run_process(spec);
    ::unlink(list.c_str());
    if (!end) return from_error("AgentFailed", end.error());
    if (full) return failed("InsufficientSpace", "less than 5 % of the volume was left while restoring");
    if (end->ok() || errors.all_are_forgiven()) return std::nullopt;
    return judge_failure(errors, *end, server);
}

}  // namespace dbrestore::agent
