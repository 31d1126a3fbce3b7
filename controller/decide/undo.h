#pragma once
// `type: Undo` brings back what an earlier restore replaced, while it is kept: a database under another name,
// or all files of the server in a folder beside them.

#include <optional>
#include <string>

#include "decide/validate.h"
#include "decide/world.h"

namespace dbrestore::decide {

// Of status.previousData.directory; what follows is the UID of the restore that keeps it.
inline const std::string kept_directory_prefix = ".dbrestore/beside-";

inline bool is_undo(const resources::DatabaseRestore& restore) {
    return restore.spec.type == "Undo";
}

inline bool is_point_in_time(const resources::DatabaseRestore& restore) {
    return restore.spec.type == "PointInTime";
}

// Of an undo, once its target is named: what comes back are all files of the server, and not one database.
bool brings_files_back(const resources::DatabaseRestore& restore);

// All databases of the server come from its own files, as they were once: with its repository at hand.
bool is_physical(const resources::DatabaseRestore& restore);

// The entry of the server's history that the restore undoes; nothing where the history has none of that name.
const resources::HistoryEntry* undone_entry(const World& world);

// The database that the restore is about; empty: the server's own.
std::string database_of(const World& world);

// Why it can never be undone: its data is gone, or something came after it that must be undone first.
std::optional<Reason> never_undone(const World& world);

// What a restore keeps of the data that it replaces, without its expiry.
resources::PreviousData kept_data(const resources::DatabaseRestore& restore, int64_t size_bytes);
// The same in words: the old database "…", the old files in ….
std::string kept_data_text(const resources::DatabaseRestore& restore);

// What a restore of this type says of its steps.
struct Words {
    std::string checking, preparing, prepared, verified, committing, committed, succeeded;
};
const Words& words_of(const resources::DatabaseRestore& restore);

}  // namespace dbrestore::decide
