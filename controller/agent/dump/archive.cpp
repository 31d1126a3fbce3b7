#include "agent/dump/archive.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <set>
#include <sstream>

#include "agent/dump/fed_process.h"
#include "agent/dump/sql_script.h"
#include "agent/text.h"
#include "backups/dump_contents.h"
#include "base/files.h"
#include "base/process.h"

namespace dbrestore::agent {

namespace {

constexpr size_t max_listed_line_bytes = 65536;

// Longest first, so that TABLE DATA is not taken for TABLE. Others count as their first word.
constexpr std::array descriptions{"TEXT SEARCH CONFIGURATION",
                                  "TEXT SEARCH DICTIONARY",
                                  "TEXT SEARCH TEMPLATE",
                                  "TEXT SEARCH PARSER",
                                  "MATERIALIZED VIEW DATA",
                                  "FOREIGN DATA WRAPPER",
                                  "PROCEDURAL LANGUAGE",
                                  "MATERIALIZED VIEW",
                                  "OPERATOR FAMILY",
                                  "OPERATOR CLASS",
                                  "SECURITY LABEL",
                                  "ACCESS METHOD",
                                  "EVENT TRIGGER",
                                  "FOREIGN TABLE",
                                  "TABLE ATTACH",
                                  "SUBSCRIPTION",
                                  "TABLE DATA",
                                  "SHELL TYPE"};

// User and system time of a process.
double cpu_seconds(pid_t pid) {
    const auto text = base::read_file("/proc/" + std::to_string(pid) + "/stat", 4096);
    const size_t name_end = text ? text->rfind(')') : std::string::npos;
    if (name_end == std::string::npos) return 0;
    std::istringstream fields(text->substr(name_end + 1));
    std::string skipped;
    for (int i = 0; i < 11; ++i) fields >> skipped;
    unsigned long user = 0, system = 0;
    if (!(fields >> user >> system)) return 0;
    return static_cast<double>(user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

constexpr std::array superuser_descriptions{
    "EVENT TRIGGER", "PROCEDURAL LANGUAGE",  "FOREIGN DATA WRAPPER", "OPERATOR CLASS", "OPERATOR FAMILY",
    "ACCESS METHOD", "TEXT SEARCH TEMPLATE", "TEXT SEARCH PARSER",   "SHELL TYPE"};

// "3149; 3456 18528 COLLATION shop byte_order shop_owner"
std::optional<TocEntry> entry_from_line(std::string_view line) {
    const size_t semicolon = line.find(';');
    if (semicolon == 0 || semicolon == std::string_view::npos) return std::nullopt;
    size_t at = semicolon + 2;
    for (int i = 0; i < 2; ++i) at = std::min(line.find(' ', at), line.size() - 1) + 1;
    const std::string_view text = line.substr(std::min(at, line.size()));
    TocEntry entry{std::string(line), std::string(text.substr(0, text.find(' '))), {}};
    for (const std::string_view known : descriptions) {
        if (text.starts_with(known) && text.substr(known.size()).starts_with(" ")) {
            entry.description = known;
            break;
        }
    }
    entry.rest = text.substr(std::min(text.size(), entry.description.size() + 1));
    return entry;
}

std::optional<Failure> judge(const base::Result<base::ProcessEnd>& end, const std::string& errors) {
    if (!end) return Failure{"AgentFailed", to_text(end.error())};
    if (end->ok()) return std::nullopt;
    const std::string said = one_line(errors.empty() ? base::to_text(*end) : errors, 400);
    if (errors.find("unsupported version (") != std::string::npos) {
        return Failure{"DumpTooNew",
                       "the dump was written by a newer pg_dump than this server's pg_restore can read: " +
                           said + "; it must be made by this server's pg_dump, or go into a newer server"};
    }
    if (errors.find("end of file") != std::string::npos || errors.find("too short") != std::string::npos) {
        return Failure{"DumpTruncated", "the dump ends too early: " + said};
    }
    return Failure{"DumpDamaged", "the dump is damaged: " + said};
}

struct Run {
    std::string errors;
    base::ProcessSpec spec;

    // Told the format, it reads nothing twice.
    Run(const DumpFile& dump, std::vector<std::string> arguments) {
        arguments.push_back("--format=" + backups::to_text(dump.format()));
        arguments.push_back(dump.path_in_child());
        spec.arguments = std::move(arguments);
        spec.environment = {{"LC_ALL", "C"}};
        spec.inherited_fds = {dump.fd()};
        spec.on_stderr = [this](std::string_view text) {
            errors.append(text.substr(0, 2000 - std::min<size_t>(2000, errors.size())));
        };
    }
    Run(const Run&) = delete;
    Run& operator=(const Run&) = delete;
};

std::optional<Failure> read_list(const DumpFile& dump, const std::string& pg_restore, Archive& archive) {
    Run run(dump, {pg_restore, "--list"});
    LineSplitter lines(max_listed_line_bytes);
    run.spec.on_stdout = [&](std::string_view text) {
        lines.feed(text, [&](std::string_view line) { archive.add_list_line(line); });
    };
    const auto end = base::run_process(run.spec);
    return judge(end, run.errors);
}

// "- NAME OWNER" of a SCHEMA entry: the longest schema known from the definitions that fits, since both may
// hold spaces.
std::string schema_of(const TocEntry& entry, const std::vector<std::string>& schemas) {
    std::string name;
    for (const auto& schema : schemas) {
        if (schema.size() > name.size() && entry.rest.starts_with("- " + schema + " ")) name = schema;
    }
    return name;
}

// pg_restore spins for ever where damaged data looks like the early end of a compressed stream: it then takes
// CPU time, and neither reads nor writes. Waiting for a slow volume takes none.
class SpinGuard {
public:
    // True while there is progress, or no CPU time was taken without it.
    bool observe(pid_t pid, int64_t input_bytes, int64_t output_bytes) {
        const double cpu = cpu_seconds(pid);
        if (input_bytes != input_bytes_ || output_bytes != output_bytes_) {
            input_bytes_ = input_bytes;
            output_bytes_ = output_bytes;
            cpu_at_progress_ = cpu;
        }
        return cpu - cpu_at_progress_ < cpu_seconds_without_progress;
    }

private:
    static constexpr double cpu_seconds_without_progress = 3;
    int64_t input_bytes_ = -1, output_bytes_ = -1;
    double cpu_at_progress_ = 0;
};

Failure ends_too_early() {
    return {"DumpDamaged",
            "the dump is damaged: its compressed data ends too early, and pg_restore gets no further"};
}

bool is_made_beforehand(const TocEntry& entry, const Archive& archive, const std::set<std::string>& made) {
    if (entry.description == "EXTENSION") return true;
    if (entry.description == "COMMENT") return entry.rest.starts_with("- EXTENSION ");
    return entry.description == "SCHEMA" &&
           made.contains(schema_of(entry, archive.definitions.schemas.list()));
}

}  // namespace

int64_t Archive::count(const std::string& description) const {
    return std::count_if(entries.begin(), entries.end(),
                         [&](const TocEntry& entry) { return entry.description == description; });
}

void Archive::add_list_line(std::string_view line) {
    constexpr std::string_view database_mark = ";     dbname: ",
                               version_mark = ";     Dumped from database version: ";
    if (line.starts_with(database_mark)) database = line.substr(database_mark.size());
    if (line.starts_with(version_mark)) server_version = line.substr(version_mark.size());
    auto entry = entry_from_line(line);
    is_cut = is_cut || (entry && entries.size() == max_entries);
    if (entry && !is_cut) entries.push_back(std::move(*entry));
}

std::optional<Failure> read_archive(const DumpFile& dump, const RestorePrograms& programs, Archive& archive) {
    if (dump.format() == DumpFormat::sql) {
        backups::FileSource source(dump.reopened());
        int64_t output_bytes = 0;
        return read_script(source, programs.version, archive, output_bytes);
    }
    const std::string& pg_restore = programs.pg_restore;
    if (auto failure = read_list(dump, pg_restore, archive)) return failure;
    if (archive.is_cut)
        return Failure{"UnsupportedFormat",
                       "the dump must have at most " + std::to_string(max_entries) + " entries"};
    if (dump.format() == DumpFormat::directory) {
        if (auto refused = backups::check_file_names(dump.fd())) return refused;
    }
    Run run(dump, {pg_restore, "--schema-only", "--file=-"});
    LineSplitter lines(max_listed_line_bytes);
    run.spec.on_stdout = [&](std::string_view text) {
        lines.feed(text, [&](std::string_view line) { archive.definitions.add_line(line); });
    };
    const auto end = base::run_process(run.spec);
    return judge(end, run.errors);
}

std::optional<Failure> prove_readable(const DumpFile& dump, const std::string& pg_restore,
                                      const std::function<void(int64_t)>& on_bytes, int64_t& output_bytes) {
    Run run(dump, {pg_restore, "--file=-"});
    output_bytes = 0;
    run.spec.on_stdout = [&](std::string_view text) { output_bytes += static_cast<int64_t>(text.size()); };
    SpinGuard guard;
    run.spec.on_tick = [&](pid_t pid) {
        const int64_t bytes = bytes_read_by(pid);
        on_bytes(std::min(bytes, dump.size_bytes()));
        return guard.observe(pid, bytes, output_bytes);
    };
    const auto end = base::run_process(run.spec);
    if (end && end->stopped) return ends_too_early();
    return judge(end, run.errors);
}

std::optional<Failure> prove_streamed(backups::ByteSource& dump, DumpFormat format,
                                      const std::string& pg_restore, int64_t& output_bytes) {
    auto pipe = make_pipe();
    if (!pipe) return Failure{"AgentFailed", to_text(pipe.error())};
    DumpFile read_end(std::move(pipe->read_end), format, 0);
    Run run(read_end, {pg_restore, "--file=-"});
    output_bytes = 0;
    run.spec.on_stdout = [&](std::string_view text) { output_bytes += static_cast<int64_t>(text.size()); };
    std::atomic<int64_t> input_bytes = 0;
    SpinGuard guard;
    run.spec.on_tick = [&](pid_t pid) { return guard.observe(pid, input_bytes, output_bytes); };
    const auto feed = [&](int write_fd) {
        return backups::pump(dump, [&](std::string_view bytes) -> base::Status {
            input_bytes += static_cast<int64_t>(bytes.size());
            // pg_restore stops reading behind the last entry; the rest is read for its own checks.
            [[maybe_unused]] const auto ignored = base::write_all(write_fd, bytes);
            return base::success();
        });
    };
    const auto ran = run_fed(run.spec, std::move(pipe->write_end), feed, [&] { read_end = {}; });
    if (!ran.fed) return backups::to_failure(ran.fed.error());
    if (ran.end && ran.end->stopped) return ends_too_early();
    return judge(ran.end, run.errors);
}

std::vector<std::string> entries_for_superusers(const Archive& archive) {
    std::vector<std::string> found = archive.definitions.for_superusers.list();
    for (const auto& entry : archive.entries) {
        for (const char* description : superuser_descriptions) {
            if (entry.description == description && found.size() < 100)
                found.push_back(entry.description + " " + one_line(entry.rest, 100));
        }
    }
    return found;
}

std::vector<std::string> schemas_made_beforehand(const Archive& archive, bool clean) {
    const auto& made = archive.definitions.schemas.list();
    if (clean) return made;
    std::set<std::string> schemas;
    for (const auto& extension : archive.definitions.extensions) {
        if (std::find(made.begin(), made.end(), extension.schema) != made.end())
            schemas.insert(extension.schema);
    }
    return {schemas.begin(), schemas.end()};
}

std::string list_for_restore(const Archive& archive, bool clean) {
    const auto names = schemas_made_beforehand(archive, clean);
    const std::set<std::string> schemas(names.begin(), names.end());
    std::string list;
    for (const auto& entry : archive.entries) {
        if (!is_made_beforehand(entry, archive, schemas)) list += entry.line + "\n";
    }
    return list;
}

int64_t bytes_read_by(pid_t pid) {
    const std::string process = "/proc/" + std::to_string(pid);
    int64_t bytes = 0;
    if (const auto io = base::read_file(process + "/io", 4096)) {
        if (const size_t at = io->find("rchar: "); at != std::string::npos)
            bytes = std::strtoll(io->c_str() + at + 7, nullptr, 10);
    }
    const auto children = base::read_file(process + "/task/" + std::to_string(pid) + "/children", 65536);
    const char* text = children ? children->c_str() : "";
    for (char* end = nullptr; const long child = std::strtol(text, &end, 10); text = end) {
        if (end == text || child <= 0) break;
        bytes += bytes_read_by(static_cast<pid_t>(child));
    }
    return bytes;
}

}  // namespace dbrestore::agent
