#include "agent/volume/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/files.h"
#include "resources/json_fields.h"

namespace dbrestore::agent {

namespace {

using base::error;
using base::ErrorKind;
using resources::text_at;

// Only successes are remembered for ever.
constexpr int64_t max_failed_entries = 1000;
constexpr std::chrono::seconds lock_patience{60};
constexpr std::array state_names{"Preparing", "Prepared", "Committing", "Committed", "RolledBack"};

std::string text_of(Journal::State state) {
    return state_names.at(static_cast<size_t>(state));
}

std::string dump(const nlohmann::json& document) {
    return document.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

// An inode may need all 64 bits, which a number of JSON does not have everywhere.
nlohmann::json to_json(const TreeId& id) {
    return nlohmann::json::object({{"inode", std::to_string(id.inode)}});
}

TreeId tree_id_from_json(const nlohmann::json& document) {
    return {std::strtoull(text_at(document, "inode").c_str(), nullptr, 10)};
}

base::Result<base::UniqueFd> take_lock(const std::string& file) {
    base::UniqueFd fd{::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)};
    if (!fd) return base::io_error("cannot open " + file);
    const auto deadline = std::chrono::steady_clock::now() + lock_patience;
    while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) return base::io_error("cannot lock " + file);
        if (std::chrono::steady_clock::now() > deadline)
            return error(ErrorKind::conflict, "another agent, or its private server, holds " + file);
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    return fd;
}

}  // namespace

std::string to_text(const Journal& j) {
    nlohmann::json document = {{"state", text_of(j.state)},
                               {"restoreUID", j.restore_uid},
                               {"restoreName", j.restore_name},
                               {"podUID", j.pod_uid},
                               {"attempt", j.attempt},
                               {"sequence", j.sequence},
                               {"rollingBack", j.rolling_back},
                               {"undo", j.undo},
                               {"clean", j.clean},
                               {"asSuperuser", j.as_superuser},
                               {"database", j.database},
                               {"newDatabase", j.new_database},
                               {"oldDatabase", j.old_database},
                               {"role", j.role},
                               {"tables", j.tables},
                               {"oldBytes", j.old_bytes},
                               {"wasUnclean", j.was_unclean}};
    if (j.physical)
        document["physical"] = {{"oldTree", to_json(j.old_tree)}, {"copy", to_json(j.copy)},
                                {"oldTimeline", j.old_timeline},  {"recoveredTo", to_json(j.recovered_to)},
                                {"copyServed", j.copy_served},    {"copyControl", j.copy_control},
                                {"undoneUID", j.undone_uid},      {"oldUnreadable", j.old_unreadable}};
    return dump(document);
}

std::optional<Journal> journal_from_text(const std::string& text) {
    const auto document = nlohmann::json::parse(text, nullptr, false);
    Journal j;
    bool known = false;
    for (size_t i = 0; i < state_names.size(); ++i) {
        if (text_at(document, "state") != state_names.at(i)) continue;
        j.state = static_cast<Journal::State>(i);
        known = true;
    }
    if (!known) return std::nullopt;
    j.restore_uid = text_at(document, "restoreUID");
    j.restore_name = text_at(document, "restoreName");
    j.pod_uid = text_at(document, "podUID");
    j.attempt = resources::integer_at(document, "attempt", 1);
    j.sequence = resources::integer_at(document, "sequence");
    j.rolling_back = resources::flag_at(document, "rollingBack");
    j.undo = resources::flag_at(document, "undo");
    j.clean = resources::flag_at(document, "clean");
    j.as_superuser = resources::flag_at(document, "asSuperuser");
    j.database = text_at(document, "database");
    j.new_database = text_at(document, "newDatabase");
    j.old_database = text_at(document, "oldDatabase");
    j.role = text_at(document, "role");
    j.tables = resources::integer_at(document, "tables");
    j.old_bytes = resources::integer_at(document, "oldBytes");
    j.was_unclean = resources::flag_at(document, "wasUnclean");
    j.physical = resources::present_at(document, "physical");
    j.old_tree = tree_id_from_json(resources::field(document, "physical.oldTree"));
    j.copy = tree_id_from_json(resources::field(document, "physical.copy"));
    j.old_timeline = resources::integer_at(document, "physical.oldTimeline");
    j.recovered_to = resources::recovered_to_from_json(resources::field(document, "physical.recoveredTo"));
    j.copy_served = resources::flag_at(document, "physical.copyServed");
    j.copy_control = text_at(document, "physical.copyControl");
    j.undone_uid = text_at(document, "physical.undoneUID");
    j.old_unreadable = resources::flag_at(document, "physical.oldUnreadable");
    return j;
}

std::string to_text(const std::vector<LedgerEntry>& ledger) {
    nlohmann::json document = nlohmann::json::array();
    for (const auto& entry : ledger) {
        document.push_back({{"restoreName", entry.restore_name},
                            {"restoreUID", entry.restore_uid},
                            {"time", entry.time},
                            {"succeeded", entry.succeeded}});
    }
    return dump(document);
}

std::optional<std::vector<LedgerEntry>> ledger_from_text(const std::string& text) {
    const auto document = nlohmann::json::parse(text, nullptr, false);
    if (!document.is_array()) return std::nullopt;
    std::vector<LedgerEntry> ledger;
    for (const auto& entry : document) {
        ledger.push_back({text_at(entry, "restoreName"), text_at(entry, "restoreUID"), text_at(entry, "time"),
                          resources::flag_at(entry, "succeeded", true)});
    }
    return ledger;
}

WorkFolder::WorkFolder(std::string data_directory)
    : data_directory_(std::move(data_directory)), path_(data_directory_ + "/" + work_folder_name) {}

std::vector<std::string> WorkFolder::other_trees(const std::string& tree) const {
    std::vector<std::string> trees{data_directory_, this->tree()};
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(path_, ignored)) {
        if (entry.path().filename().string().starts_with(beside_name(""))) trees.push_back(entry.path());
    }
    std::erase(trees, tree);
    std::ranges::sort(trees);
    return trees;
}

bool WorkFolder::exists() const {
    struct stat status {};
    return ::lstat(path_.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

base::Status WorkFolder::lock() {
    if (::mkdir(path_.c_str(), 0700) != 0 && errno != EEXIST) return base::io_error("cannot make " + path_);
    if (!exists()) return error(ErrorKind::invalid, path_ + " must be a folder");
    auto held = take_lock(path_ + "/lock");
    if (!held) return held.error();
    lock_ = std::move(*held);
    return base::success();
}

base::Result<base::UniqueFd> WorkFolder::lock_for_server() const {
    return take_lock(path_ + "/server.lock");
}

base::Result<std::optional<Journal>> WorkFolder::load() const {
    const auto text = base::read_file(path_ + "/journal.json");
    if (!text && text.error().kind == ErrorKind::not_found) return std::optional<Journal>();
    if (!text) return text.error();
    auto journal = journal_from_text(*text);
    if (!journal) return error(ErrorKind::invalid, path_ + "/journal.json cannot be understood");
    return journal;
}

base::Status WorkFolder::save(const Journal& journal) const {
    return base::write_file_durably(path_ + "/journal.json", to_text(journal));
}

base::Status WorkFolder::still_ours(const Journal& journal) const {
    const auto saved = load();
    if (!saved) return saved.error();
    const auto& other = *saved;
    if (other && other->restore_uid == journal.restore_uid && other->attempt == journal.attempt &&
        other->pod_uid == journal.pod_uid) {
        return base::success();
    }
    return error(ErrorKind::conflict, "another agent has taken over " + path_);
}

base::Result<std::vector<LedgerEntry>> WorkFolder::ledger() const {
    const auto text = base::read_file(path_ + "/ledger.json");
    if (!text && text.error().kind == ErrorKind::not_found) return std::vector<LedgerEntry>{};
    if (!text) return text.error();
    auto entries = ledger_from_text(*text);
    if (!entries) return error(ErrorKind::invalid, path_ + "/ledger.json cannot be understood");
    return std::move(*entries);
}

base::Status WorkFolder::add_to_ledger(LedgerEntry entry) const {
    auto entries = ledger();
    if (!entries) return entries.error();
    const auto of_the_same = [&](const LedgerEntry& known) { return known.restore_uid == entry.restore_uid; };
    if (std::ranges::any_of(*entries, [&](const LedgerEntry& known) {
            return of_the_same(known) && known.succeeded == entry.succeeded;
        }))
        return base::success();
    std::erase_if(*entries, of_the_same);
    entries->push_back(std::move(entry));
    const auto failed = [](const LedgerEntry& known) { return !known.succeeded; };
    if (std::ranges::count_if(*entries, failed) > max_failed_entries)
        entries->erase(std::ranges::find_if(*entries, failed));
    return save_ledger(*entries);
}

base::Status WorkFolder::save_ledger(const std::vector<LedgerEntry>& entries) const {
    return base::write_file_durably(path_ + "/ledger.json", to_text(entries));
}

base::Result<std::vector<LiveTimeline>> WorkFolder::timelines() const {
    const auto text = base::read_file(path_ + "/timelines.json");
    if (!text && text.error().kind == ErrorKind::not_found) return std::vector<LiveTimeline>{};
    if (!text) return text.error();
    auto timelines = live_timelines_from_text(*text);
    if (!timelines) return error(ErrorKind::invalid, path_ + "/timelines.json cannot be understood");
    return std::move(*timelines);
}

base::Status WorkFolder::save_timelines(const std::vector<LiveTimeline>& timelines) const {
    return base::write_file_durably(path_ + "/timelines.json", to_text(timelines));
}

base::Status WorkFolder::write_ballast() const {
    const std::string file = path_ + "/ballast";
    const base::UniqueFd fd{::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)};
    if (!fd) return base::io_error("cannot create " + file);
    if (const int code = ::posix_fallocate(fd.get(), 0, ballast_bytes); code != 0) {
        return base::io_error("cannot reserve 64 MiB in " + file, code);
    }
    return base::success();
}

void WorkFolder::free_ballast() const {
    ::unlink((path_ + "/ballast").c_str());
}

}  // namespace dbrestore::agent
