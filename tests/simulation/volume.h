#pragma once
// The database's volume: what lies on it, and who works on it. Databases are told apart by who made them.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

namespace dbrestore::simulation {

struct Database {
    std::string made_by = {};  // the restore's UID; empty: what was there from the beginning
    std::string made_from = {};
    bool whole = true, verified = false, closed = false;
    int64_t client_writes = 0;   // since it was put in place
    std::string placed_by = {};  // the UID of the restore, or Undo, that did; empty: nobody had to
};

enum class JournalState { preparing, prepared, committing, committed, rolled_back };

// As controller/agent/volume/journal.h: what a step finds after the one before it was killed.
struct VolumeJournal {
    JournalState state = JournalState::preparing;
    std::string restore_uid, pod_uid, new_database, old_database;
    bool physical =
        false;          // the databases stand for all files of the server, and for the folders beside them
    bool undo = false;  // new_database is one that an earlier restore kept: under its name, or in its folder
    std::string kept_database;
};

// What a restore keeps, and what it makes, by its UID.
inline std::string kept_name(const std::string& restore_uid) {
    return "dbrestore_old_" + restore_uid.substr(0, 8);
}
inline std::string new_name(const std::string& restore_uid) {
    return "dbrestore_new_" + restore_uid.substr(0, 8);
}

struct Volume {
    std::map<std::string, Database> databases{{"shop", {}}};
    bool hidden = false;  // the tree lies behind the stub, so that no server starts on it
    std::optional<VolumeJournal> journal;
    std::map<std::string, std::string> succeeded;  // the ledger: names of restores, and the UID of each

    std::set<std::string> servers;  // UIDs of database pods whose server runs
    std::set<std::string> writers;  // UIDs of agent pods that may write
    std::string lock_holder;        // UID of the agent pod with the lock file
};

}  // namespace dbrestore::simulation
