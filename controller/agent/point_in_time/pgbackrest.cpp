#include "agent/point_in_time/pgbackrest.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "agent/space.h"
#include "agent/text.h"
#include "base/files.h"
#include "base/process.h"

namespace dbrestore::agent {

namespace {

using backups::Failure;

constexpr size_t max_info_bytes = 64u << 20, max_segment_bytes = 256u << 20, max_log_line_bytes = 2000;
constexpr int exit_not_archived = 1;
constexpr int64_t most_workers = 8;
// The server takes a smaller one for "there is no such file".
constexpr const char* exit_that_ends_the_server = "200";

std::string configuration_file(const Context& context) {
    return context.surroundings.repository_directory + "/pgbackrest.conf";
}

// The image's own would beat the configuration.
void forget_environment() {
    std::vector<std::string> names;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string_view text(*entry);
        if (text.starts_with("PGBACKREST_")) names.emplace_back(text.substr(0, text.find('=')));
    }
    for (const auto& name : names) ::unsetenv(name.c_str());
}

std::string quote_for_shell(const std::string& text) {
    return "'" + replaced(text, "'", "'\\''") + "'";
}

// The server replaces %f, %p and %r; a percent sign of ours is doubled.
std::string quote_for_server(const std::string& text) {
    return replaced(quote_for_shell(text), "%", "%%");
}

// "… (8KB, 12.34%) checksum …": how far a restore is.
std::optional<int64_t> percent_in(std::string_view line) {
    const size_t end = line.find("%)"), begin = line.rfind(", ", end);
    if (end == std::string_view::npos || begin == std::string_view::npos) return std::nullopt;
    const double percent = std::strtod(std::string(line.substr(begin + 2, end - begin - 2)).c_str(), nullptr);
    return percent >= 0 && percent <= 100 ? std::optional<int64_t>(static_cast<int64_t>(percent))
                                          : std::nullopt;
}

bool sets_io_timeout(std::string_view configuration) {
    return std::ranges::any_of(lines_of(configuration),
                               [](const auto& line) { return trimmed(line).starts_with("io-timeout"); });
}

}  // namespace

std::string dangerous_setting(std::string_view configuration) {
    for (const auto& line : lines_of(configuration)) {
        const std::string setting = trimmed(line);
        for (const char* name : {"link-", "tablespace-map"}) {
            if (setting.starts_with(name)) return one_line(trimmed(setting.substr(0, setting.find('='))), 40);
        }
    }
    return {};
}

std::optional<Failure> PgBackRest::open(const Context& context, std::optional<PgBackRest>& opened) {
    const auto text = base::read_file(configuration_file(context));
    if (!text)
        return Failure{"RepositorySecretMissing",
                       "the Secret of `spec.pointInTimeRecovery.pgBackRest`, or its key \"pgbackrest.conf\", "
                       "is missing",
                       true};
    if (const std::string setting = dangerous_setting(*text); !setting.empty())
        return Failure{"RepositoryRefused", "pgbackrest.conf must not set `" + setting + "`"};
    forget_environment();
    opened = PgBackRest(context);
    opened->waits_as_configured_ = sets_io_timeout(*text);
    return std::nullopt;
}

std::string PgBackRest::folder() const {
    return context_->surroundings.temporary_directory + "/dbrestore-pgbackrest";
}

std::vector<std::string> PgBackRest::command(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(),
                     {context_->surroundings.pgbackrest_program, "--config=" + configuration_file(*context_),
                      "--stanza=" + context_->request.stanza, "--log-level-file=off"});
    // Each command tries for up to sixteen times as long. By default a repository that is away would be told
    // after a quarter of an hour, with the database down.
    if (!waits_as_configured_) arguments.insert(arguments.begin() + 1, "--io-timeout=5");
    return arguments;
}

std::optional<Failure> PgBackRest::run(const std::string& what, base::ProcessSpec& spec,
                                       int& exit_code) const {
    std::string first_error, first_warning;
    LineSplitter lines(max_log_line_bytes);
    spec.on_stderr = [&](std::string_view text) {
        lines.feed(text, [&](std::string_view line) {
            const auto keep_first = [&](std::string_view mark, size_t skipped, std::string& first) {
                const size_t at = line.find(mark);
                if (at != std::string_view::npos && first.empty()) first = line.substr(at + skipped);
            };
            keep_first("ERROR: ", 7, first_error);
            keep_first("WARN: repo", 6, first_warning);
        });
    };
    const auto end = base::run_process(spec);
    if (!end) return Failure{"RepositoryUnreadable", what + ": " + to_text(end.error())};
    exit_code = end->exit_code;
    if (end->ok()) return std::nullopt;
    // It redacts secrets itself. Of a repository that is away its error says only that there is no such
    // backup.
    std::string why = first_error.empty() ? to_text(*end) : one_line(first_error, max_told_bytes);
    if (!first_warning.empty()) why += " (" + one_line(first_warning, max_told_bytes) + ")";
    return Failure{"RepositoryUnreadable", what + ": " + why, true};
}

std::optional<Failure> PgBackRest::list(std::vector<BackupSet>& sets, std::string* unreadable) const {
    base::ProcessSpec spec;
    spec.arguments =
        command({"--log-level-console=off", "--log-level-stderr=error", "--output=json", "info"});
    std::string text;
    spec.on_stdout = [&](std::string_view piece) {
        text.append(piece.substr(0, max_info_bytes - std::min(max_info_bytes, text.size())));
    };
    int exit_code = 0;
    if (auto failure = run("cannot list the backups of the repository", spec, exit_code)) return failure;
    if (unreadable != nullptr) *unreadable = unreadable_repositories(text, context_->request.stanza);
    return backup_sets_from_info(text, context_->request.stanza, sets);
}

std::optional<Failure> PgBackRest::restore(const BackupSet& set, const std::string& directory, Found found,
                                           int64_t percent_of_step) const {
    base::ProcessSpec spec;
    // Whatever the backup links to lies in the folder itself; tablespaces would lie in one of ours. Of the
    // types that there are, only `immediate` looks at no other timeline than the backup's: the newest one,
    // which the others ask for, may have nothing to do with it. What it writes of a recovery is not kept.
    spec.arguments =
        command({"--log-level-console=detail", "--log-level-stderr=warn", "--pg1-path=" + directory,
                 "--lock-path=" + folder() + "/lock", "--set=" + set.label,
                 "--repo=" + std::to_string(set.repository), "--type=immediate", "--no-link-all",
                 "--tablespace-map-all=" + folder() + "/tablespaces",
                 "--process-max=" + std::to_string(std::min(usable_cpus(), most_workers)), "restore"});
    // By size and checksum; times prove nothing. It compares as soon as it finds something, so that only what
    // is meant to be compared may be there.
    if (found == Found::clone) spec.arguments.emplace_back("--delta");
    // Of a file that cannot be fetched it has tried several times already; another attempt of the step begins
    // anew.
    if (!waits_as_configured_) spec.arguments.emplace_back("--job-retry=0");
    LineSplitter lines(max_log_line_bytes);
    const std::string summary = (found == Found::clone ? "comparing today's files with the " : "copying ") +
                                human_size(set.size_bytes) + " of backup " + set.label;
    spec.on_stdout = [&](std::string_view text) {
        lines.feed(text, [&](std::string_view line) {
            const auto percent = percent_in(line);
            if (!percent) return;
            resources::Progress progress;
            progress.summary = summary;
            progress.percent = *percent * percent_of_step / 100;
            progress.bytes_total = set.size_bytes;
            progress.bytes_done = set.size_bytes / 100 * *percent;
            context_->report.progress(std::move(progress));
        });
    };
    int exit_code = 0;
    return run("cannot restore backup " + set.label, spec, exit_code);
}

std::vector<std::string> PgBackRest::archive_get(const std::string& data_directory) const {
    return command({"--log-level-console=off", "--log-level-stderr=error", "--pg1-path=" + data_directory,
                    "--lock-path=" + folder() + "/lock", "--no-archive-async", "archive-get"});
}

std::optional<Failure> PgBackRest::fetch(const std::string& name, const std::string& data_directory,
                                         std::optional<std::string>& content) const {
    std::error_code ignored;
    std::filesystem::create_directories(folder(), ignored);
    const std::string path = folder() + "/" + name;
    base::ProcessSpec spec;
    spec.arguments = archive_get(data_directory);
    spec.arguments.insert(spec.arguments.end(), {name, path});
    content.reset();
    int exit_code = 0;
    auto failure = run("cannot read " + name + " of the archive", spec, exit_code);
    if (failure && exit_code == exit_not_archived) return std::nullopt;
    if (failure) return failure;
    auto text = base::read_file(path);
    std::filesystem::remove(path, ignored);
    if (!text) return backups::to_failure(text.error());
    content = std::move(*text);
    return std::nullopt;
}

std::optional<Failure> PgBackRest::run_on_archive(const std::string& command_name, const BackupSet& set,
                                                  const std::string& path, std::string& output) const {
    base::ProcessSpec spec;
    const std::string whole = "archive/" + context_->request.stanza + "/" + set.archive + path;
    spec.arguments = command({"--log-level-console=off", "--log-level-stderr=error",
                              "--repo=" + std::to_string(set.repository), command_name, whole});
    output.clear();
    spec.on_stdout = [&](std::string_view piece) {
        output.append(
            piece.substr(0, max_segment_bytes + 1 - std::min(max_segment_bytes + 1, output.size())));
    };
    int exit_code = 0;
    return run("cannot read " + whole + " of the repository", spec, exit_code);
}

std::optional<Failure> PgBackRest::names_in(const BackupSet& set, const std::string& folder,
                                            std::vector<std::string>& names) const {
    std::string output;
    if (auto failure = run_on_archive("repo-ls", set, folder.empty() ? "" : "/" + folder, output))
        return failure;
    names = lines_of(output);
    return std::nullopt;
}

std::optional<Failure> PgBackRest::read(const BackupSet& set, const std::string& path,
                                        std::string& content) const {
    if (auto failure = run_on_archive("repo-get", set, "/" + path, content)) return failure;
    if (content.size() > max_segment_bytes)
        return Failure{"RepositoryDamaged", path + " of the archive is larger than a segment of WAL can be"};
    return std::nullopt;
}

std::string PgBackRest::restore_command(const std::string& tree,
                                        const std::vector<std::string>& other_trees) const {
    std::string text;
    for (const auto& word : archive_get(tree)) text += quote_for_server(word) + " ";
    text += "\"%f\" \"%p\"; code=$?; ";
    text +=
        "[ $code -le " + std::to_string(exit_not_archived) + " ] || exit " + exit_that_ends_the_server + "; ";
    text += "[ $code -eq 0 ] && exit 0; ";
    for (const auto& other : other_trees)
        text += "cp " + quote_for_server(other + "/pg_wal/") + "\"%f\" \"%p\" 2>/dev/null && exit 0; ";
    return text + "exit 1";
}

}  // namespace dbrestore::agent
