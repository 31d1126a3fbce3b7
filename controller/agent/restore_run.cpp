#include "agent/restore_run.h"

#include <algorithm>

#include "agent/programs.h"
#include "agent/space.h"
#include "agent/text.h"
#include "base/files.h"
#include "base/process.h"

namespace dbrestore::agent {

namespace {

constexpr size_t max_line_bytes = 4096;
constexpr size_t max_errors = 3;
constexpr size_t max_error_bytes = 400;
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

AgentResult judge_failure(const ErrorCollector& errors, const base::ProcessEnd& end,
                          const PrivateServer& server) {
    const std::string text = errors.any() ? errors.text() : "pg_restore ended with " + to_text(end);
    if (tells_of_full_disk(text))
        return failed("InsufficientSpace", "the volume filled up while restoring: " + text);
    for (const char* sign : {"server closed the connection", "terminating connection",
                             "the database system is", "could not connect", "connection to server"}) {
        if (text.find(sign) != std::string::npos)
            return retryable("ServerDied", "the private server went away while restoring: " + text + "; " +
                                               server.log_tail());
    }
    if (!errors.any() && end.signal != 0) return retryable("RestoreInterrupted", text);
    return failed("RestoreFailed", text);
}

// One would hold its locks, and what vacuum may remove in the whole server, for ever.
std::optional<AgentResult> refuse_prepared(const PrivateServer& server, const Journal& journal) {
    auto session = server.connect("template1");
    if (!session) return from_error("PrivateServerFailed", session.error());
    const auto count =
        session->value("SELECT count(*) FROM pg_prepared_xacts WHERE database = $1", {journal.new_database});
    if (!count) return from_error("PrivateServerFailed", count.error());
    if (*count == "0") return std::nullopt;
    return failed("RestoreFailed", "the dump must leave no prepared transaction, and leaves " + *count);
}

}  // namespace

void ErrorCollector::add_line(std::string_view line) {
    constexpr std::string_view entry = "from TOC entry ";
    if (const size_t at = line.find(entry); at != std::string_view::npos && line.starts_with("pg_restore: "))
        entry_ = line.substr(at + entry.size());
    if (errors_.size() > max_errors) return;
    if (const size_t at = line.find("error: ");
        at != std::string_view::npos && line.starts_with("pg_restore")) {
        std::string said(line.substr(at + 7));
        for (const std::string_view noise : {"could not execute query: ERROR:  ", "COPY failed for table "}) {
            if (said.starts_with(noise) && noise.starts_with("could")) said = said.substr(noise.size());
        }
        errors_.push_back(one_line(
            (entry_.empty() ? "" : "[" + entry_.substr(entry_.find(' ', entry_.find(' ') + 1) + 1) + "] ") +
                said,
            max_error_bytes));
    } else if (!errors_.empty() && (line.starts_with("DETAIL:") || line.starts_with("CONTEXT:  COPY"))) {
        errors_.back() = one_line(errors_.back() + " (" + trimmed(line.substr(line.find(':') + 1)) + ")",
                                  max_error_bytes * 2);
    }
}

std::string ErrorCollector::text() const {
    std::string text;
    for (size_t i = 0; i < errors_.size() && i < max_errors; ++i) text += (i == 0 ? "" : "; ") + errors_[i];
    return text;
}

std::optional<AgentResult> run_pg_restore(const Context& context, const PrivateServer& server,
                                          const Journal& journal, const Archive& archive,
                                          const DumpFile& dump, const std::string& data_path) {
    const auto program = find_program("pg_restore", server.version());
    if (!program) return failed("AgentFailed", to_text(program.error()));
    const std::string list =
        context.surroundings.temporary_directory + "/dbrestore-" + journal.role + ".list";
    if (auto written = base::write_file_durably(list, list_for_restore(archive)); !written)
        return from_error("AgentFailed", written.error());
    const int64_t wished = context.request.jobs > 0 ? context.request.jobs : usable_cpus();
    const int64_t jobs = dump.suits_workers() ? wished : 1;
    base::ProcessSpec spec;
    spec.arguments = {*program,
                      "--exit-on-error",
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
    spec.environment = {{"LC_ALL", "C"},
                        {"PGOPTIONS", session_options("pg_catalog") + " -c synchronous_commit=off"}};
    spec.inherited_fds = {dump.fd()};
    const int64_t before = std::max(percent_before, context.report.percent());
    EntryCounter counter;
    ErrorCollector errors;
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
        return !full;
    };
    const auto end = base::run_process(spec);
    ::unlink(list.c_str());
    if (!end) return from_error("AgentFailed", end.error());
    if (full) return failed("InsufficientSpace", "less than 5 % of the volume was left while restoring");
    if (end->ok()) return refuse_prepared(server, journal);
    return judge_failure(errors, *end, server);
}

}  // namespace dbrestore::agent
