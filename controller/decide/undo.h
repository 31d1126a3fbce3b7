#pragma once
// `type: Undo` brings back the database that an earlier restore replaced, while it is kept under another
// name.

#include <optional>
#include <string>

#include "decide/validate.h"
#include "decide/world.h"

namespace dbrestore::decide {

inline bool is_undo(const resources::DatabaseRestore& restore) {
    return restore.spec.type == "Undo";
}

inline bool is_point_in_time(const resources::DatabaseRestore& restore) {
    return restore.spec.type == "PointInTime";
}

// The entry of the server's history that the restore undoes; nothing where the history has none of that name.
const resources::HistoryEntry* undone_entry(const World& world);

// The database that the restore is about; empty: the server's own.
std::string database_of(const World& world);

// Why it can never be undone: its data is gone, or something came after it that must be undone first.
std::optional<Reason> never_undone(const World& world);

// What a restore of this type says of its steps.
struct Words {
    std::string checking, preparing, prepared, verified, committed, succeeded;
};
const Words& words_of(const resources::DatabaseRestore& restore);

}  // namespace dbrestore::decide
