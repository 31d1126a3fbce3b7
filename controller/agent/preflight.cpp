#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <filesystem>

#include "agent/archive.h"
#include "agent/journal.h"
#include "agent/programs.h"
#include "agent/server_checks.h"
#include "agent/space.h"
#include "agent/steps.h"
#include "agent/text.h"

namespace dbrestore::agent {

namespace {

// Of SQL and data that a restore takes in a second, and what stop, start and checks take; seen on 2 CPUs, and
// cautious.
constexpr int64_t restored_bytes_per_second = 25'000'000, fixed_seconds = 20;
constexpr int oldest_version = 13;

struct Inspection {
    const Context& context;
    Findings findings;
    std::string version;  // of the data directory; empty where it cannot be read
    std::optional<Archive> archive;
    int64_t output_bytes = 0;  // of SQL and data in the dump
    bool dump_is_sound = false;
    bool archives_wal = true;  // until the server says otherwise
};

// Links that would point elsewhere once the files lie one folder deeper, or at what this pod does not have.
std::optional<std::string> bad_link(const std::string& directory, const std::string& link) {
    std::array<char, PATH_MAX> target{};
    const ssize_t length = ::readlink(link.c_str(), target.data(), target.size() - 1);
    if (length < 0) return std::nullopt;
    const std::string_view path{target.data(), static_cast<size_t>(length)};
    if (!path.starts_with('/')) return link + " is a relative link";
    if (path.starts_with(directory + "/")) return link + " points into the data directory";
    if (::access(link.c_str(), F_OK) != 0)
        return link + " points to " + std::string(path) + ", which is not on the data volume";
    return std::nullopt;
}

void check_volume(Inspection& inspection) {
    const std::string& directory = inspection.context.request.data_directory;
    Findings& findings = inspection.findings;
    const auto version = data_version(directory);
    if (!version) {
        const bool absent = version.error().kind == base::ErrorKind::not_found;
        return findings.failed(absent ? "DataDirectoryNotFound" : "DataDirectoryDamaged",
                               to_text(version.error()));
    }
    inspection.version = *version;
    if (std::stoi(*version) < oldest_version) {
        return findings.failed("UnsupportedVersion", "PostgreSQL " + *version +
                                                         " is not supported; it must be at least " +
                                                         std::to_string(oldest_version));
    }
    std::vector<std::string> links{directory + "/pg_wal"};
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(directory + "/pg_tblspc", ignored))
        links.push_back(entry.path().string());
    for (const auto& link : links) {
        if (const auto bad = bad_link(directory, link))
            findings.failed("VolumeLayout", *bad + ": this layout is not supported");
    }
    for (const char* program : {"postgres", "pg_restore", "pg_controldata"}) {
        if (const auto found = find_program(program, *version); !found)
            findings.failed("ProgramsMissing", to_text(found.error()));
    }
    findings.passed("DataDirectory", "PostgreSQL " + *version);
}

void check_ledger(Inspection& inspection) {
    const auto& request = inspection.context.request;
    const auto entries = WorkFolder(request.data_directory).ledger();
    if (!entries) return inspection.findings.failed("LedgerDamaged", to_text(entries.error()));
    for (const auto& entry : *entries) {
        if (entry.succeeded && entry.restore_name == request.restore_name &&
            entry.restore_uid != request.restore_uid) {
            return inspection.findings.failed("AlreadyExecuted", "a restore named \"" + request.restore_name +
                                                                     "\" succeeded here on " + entry.time +
                                                                     "; choose another name");
        }
    }
}

void check_dump(Inspection& inspection) {
    if (inspection.context.request.undo) return;
    const Context& context = inspection.context;
    Findings& findings = inspection.findings;
    const auto dump = DumpFile::open(context.surroundings.source_directory, context.request.dump_path);
    if (!dump) {
        if (dump.error().kind == base::ErrorKind::not_found)
            return findings.missing("DumpNotFound", to_text(dump.error()));
        return findings.failed(
            dump.error().kind == base::ErrorKind::invalid ? "UnsupportedFormat" : "DumpUnreadable",
            to_text(dump.error()));
    }
    if (dump->size_bytes() == 0)
        return findings.failed("DumpEmpty", "the dump is empty: the file has no content");
    if (const std::string what = dump->foreign_format(); !what.empty()) {
        return findings.failed(
            "UnsupportedFormat",
            "the dump is " + what + "; it must be in PostgreSQL's custom format (pg_dump -Fc)");
    }
    const auto program = find_program("pg_restore", inspection.version);
    if (!program) return findings.failed("ProgramsMissing", to_text(program.error()));
    Archive archive;
    auto failure = read_archive(*dump, *program, archive);
    const auto on_bytes = [&](int64_t bytes) {
        resources::Progress progress;
        progress.summary = "reading the dump: " + human_size(bytes) + " of " + human_size(dump->size_bytes());
        progress.bytes_done = bytes;
        progress.bytes_total = dump->size_bytes();
        progress.percent = bytes * 100 / dump->size_bytes();
        context.report.progress(progress);
    };
    if (!failure) failure = prove_readable(*dump, *program, on_bytes, inspection.output_bytes);
    if (failure) return findings.failed(failure->reason, failure->message);
    inspection.dump_is_sound = true;
    inspection.archive = std::move(archive);
    findings.passed("DumpReadable",
                    human_size(dump->size_bytes()) +
                        " read to the last byte: " + std::to_string(inspection.archive->count("TABLE")) +
                        " tables, made on PostgreSQL " + one_line(inspection.archive->server_version, 60));
}

void check_kept(Session& session, const std::string& name, Findings& findings) {
    const auto size =
        session.value("SELECT pg_database_size(datname) FROM pg_database WHERE datname = $1", {name});
    if (!size) return findings.failed("ServerQueryFailed", to_text(size.error()));
    if (size->empty())
        return findings.failed("PreviousDataGone", "database \"" + name + "\" does not exist any more");
    findings.passed("PreviousDataKept",
                    "database \"" + name + "\" is there, " + human_size(std::stoll(*size)));
}

void check_login(Inspection& inspection) {
    const Context& context = inspection.context;
    Findings& findings = inspection.findings;
    const auto credentials = read_credentials(context);
    if (!credentials) return findings.missing("CredentialsMissing", to_text(credentials.error()));
    if (context.request.host.empty())
        return findings.passed("ServerNotRunning",
                               "the server's own state is checked when its files are at hand");
    auto session = Session::open({context.request.host, context.request.port, credentials->user,
                                  credentials->password, credentials->database});
    if (!session) {
        const auto kind = session.error().kind;
        const char* reason = kind == base::ErrorKind::refused     ? "AuthenticationFailed"
                             : kind == base::ErrorKind::not_found ? "DatabaseNotFound"
                                                                  : "ServerUnreachable";
        return findings.failed(reason, to_text(session.error()));
    }
    findings.passed("ServerReachable");
    check_server({*session, credentials->database, inspection.archive ? &*inspection.archive : nullptr},
                 findings);
    if (context.request.undo) check_kept(*session, context.request.new_database, findings);
    const auto mode = session->value(
        "SELECT current_setting('archive_mode') <> 'off' OR EXISTS (SELECT FROM pg_replication_slots)");
    if (mode) inspection.archives_wal = *mode == "t";
}

int64_t expected_bytes(const Inspection& inspection) {
    return inspection.output_bytes + inspection.output_bytes / 2;
}

void check_space(Inspection& inspection) {
    if (!inspection.dump_is_sound) return;
    const std::string& directory = inspection.context.request.data_directory;
    const auto space = disk_space(directory);
    if (!space) return inspection.findings.failed("SpaceUnknown", to_text(space.error()));
    const int64_t data = expected_bytes(inspection);
    // WAL that must be archived or is held by a slot stays until the live server runs again.
    const int64_t wal =
        inspection.archives_wal ? data : std::min(data, 2 * moderate_wal_size_mb(directory) * (1 << 20));
    const int64_t needed = data + wal + WorkFolder::ballast_bytes + space->reserve_bytes();
    const std::string message = "about " + human_size(needed) + " are needed beside the old data (" +
                                human_size(data) + " of data, " + human_size(wal) +
                                " of WAL, 5 % of the volume stays free); " + human_size(space->free_bytes) +
                                " are free";
    if (needed > space->free_bytes) return inspection.findings.failed("InsufficientSpace", message);
    inspection.findings.passed("SpaceSuffices", message);
}

// All of them always run, so that all that is wrong is reported at once.
constexpr std::array checks{check_volume, check_ledger, check_dump, check_login, check_space};

}  // namespace

AgentResult preflight(const Context& context) {
    Inspection inspection{.context = context, .findings = {}, .version = {}, .archive = {}};
    for (const auto check : checks) check(inspection);
    AgentResult result;
    const auto* failure = inspection.findings.first_failure();
    result.outcome = failure == nullptr ? AgentResult::Outcome::done : AgentResult::Outcome::failed;
    if (failure != nullptr) result.reason = failure->check;
    result.message = inspection.findings.failures();
    result.findings = std::move(inspection.findings.list);
    result.waiting_for = std::move(inspection.findings.waiting_for);
    result.bytes = expected_bytes(inspection);
    result.estimated_seconds = fixed_seconds + inspection.output_bytes / restored_bytes_per_second;
    if (context.request.undo) {
        result.what_is_lost = {"everything written to the database since the restore that is undone"};
        return result;
    }
    result.what_is_lost = {
        "everything written to the database since the dump was made", "objects that the dump does not hold",
        "owners and privileges of objects that today's database lacks: they go to the database's owner",
        "the placement of tables and indexes in other tablespaces than the database's own"};
    return result;
}

}  // namespace dbrestore::agent
