#include "decide/undo.h"

#include <algorithm>

#include "decide/jobs.h"

namespace dbrestore::decide {

using resources::HistoryEntry;

namespace {

bool changed_data(const HistoryEntry& entry) {
    return entry.result == "Succeeded" || entry.keeps_data();
}

// A name that has failed may run again: what was named when the Undo joined the queue is then not the newest.
bool waited_for_another_run(const World& world, const HistoryEntry& entry) {
    const auto& status = world.restore.status;
    return status.phase == resources::Phase::validating && status.source_name != entry.previous_database &&
           status.source_name != entry.previous_directory;
}

}  // namespace

bool brings_files_back(const resources::DatabaseRestore& restore) {
    return is_undo(restore) && restore.status.source_name.starts_with(kept_directory_prefix);
}

bool is_physical(const resources::DatabaseRestore& restore) {
    return is_point_in_time(restore) || brings_files_back(restore);
}

const HistoryEntry* undone_entry(const World& world) {
    if (!world.server) return nullptr;
    // A name may have failed before it succeeded: the newest counts.
    const HistoryEntry* found = nullptr;
    for (const auto& entry : world.server->status.history) {
        if (entry.restore == world.restore.spec.undo_name) found = &entry;
    }
    return found;
}

std::string database_of(const World& world) {
    if (!is_undo(world.restore)) return world.restore.spec.logical_database;
    const HistoryEntry* entry = undone_entry(world);
    return entry == nullptr ? "" : entry->database;
}

std::optional<Reason> never_undone(const World& world) {
    const std::string name = "DatabaseRestore \"" + world.restore.spec.undo_name + "\"";
    const HistoryEntry* entry = undone_entry(world);
    if (entry == nullptr) return std::nullopt;  // it may not have ended yet
    if (!entry->keeps_data() || entry->cleanup_attempt != 0) {
        return Reason{"PreviousDataGone", "the data that " + name +
                                              " replaced is not kept (any more); `spec.undo.restoreRef` must "
                                              "name a restore whose `status.previousData` is available"};
    }
    if (waited_for_another_run(world, *entry))
        return Reason{"NotTheNewest", name +
                                          " ran once more while this waited for its turn; another Undo "
                                          "brings back what that run replaced"};
    const auto& history = world.server->status.history;
    for (auto later = history.begin() + (entry - history.data()) + 1; later != history.end(); ++later) {
        if (changed_data(*later)) {
            return Reason{"NotTheNewest", "DatabaseRestore \"" + later->restore +
                                              "\" changed the server after " + name +
                                              "; `spec.undo.restoreRef` must name the newest one"};
        }
    }
    return std::nullopt;
}

resources::PreviousData kept_data(const resources::DatabaseRestore& restore, int64_t size_bytes) {
    const std::string& uid = restore.meta.uid;
    if (is_physical(restore)) return {true, "", size_bytes, std::nullopt, kept_directory_prefix + uid};
    return {true, old_database_name(uid), size_bytes, std::nullopt, ""};
}

std::string kept_data_text(const resources::DatabaseRestore& restore) {
    const auto kept = kept_data(restore, 0);
    return kept.directory.empty() ? "the old database is kept as \"" + kept.database + "\""
                                  : "the old files are kept in " + kept.directory + " of the data directory";
}

const Words& words_of(const resources::DatabaseRestore& restore) {
    static const Words of_dump{.checking = "checking the dump to its last byte, and the server",
                               .preparing = "restoring the dump into a new database",
                               .prepared = "the dump is restored; verifying the new database",
                               .verified = "the new database is verified; exchanging it with the old one",
                               .committing = "exchanging the databases",
                               .committed = "the restored database has taken the old one's name",
                               .succeeded = "the dump is restored"};
    static const Words of_undo{.checking = "checking the kept database, and the server",
                               .preparing = "opening the kept database",
                               .prepared = "the kept database is there; verifying it",
                               .verified = "the kept database is verified; exchanging it with today's",
                               .committing = "exchanging the databases",
                               .committed = "the kept database has its name back",
                               .succeeded = "the earlier restore is undone"};
    static const Words of_point{.checking = "checking the repository, and what the point in time needs",
                                .preparing = "recovering a copy of the server to the point in time",
                                .prepared = "the copy is recovered; verifying it",
                                .verified = "the copy is verified; exchanging it with the old files",
                                .committing = "exchanging the files with the copy",
                                .committed = "the recovered copy has taken the place of the old files",
                                .succeeded = "the server is at the point in time"};
    static const Words of_files{.checking = "checking the kept files, and the server",
                                .preparing = "opening the kept files",
                                .prepared = "the kept files are whole; verifying them",
                                .verified = "the kept files are verified; exchanging them with today's",
                                .committing = "exchanging the files",
                                .committed = "the kept files are in their place again",
                                .succeeded = "the earlier restore is undone"};
    if (brings_files_back(restore)) return of_files;
    return is_undo(restore) ? of_undo : is_point_in_time(restore) ? of_point : of_dump;
}

}  // namespace dbrestore::decide
