#pragma once
// What the agent remembers on the volume, in <data directory>/.dbrestore, outside the tree that it works on.
//
// - lock: held by flock while a step runs, and by each process of a private server.
// - journal.json: which restore is at work and how far it came; the truth, whatever became of pods and logs.
// - ledger.json: the restores that have ended here; none of the names that succeeded runs again.
// - timelines.json: which timelines restores to a point in time made live, and when.
// - beside-UID/: of such a restore; a copy of the whole server until its commit, from then on the old files.
// - tree/: the database's files while the stub stands in their place (see tree.h).
// - ballast: space that is freed where the disk has filled.

#include <optional>
#include <string>
#include <vector>

#include "agent/surroundings.h"
#include "agent/timelines.h"
#include "agent/volume/exchange.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace dbrestore::agent {

inline constexpr const char* work_folder_name = ".dbrestore";

struct Journal {
    enum class State {
        preparing,    // the new database is being made; the old one is untouched
        prepared,     // the new database is whole
        committing,   // the renames may have happened: the catalog tells
        committed,    // they have
        rolled_back,  // nothing of this restore is left
    } state = State::preparing;
    std::string restore_uid, restore_name,
        pod_uid;  // with attempt: the epoch. A step that is not of it must not act
    int64_t attempt = 1;
    int64_t sequence = 0;       // the highest that worked here: a Job with a lower one comes too late
    bool rolling_back = false;  // a rollback has begun: whatever `state` says, only that may go on
    bool undo = false;          // new_database is one that an earlier restore kept, and is never dropped
    bool clean = false;         // new_database began as a copy of `database`
    bool as_superuser = false;  // `role` is one
    std::string database, new_database, old_database, role;
    int64_t tables = 0;        // that the dump holds
    int64_t old_bytes = 0;     // size of the database that was renamed
    bool was_unclean = false;  // the server had not been shut down cleanly

    bool physical = false;  // the whole server is taken to a point in time, by a copy beside it
    // From the commit on, which folder holds what. The one that lies beside tells whether they were
    // exchanged.
    TreeId old_tree{}, copy{};
    int64_t old_timeline = 0;               // that was live before
    resources::RecoveredTo recovered_to{};  // once prepared
    bool copy_served = false;               // on the way back: a server has run on the copy since the commit
    std::string undone_uid{};               // of an undo: the restore that kept what lies beside
    std::string
        copy_control{};  // digest of the copy's pg_control at the commit: a server that ran changes it
    bool old_unreadable = false;  // pg_control of the old files was, before the copy was made

    bool at_work() const { return state != State::rolled_back && state != State::committed; }
};

// A restore that has ended here: its Jobs do nothing any more. A name that succeeded runs never again.
struct LedgerEntry {
    std::string restore_name, restore_uid, time;
    bool succeeded = true;
};

// What is written in the two files. Nothing where the text cannot be understood.
std::string to_text(const Journal& journal);
std::optional<Journal> journal_from_text(const std::string& text);
std::string to_text(const std::vector<LedgerEntry>& ledger);
std::optional<std::vector<LedgerEntry>> ledger_from_text(const std::string& text);

class WorkFolder {
public:
    explicit WorkFolder(std::string data_directory);

    const std::string& data_directory() const { return data_directory_; }
    const std::string& path() const { return path_; }
    std::string tree() const { return path_ + "/tree"; }
    // The name in it of the folder that lies beside the tree.
    static std::string beside_name(const std::string& restore_uid) { return "beside-" + restore_uid; }
    std::string beside(const std::string& restore_uid) const {
        return path_ + "/" + beside_name(restore_uid);
    }

    // Where else WAL may lie that is not archived: the database's files, behind the stub or not, and what
    // restores keep.
    std::vector<std::string> other_trees(const std::string& tree) const;

    bool exists() const;
    // Makes the folder, and takes the lock, which a dying private server may hold for a little longer: waits
    // a minute. Errors: conflict where another agent holds it; io.
    base::Status lock();
    int lock_fd() const { return lock_.get(); }
    // For a private server to inherit, and for nobody else: a later one waits until each process of it is
    // gone, those too that outlived their postmaster. Waits and fails as lock() does.
    base::Result<base::UniqueFd> lock_for_server() const;

    // Nothing where there is none. Errors: io; invalid.
    base::Result<std::optional<Journal>> load() const;
    base::Status save(const Journal& journal) const;
    // Before whatever cannot be taken back: the journal still says what we wrote. Errors: conflict.
    base::Status still_ours(const Journal& journal) const;

    base::Result<std::vector<LedgerEntry>> ledger() const;
    // One entry a restore_uid: a later one takes the place of the earlier.
    base::Status add_to_ledger(LedgerEntry entry) const;

    base::Result<std::vector<LiveTimeline>> timelines() const;
    base::Status save_timelines(const std::vector<LiveTimeline>& timelines) const;

    static constexpr int64_t ballast_bytes = 64 << 20;
    // As much that really lies on the disk. Errors: io.
    base::Status write_ballast() const;
    void free_ballast() const;

private:
    base::Status save_ledger(const std::vector<LedgerEntry>& entries) const;

    std::string data_directory_, path_;
    base::UniqueFd lock_;
};

}  // namespace dbrestore::agent
