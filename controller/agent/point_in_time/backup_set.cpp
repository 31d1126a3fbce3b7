#include "agent/point_in_time/backup_set.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <tuple>

#include "agent/text.h"
#include "base/clock.h"
#include "resources/json_fields.h"

namespace dbrestore::agent {

namespace {

using backups::Failure;
using nlohmann::json;
using resources::field;
using resources::integer_at;
using resources::text_at;

// Codes of pgBackRest's info.
constexpr int64_t status_ok = 0, status_no_backup = 2;
constexpr int64_t status_no_path = 1, status_no_stanza = 3;

bool is_stamp(std::string_view text) {
    for (size_t i = 0; i < text.size(); ++i) {
        if (i == 8 ? text[i] != '-' : text[i] < '0' || text[i] > '9') return false;
    }
    return text.size() == 15;
}

// It becomes an argument, so nothing else gets through.
bool is_label(std::string_view label) {
    if (label.size() == 16) return is_stamp(label.substr(0, 15)) && label[15] == 'F';
    return label.size() == 33 && is_label(label.substr(0, 16)) && label[16] == '_' &&
           is_stamp(label.substr(17, 15)) && (label[32] == 'D' || label[32] == 'I');
}

// A system identifier needs all 64 bits.
std::string exact_number(const json& value) {
    return value.is_number_unsigned() ? std::to_string(value.get<uint64_t>()) : std::string();
}

// The database of which a backup is one, by its number in its repository.
const json* database_of(const json& stanza, const json& backup) {
    for (const auto& database : resources::list_at(stanza, "db")) {
        if (field(database, "id") == field(backup, "database.id") &&
            integer_at(database, "repo-key", 1) == integer_at(backup, "database.repo-key", 1))
            return &database;
    }
    return nullptr;
}

// Empty where the version is none: it becomes part of a path.
std::string archive_of(const json& database) {
    const std::string version = text_at(database, "version");
    if (version.empty() || version.find_first_not_of("0123456789.") != std::string::npos) return {};
    return version + "-" + std::to_string(integer_at(database, "id"));
}

std::optional<BackupSet> set_from_json(const json& stanza, const json& backup) {
    const auto timeline = timeline_of_segment(text_at(backup, "archive.stop"));
    const auto start = lsn_from_text(text_at(backup, "lsn.start"));
    const auto stop = lsn_from_text(text_at(backup, "lsn.stop"));
    const json* database = database_of(stanza, backup);
    const std::string label = text_at(backup, "label");
    const int64_t stopped = integer_at(backup, "timestamp.stop");
    if (!is_label(label) || !timeline || !start || !stop || *stop < *start || stopped <= 0 ||
        database == nullptr)
        return std::nullopt;
    return BackupSet{label,
                     integer_at(backup, "database.repo-key", 1),
                     *timeline,
                     *start,
                     *stop,
                     stopped,
                     std::max<int64_t>(integer_at(backup, "info.size"), 0),
                     resources::flag_at(backup, "error"),
                     exact_number(field(*database, "system-id")),
                     text_at(*database, "version"),
                     archive_of(*database)};
}

std::optional<Failure> judge_status(const json& stanza, const std::string& name) {
    const int64_t code = integer_at(stanza, "status.code", -1);
    if (code == status_ok || code == status_no_backup) return std::nullopt;
    if (code == status_no_path || code == status_no_stanza)
        return Failure{"StanzaNotFound", "the repository holds no stanza \"" + one_line(name, 128) + "\""};
    // Backups of a repository that can be read count, whatever became of the others.
    if (!resources::list_at(stanza, "backup").empty()) return std::nullopt;
    std::string why = text_at(stanza, "status.message");
    for (const auto& repository : resources::list_at(stanza, "repo")) {
        if (integer_at(repository, "status.code") != status_ok) why = text_at(repository, "status.message");
    }
    return Failure{"RepositoryUnreadable", "the repository cannot be read: " + one_line(why, max_told_bytes),
                   true};
}

// Up to which position WAL of `id` belongs to this timeline; nothing where it is no part of it.
std::optional<uint64_t> end_on(const Timeline& timeline, int64_t id) {
    if (timeline.id == id) return UINT64_MAX;
    std::optional<uint64_t> end;
    for (const auto& fork : timeline.forks) {
        if (fork.parent == id) end = fork.lsn;
        // A recovery along a timeline may end before that one begins, and fork there.
        if (end) end = std::min(*end, fork.lsn);
    }
    return end;
}

bool reaches(const BackupSet& set, const resources::PointInTime& target) {
    if (!target.time.empty()) {
        const auto time = base::parse_time(target.time);
        return time && certain_end(set) <= *time;
    }
    if (target.lsn.empty()) return true;
    const auto lsn = lsn_from_text(target.lsn);
    return lsn && set.stop_lsn <= *lsn;
}

bool is_foreign(const BackupSet& set, const Identity& identity) {
    return set.system_identifier != identity.system_identifier || set.version != identity.version;
}

// Those from which WAL of this timeline leads on.
std::vector<BackupSet> usable_sets(const std::vector<BackupSet>& sets, const Identity& identity,
                                   const Timeline& timeline) {
    std::vector<BackupSet> usable;
    for (const auto& set : sets) {
        const auto end = end_on(timeline, set.timeline);
        if (!is_foreign(set, identity) && !set.damaged && end && set.stop_lsn <= *end) usable.push_back(set);
    }
    return usable;
}

std::string earliest_of(const std::vector<BackupSet>& sets) {
    const BackupSet& first = *std::ranges::min_element(sets, {}, &BackupSet::stop_lsn);
    return base::format_time(certain_end(first)) + ", at " + lsn_to_text(first.stop_lsn);
}

}  // namespace

std::optional<Failure> backup_sets_from_info(const std::string& json_text, const std::string& stanza,
                                             std::vector<BackupSet>& sets) {
    const json document = json::parse(json_text, nullptr, false);
    if (!document.is_array())
        return Failure{"RepositoryDamaged", "what pgBackRest tells of the repository cannot be understood"};
    for (const auto& found : document) {
        if (text_at(found, "name") != stanza) continue;
        if (auto failure = judge_status(found, stanza)) return failure;
        for (const auto& backup : resources::list_at(found, "backup")) {
            if (auto set = set_from_json(found, backup)) sets.push_back(std::move(*set));
        }
        return std::nullopt;
    }
    return Failure{"StanzaNotFound", "the repository holds no stanza \"" + one_line(stanza, 128) + "\""};
}

base::Time certain_end(const BackupSet& set) {
    return base::Time{std::chrono::seconds{set.stop_seconds + 1}};
}

std::string unreadable_repositories(const std::string& json_text, const std::string& stanza) {
    const json document = json::parse(json_text, nullptr, false);
    std::string text;
    for (const auto& found : document.is_array() ? document : json::array()) {
        if (text_at(found, "name") != stanza) continue;
        for (const auto& repository : resources::list_at(found, "repo")) {
            const int64_t code = integer_at(repository, "status.code", -1);
            if (code == status_ok || code == status_no_backup) continue;
            text += (text.empty() ? "repository " : "; repository ") +
                    std::to_string(integer_at(repository, "key")) +
                    " cannot be read: " + one_line(text_at(repository, "status.message"), 200);
        }
    }
    return text;
}

const BackupSet* newest_backup_set(const std::vector<BackupSet>& sets, const std::string& version) {
    const BackupSet* newest = nullptr;
    for (const auto& set : sets) {
        if (set.version == version && (newest == nullptr || newest->stop_seconds < set.stop_seconds))
            newest = &set;
    }
    return newest;
}

std::optional<Failure> choose_backup_set(const std::vector<BackupSet>& sets, const Identity& identity,
                                         const Timeline& timeline, const resources::PointInTime& target,
                                         BackupSet& chosen) {
    std::vector<BackupSet> usable = usable_sets(sets, identity, timeline);
    if (!sets.empty() &&
        std::ranges::all_of(sets, [&](const BackupSet& set) { return is_foreign(set, identity); }))
        return Failure{"AnotherCluster",
                       "the repository's backups are of another server: its system "
                       "identifier is " +
                           one_line(sets.front().system_identifier, 40) + " on PostgreSQL " +
                           one_line(sets.front().version, 20) + ", the database's is " +
                           identity.system_identifier + " on PostgreSQL " + identity.version};
    if (usable.empty())
        return Failure{"NoBackup", "the repository holds no backup that leads to timeline " +
                                       std::to_string(timeline.id)};
    const std::string earliest = earliest_of(usable);
    std::erase_if(usable, [&](const BackupSet& set) { return !reaches(set, target); });
    if (usable.empty())
        return Failure{"TargetTooEarly", "the point in time must not be earlier than " + earliest +
                                             ", the end of the oldest backup that leads to it; it may be "
                                             "any from there on"};
    const auto order = [](const BackupSet& set) { return std::tie(set.stop_lsn, set.label); };
    const bool is_anywhere = !target.xid.empty() || !target.name.empty();
    chosen = is_anywhere ? *std::ranges::min_element(usable, {}, order)
                         : *std::ranges::max_element(usable, {}, order);
    return std::nullopt;
}

std::string earliest_point(const std::vector<BackupSet>& sets, const Identity& identity,
                           const Timeline& timeline) {
    const auto usable = usable_sets(sets, identity, timeline);
    return usable.empty() ? std::string() : earliest_of(usable);
}

}  // namespace dbrestore::agent
