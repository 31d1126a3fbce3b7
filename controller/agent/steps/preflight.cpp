#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cmath>
#include <filesystem>

#include "agent/dump/proof.h"
#include "agent/dump/server_checks.h"
#include "agent/point_in_time/copy.h"
#include "agent/point_in_time/recovery_plan.h"
#include "agent/point_in_time/wal_gap.h"
#include "agent/programs.h"
#include "agent/space.h"
#include "agent/steps/steps.h"
#include "agent/text.h"
#include "base/clock.h"

namespace dbrestore::agent {

namespace {

// Of SQL and data that a restore takes in a second, and what stop, start and checks take; seen on 2 CPUs, and
// cautious.
constexpr int64_t restored_bytes_per_second = 25'000'000, copied_bytes_per_second = 50'000'000,
                  fixed_seconds = 20;
constexpr int oldest_version = 13;
constexpr double most_clock_skew_seconds = 2;

struct Inspection {
    const Context& context;
    Findings findings;
    std::string version;  // of the data directory; empty where it cannot be read
    std::optional<resources::Backup> backup;
    std::optional<ProvenDump> dump;
    std::optional<RecoveryPlan> recovery = std::nullopt;  // of a point in time
    bool may_pass = false;  // something failed that another attempt may find better
    bool server_answers = false;
    bool archives_wal = true;                              // until the server says otherwise
    std::optional<int64_t> database_bytes = std::nullopt;  // of today's
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
        const std::string why = to_text(version.error());
        if (absent)
            return findings.failed("DataDirectoryNotFound", no_data_directory(inspection.context, why));
        return findings.failed("DataDirectoryDamaged", why);
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
    for (const char* program : {"postgres", "pg_restore", "psql", "pg_controldata"}) {
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

void judge_backup(Inspection& inspection, const backups::Failure& failure) {
    // A Secret or a backup that is not there yet may come.
    if (failure.reason == "BackupNotFound" || failure.reason == "StoreSecretMissing" ||
        failure.reason == "RepositorySecretMissing")
        return inspection.findings.missing(failure.reason, failure.message);
    inspection.may_pass = inspection.may_pass || failure.may_pass;
    inspection.findings.failed(failure.reason, failure.message);
}

// What the data volume can spare for a dump that has to be copied to it.
int64_t spare_bytes(const std::string& directory) {
    const auto space = disk_space(directory);
    return space
               ? std::max<int64_t>(space->free_bytes - space->reserve_bytes() - WorkFolder::ballast_bytes, 0)
               : 0;
}

void check_dump(Inspection& inspection) {
    if (inspection.context.request.undo || inspection.context.request.point_in_time) return;
    const Context& context = inspection.context;
    Findings& findings = inspection.findings;
    backups::OpenBackup backup;
    if (const auto failure = open_backup(context, backup)) return judge_backup(inspection, *failure);
    const auto programs = find_restore_programs(inspection.version);
    if (!programs) return findings.failed("ProgramsMissing", to_text(programs.error()));
    inspection.backup = backup.facts;
    const std::string& directory = context.request.data_directory;
    ProvenDump proven;
    if (const auto failure = prove_backup(context, backup, *programs, spare_bytes(directory), proven))
        return judge_backup(inspection, *failure);
    findings.passed("DumpReadable",
                    human_size(inspection.backup->size_bytes) +
                        " read to the last byte: " + std::to_string(proven.archive.count("TABLE")) +
                        " tables, made on PostgreSQL " + one_line(proven.archive.server_version, 60));
    inspection.dump = std::move(proven);
}

void check_kept_files(Inspection& inspection) {
    const auto& request = inspection.context.request;
    if (const auto failure = look_at_kept(WorkFolder(request.data_directory), request.undone_uid))
        return inspection.findings.failed(failure->reason, failure->message);
    std::optional<PgBackRest> repository;
    if (const auto failure = PgBackRest::open(inspection.context, repository))
        return judge_backup(inspection, *failure);
    inspection.findings.passed("PreviousDataKept", "the files that it replaced are there");
}

void check_recovery(Inspection& inspection) {
    if (!inspection.context.request.point_in_time || inspection.version.empty()) return;
    if (inspection.context.request.undo) return check_kept_files(inspection);
    const std::string& directory = inspection.context.request.data_directory;
    RecoveryPlan plan;
    if (const auto failure = plan_recovery(inspection.context, WorkFolder(directory), directory, plan))
        return judge_backup(inspection, *failure);
    if (const auto failure = refuse_gap(inspection.context, plan)) return judge_backup(inspection, *failure);
    inspection.findings.passed("TargetCovered",
                               "from backup " + plan.set.label + " (" + human_size(plan.set.size_bytes) +
                                   "), along timeline " + std::to_string(plan.timeline.id) +
                                   (plan.target == *inspection.context.request.point_in_time
                                        ? ""
                                        : " to its end: the server stood still at that time"));
    if (!plan.unreadable.empty()) inspection.findings.warning("RepositoryUnreadable", plan.unreadable);
    if (!plan.guessed.empty()) inspection.findings.warning("ControlFileUnreadable", plan.guessed);
    inspection.recovery = std::move(plan);
}

// A point in time is one by the clock of the server.
void check_clock(Session& session, Findings& findings) {
    const auto time = session.value(
        "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')");
    const auto theirs = time ? base::parse_time(*time) : std::nullopt;
    if (!theirs) return;
    const double seconds = base::seconds_between(base::SystemClock{}.now(), *theirs);
    if (std::abs(seconds) < most_clock_skew_seconds) return findings.passed("ClockAgrees");
    findings.warning("ClockSkew", "the clock of the database's server is " +
                                      std::to_string(std::llround(std::abs(seconds))) + " s " +
                                      (seconds > 0 ? "ahead of" : "behind") +
                                      " that of this pod; a point in time counts by the server's");
}

// A server that does not answer is often why a point in time is restored.
void check_standbys(Inspection& inspection, const Credentials& credentials) {
    const auto& request = inspection.context.request;
    auto session = Session::open(
        {request.host, request.port, credentials.user, credentials.password, credentials.database});
    if (!session) return inspection.findings.warning("ServerUnreachable", to_text(session.error()));
    const auto standbys = session->value("SELECT count(*) FROM pg_stat_replication");
    if (standbys && *standbys != "0")
        return inspection.findings.failed(
            "StandbysConnected", *standbys +
                                     " standbys or other receivers follow the server; none must, since "
                                     "they cannot follow it back");
    inspection.findings.passed("ServerReachable");
    inspection.server_answers = true;
    check_clock(*session, inspection.findings);
}

// A server that runs commits once more before it stops (`quiesce`): all that is past can be reached.
void check_end(Inspection& inspection) {
    if (!inspection.recovery || inspection.server_answers) return;
    if (const auto failure = refuse_beyond_end(inspection.context, *inspection.recovery))
        judge_backup(inspection, *failure);
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
    if (context.request.point_in_time) return check_standbys(inspection, *credentials);
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
    check_server({*session, credentials->database, inspection.dump ? &inspection.dump->archive : nullptr,
                  context.request.clean, context.request.as_superuser},
                 findings);
    if (context.request.undo) check_kept(*session, context.request.new_database, findings);
    const auto size = session->value("SELECT pg_database_size(current_database())");
    if (size) inspection.database_bytes = std::stoll(*size);
    const auto mode = session->value(
        "SELECT current_setting('archive_mode') <> 'off' OR EXISTS (SELECT FROM pg_replication_slots)");
    if (mode) inspection.archives_wal = *mode == "t";
}

// Mode Clean begins with a copy of today's database; with all of them, where none can be asked for its size.
int64_t bytes_to_copy(const Inspection& inspection) {
    if (inspection.database_bytes) return *inspection.database_bytes;
    return bytes_below(inspection.context.request.data_directory + "/base");
}

// Of the new database.
int64_t expected_bytes(const Inspection& inspection) {
    if (inspection.recovery) return inspection.recovery->set.size_bytes;
    const int64_t bytes = inspection.dump ? inspection.dump->output_bytes : 0;
    return bytes + bytes / 2 + (inspection.context.request.clean ? bytes_to_copy(inspection) : 0);
}

void check_space_for_copy(Inspection& inspection) {
    const auto space = disk_space(inspection.context.request.data_directory);
    if (!space) return inspection.findings.failed("SpaceUnknown", to_text(space.error()));
    const SpaceForCopy wanted = space_for_copy(*space, expected_bytes(inspection));
    if (!wanted.suffices) return inspection.findings.failed("InsufficientSpace", wanted.message);
    inspection.findings.passed("SpaceSuffices", wanted.message);
}

void check_space(Inspection& inspection) {
    if (inspection.recovery) return check_space_for_copy(inspection);
    if (!inspection.dump) return;
    const std::string& directory = inspection.context.request.data_directory;
    const auto space = disk_space(directory);
    if (!space) return inspection.findings.failed("SpaceUnknown", to_text(space.error()));
    const int64_t data = expected_bytes(inspection);
    // WAL that must be archived or is held by a slot stays until the live server runs again.
    const int64_t wal =
        inspection.archives_wal ? data : std::min(data, 2 * moderate_wal_size_mb(directory) * (1 << 20));
    const int64_t staged = inspection.dump->staged_bytes;
    const int64_t needed = data + wal + staged + WorkFolder::ballast_bytes + space->reserve_bytes();
    const std::string message = "about " + human_size(needed) + " are needed beside the old data (" +
                                human_size(data) + " of data, " + human_size(wal) + " of WAL, " +
                                (staged > 0 ? human_size(staged) + " of the dump itself, " : "") +
                                "5 % of the volume stays free); " + human_size(space->free_bytes) +
                                " are free";
    if (needed > space->free_bytes) return inspection.findings.failed("InsufficientSpace", message);
    inspection.findings.passed("SpaceSuffices", message);
}

std::vector<std::string> what_is_lost(const resources::AgentRequest& request) {
    if (request.undo && request.point_in_time)
        return {"everything written to any database of the server since the restore that is undone",
                "the content of unlogged tables"};
    if (request.undo) return {"everything written to the database since the restore that is undone"};
    if (request.point_in_time)
        return {"everything written to any database of the server since that point in time",
                "roles and passwords that were made or changed since",
                "replication slots, and the content of unlogged tables"};
    const bool clean = request.clean;
    return {clean ? "everything written since the dump was made to the objects that the dump holds"
                  : "everything written to the database since the dump was made",
            clean ? "comments on the objects that the dump holds" : "objects that the dump does not hold",
            "owners and privileges of objects that today's database lacks: they go to the database's owner",
            "the placement of tables and indexes in other tablespaces than the database's own"};
}

// All of them always run, so that all that is wrong is reported at once.
constexpr std::array checks{check_volume, check_ledger, check_dump, check_recovery,
                            check_login,  check_end,    check_space};

}  // namespace

AgentResult preflight(const Context& context) {
    Inspection inspection{.context = context, .findings = {}, .version = {}, .backup = {}, .dump = {}};
    for (const auto check : checks) check(inspection);
    AgentResult result;
    const auto* failure = inspection.findings.first_failure();
    result.outcome = failure == nullptr ? AgentResult::Outcome::done : AgentResult::Outcome::failed;
    if (failure != nullptr) result.reason = failure->check;
    if (failure != nullptr && inspection.may_pass && inspection.findings.waiting_for.empty())
        result.outcome = AgentResult::Outcome::retryable;
    result.message = inspection.findings.failures();
    result.findings = std::move(inspection.findings.list);
    result.waiting_for = std::move(inspection.findings.waiting_for);
    result.bytes = expected_bytes(inspection);
    result.chosen = inspection.backup;
    result.estimated_seconds =
        fixed_seconds + (inspection.dump ? inspection.dump->output_bytes : 0) / restored_bytes_per_second;
    if (inspection.recovery)
        result.estimated_seconds = fixed_seconds + result.bytes / copied_bytes_per_second;
    result.what_is_lost = what_is_lost(context.request);
    return result;
}

}  // namespace dbrestore::agent
