#include "agent/dump/restore_run.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <random>

#include "agent/dump/fed_process.h"
#include "agent/dump/restore_errors.h"
#include "agent/dump/sql_script.h"
#include "agent/space.h"
#include "agent/text.h"
#include "backups/folder.h"
#include "base/files.h"
#include "base/process.h"

namespace dbrestore::agent {

namespace {

constexpr size_t max_line_bytes = 4096;
// Until now at least, and then: the rest are ANALYZE and the handover.
constexpr int64_t percent_before = 5, percent_with_data = 60, percent_of_entries = 30;

// Of what --verbose says: an entry by itself at first, then by workers.
int64_t entries_told(std::string_view line) {
    for (const std::string_view word : {"processing item ", "finished item ", "skipping item "}) {
        if (line.find(word) != std::string_view::npos) return 1;
    }
    return 0;
}

std::string random_word() {
    std::random_device random;
    std::string word = "dbrestore";
    for (int i = 0; i < 4; ++i) word += std::to_string(random());
    return word;
}

class RestoreRun {
public:
    RestoreRun(const Context& context, const PrivateServer& server, const Journal& journal,
               const RestoreSource& source, const std::string& data_path)
        : context_(context),
          server_(server),
          journal_(journal),
          programs_(source.programs),
          archive_(source.archive),
          dump_(source.dump),
          data_path_(data_path),
          percent_until_now_(std::max(percent_before, context.report.percent())),
          errors_(journal.clean) {
        spec_.environment = {{"LC_ALL", "C"},
                             {"PGOPTIONS", session_options("pg_catalog") + " -c synchronous_commit=off"}};
        spec_.on_stderr = [this](std::string_view text) {
            lines_.feed(text, [this](std::string_view line) {
                entries_done_ += entries_told(line);
                errors_.add_line(line);
            });
        };
    }

    std::optional<AgentResult> by_pg_restore();
    std::optional<AgentResult> by_psql();

private:
    std::optional<AgentResult> restore_listed(const std::string& list, int64_t jobs,
                                              const std::vector<std::string>& of_mode);
    bool go_on(int64_t bytes);
    resources::Progress progress_now() const;
    std::optional<AgentResult> judge(const base::Result<base::ProcessEnd>& end) const;

    const Context& context_;
    const PrivateServer& server_;
    const Journal& journal_;
    const RestorePrograms& programs_;
    const Archive& archive_;
    const DumpFile& dump_;
    const std::string& data_path_;
    const int64_t percent_until_now_;
    base::ProcessSpec spec_;
    RestoreErrors errors_;
    LineSplitter lines_{max_line_bytes};
    std::atomic<int64_t> entries_done_ = 0;
    int64_t bytes_done_ = 0;
    bool is_full_ = false;
};

std::optional<AgentResult> RestoreRun::by_pg_restore() {
    const int64_t wished = context_.request.jobs > 0 ? context_.request.jobs : usable_cpus();
    const std::string list = list_for_restore(archive_, journal_.clean);
    // Not --exit-on-error: workers that lock each other out are no reason to begin anew. Any other error ends
    // it at the next tick.
    const auto of_mode = journal_.clean ? std::vector<std::string>{"--clean", "--if-exists", "--no-comments"}
                                        : std::vector<std::string>{};
    if (auto failure = restore_listed(list, dump_.suits_workers() ? wished : 1, of_mode)) return failure;
    std::string left;
    for (const auto& line : lines_of(list)) {
        if (errors_.must_be_repeated(line)) left += line + "\n";
    }
    if (left.empty()) return std::nullopt;
    errors_ = RestoreErrors();
    return restore_listed(left, 1, {});
}

std::optional<AgentResult> RestoreRun::restore_listed(const std::string& list, int64_t jobs,
                                                      const std::vector<std::string>& of_mode) {
    const std::string path =
        context_.surroundings.temporary_directory + "/dbrestore-" + journal_.role + ".list";
    if (auto written = base::write_file_durably(path, list); !written)
        return from_error("AgentFailed", written.error());
    spec_.arguments = {programs_.pg_restore,
                       "--no-owner",
                       "--no-privileges",
                       "--no-security-labels",
                       "--no-subscriptions",
                       "--no-tablespaces",
                       "--verbose",
                       "--jobs=" + std::to_string(jobs),
                       "--format=" + backups::to_text(dump_.format()),
                       "--use-list=" + path,
                       "--dbname=" + server_.conninfo(journal_.role, journal_.new_database),
                       dump_.path_in_child()};
    spec_.arguments.insert(spec_.arguments.begin() + 1, of_mode.begin(), of_mode.end());
    spec_.inherited_fds = {dump_.fd()};
    spec_.on_tick = [this](pid_t pid) { return go_on(bytes_read_by(pid)); };
    const auto end = base::run_process(spec_);
    ::unlink(path.c_str());
    return judge(end);
}

// Behind our own \restrict no text of the script is a command for psql, whatever SqlScript takes it for.
std::optional<AgentResult> RestoreRun::by_psql() {
    auto pipe = make_pipe();
    if (!pipe) return from_error("AgentFailed", pipe.error());
    spec_.arguments = {programs_.psql,
                       "--no-psqlrc",
                       "--quiet",
                       "--set=ON_ERROR_STOP=1",
                       "--output=/dev/null",
                       "--dbname=" + server_.conninfo(journal_.role, journal_.new_database),
                       "--file=/proc/self/fd/" + std::to_string(pipe->read_end.get())};
    spec_.inherited_fds = {pipe->read_end.get()};
    std::atomic<int64_t> bytes = 0;
    spec_.on_tick = [&](pid_t) { return go_on(bytes); };
    const auto schemas = schemas_made_beforehand(archive_, false);
    SqlScript script({schemas.begin(), schemas.end()});
    const auto feed = [&](int write_fd) -> base::Status {
        const auto forward = [write_fd](std::string_view text) { return base::write_all(write_fd, text); };
        if (auto begun = forward("\\restrict " + random_word() + "\n"); !begun) return begun;
        backups::FileSource source(dump_.reopened());
        return backups::pump(source, [&](std::string_view piece) {
            bytes += static_cast<int64_t>(piece.size());
            auto fed = script.feed(piece, forward);
            entries_done_ = static_cast<int64_t>(script.archive.entries.size());
            return fed;
        });
    };
    const auto ran = run_fed(spec_, std::move(pipe->write_end), feed, [&] { pipe->read_end.reset(); });
    if (auto failure = judge(ran.end)) return failure;
    // psql ran to its end: what it was not given is missing.
    if (!ran.fed) return from_error("BackupUnreadable", ran.fed.error());
    return std::nullopt;
}

bool RestoreRun::go_on(int64_t bytes) {
    bytes_done_ = std::max(bytes_done_, bytes);
    context_.report.progress(progress_now());
    const auto space = disk_space(data_path_);
    is_full_ = is_full_ || (space && space->is_nearly_full());
    return !is_full_ && !errors_.has_fatal();
}

resources::Progress RestoreRun::progress_now() const {
    const auto share = [](int64_t done, int64_t total) {
        return total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 1;
    };
    resources::Progress progress;
    progress.entries_total = static_cast<int64_t>(archive_.entries.size());
    progress.entries_done = std::min<int64_t>(entries_done_, progress.entries_total);
    progress.bytes_total = dump_.size_bytes();
    progress.bytes_done = std::min(bytes_done_, progress.bytes_total);
    const auto percent_of_data = static_cast<double>(percent_with_data - percent_until_now_);
    progress.percent =
        percent_until_now_ +
        static_cast<int64_t>(share(progress.bytes_done, progress.bytes_total) * percent_of_data +
                             share(progress.entries_done, progress.entries_total) * percent_of_entries);
    progress.summary = "restoring: " + human_size(progress.bytes_done) + " of " +
                       human_size(progress.bytes_total) + ", " + std::to_string(progress.entries_done) +
                       " of " + std::to_string(progress.entries_total) + " entries";
    return progress;
}

std::optional<AgentResult> RestoreRun::judge(const base::Result<base::ProcessEnd>& end) const {
    if (!end) return from_error("AgentFailed", end.error());
    if (is_full_) return failed("InsufficientSpace", "less than 5 % of the volume was left while restoring");
    if (end->ok() || errors_.all_are_forgiven()) return std::nullopt;
    return judge_failure(errors_, *end, server_);
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

std::optional<AgentResult> run_restore(const Context& context, const PrivateServer& server,
                                       const Journal& journal, const RestoreSource& source,
                                       const std::string& data_path) {
    RestoreRun run(context, server, journal, source, data_path);
    auto failure = source.dump.format() == DumpFormat::sql ? run.by_psql() : run.by_pg_restore();
    return failure ? failure : refuse_prepared(server, journal);
}

}  // namespace dbrestore::agent
