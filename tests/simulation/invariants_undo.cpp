// What a restore keeps, until it expires or an Undo brings it back: the data that was replaced, and no other.

#include "resources/json_fields.h"
#include "simulation/agent.h"
#include "simulation/invariants.h"

namespace dbrestore::simulation {

using resources::DatabaseRestore;
using resources::list_at;
using resources::present_at;
using resources::text_at;

void Invariants::round_begins(size_t number) {
    rounds_[number] = {false, clock_.now(), clock_.now()};
    for (const auto& [key, server] : store_.all("postgresservers").objects)
        rounds_[number].locked_by = text_at(server.document, "status.activeRestore.uid");
}

// What has expired waits while a restore is under way: that may be the Undo which brings it back. Where the
// lock was taken after the look, the agents and the volume settle it between them.
void Invariants::cleanup_begins(const json& job) {
    const std::string& locked_by = rounds_[acting_operator].locked_by;
    for (const auto& [key, server] : store_.all("postgresservers").objects) {
        const std::string holder = text_at(server.document, "status.activeRestore.uid");
        if (!holder.empty() && holder == locked_by)
            broken("I3: " + text_at(job, "metadata.name") + " drops old data while " +
                   text_at(server.document, "status.activeRestore.name") + " is under way");
    }
}

// An Undo, and what is left of one that vanished, is about the database of the restore that it undoes.
void Invariants::check_database(const json& job) {
    const auto request = request_of(job);
    if (request && !wanted_database.empty() && request->database != wanted_database)
        broken("Job " + text_at(job, "metadata.name") + " is about database \"" + request->database +
               "\", and not \"" + wanted_database + "\"");
}

bool Invariants::is_needed_by_an_undo(const std::string& name) const {
    for (const auto& [key, volume] : volumes_) {
        const auto& journal = volume.journal;
        if (journal && journal->undo && journal->new_database == name &&
            journal->state != JournalState::committed && journal->state != JournalState::rolled_back)
            return true;
    }
    return false;
}

// It goes back one step, from what the undone restore had put in place to what that had replaced.
void Invariants::undo_exchanges(const Database& live, const Database& returning, const std::string& uid) {
    const auto undo = undoes_.find(uid);
    if (undo == undoes_.end()) return;
    const auto undone = in_place_.find(undo->second);
    if (undone == in_place_.end())
        return broken("I3: an Undo exchanges what " + undo->second + " never replaced");
    if (live.placed_by != undone->second)
        broken("I3: an Undo of " + undo->second + " goes back behind a later restore");
    if (returning.made_by != replaced_[undone->second])
        broken("I3: an Undo of " + undo->second + " brings back other data than that replaced");
}

// It has ended, and its data is served, by whatever way: then what was there before it is kept.
void Invariants::data_is_in_place(const DatabaseRestore& restore, const Volume& volume) {
    const std::string& uid = restore.meta.uid;
    in_place_[restore.spec.server_name + "/" + restore.meta.name] = uid;
    const auto kept = volume.databases.find(kept_name(uid));
    if (kept == volume.databases.end() || !kept->second.closed || kept->second.made_by != replaced_[uid])
        broken("I3: " + restore.meta.name + " does not keep what it replaced");
}

void Invariants::kept_is_there(const DatabaseRestore& restore) {
    const auto& kept = restore.status.previous_data;
    const Volume* volume = volume_of(restore.spec.server_name, restore.meta.namespace_name);
    if (volume == nullptr || !kept || !kept->available) return;
    // Who ends a vanished Undo cannot know whether it had brought that back, and tells of it until it
    // expires.
    for (const auto& [uid, undone] : undoes_) {
        if (undone == restore.spec.server_name + "/" + restore.meta.name && vanished_in_place_.contains(uid))
            return;
    }
    if (!volume->databases.contains(kept_name(restore.meta.uid)) && !is_being_removed(restore.meta.uid))
        broken("I3: " + restore.meta.name + " tells of old data that is not kept");
}

// A Job that has dropped it may not have been able to tell: the next one does.
bool Invariants::is_being_removed(const std::string& restore_uid) const {
    for (const auto& [key, server] : store_.all("postgresservers").objects) {
        for (const auto& entry : list_at(server.document, "status.history")) {
            if (text_at(entry, "uid") == restore_uid && present_at(entry, "previousData.cleanupAttempt"))
                return true;
        }
    }
    return false;
}

// A day later that has ended: where a server runs that can be asked.
void Invariants::nothing_is_being_removed() {
    for (const auto& [key, workload] : store_.all("statefulsets").objects) {
        if (resources::integer_at(workload.document, "spec.replicas", 1) == 0) return;
    }
    for (const auto& [key, restore] : store_.all("databaserestores").objects) {
        if (is_being_removed(text_at(restore.document, "metadata.uid")))
            broken("I5: the old data of " + key.name + " is being removed for ever");
    }
}

}  // namespace dbrestore::simulation
