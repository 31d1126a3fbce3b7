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
    int64_t client_writes = 0;
};

enum class JournalState { preparing, prepared, committing, committed, rolled_back };

// As controller/agent/journal.h: what a step finds after the one before it was killed.
struct VolumeJournal {
    JournalState state = JournalState::preparing;
    std::string restore_uid, pod_uid, new_database, old_database;
    bool physical =
        false;  // the databases stand for all files of the server, and for the folders beside them
};

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
