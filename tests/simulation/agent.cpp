#include "simulation/agent.h"

#include "resources/json_fields.h"

namespace dbrestore::simulation {

using resources::AgentResult;
using resources::PreflightFinding;

namespace {

constexpr int lock_patience = 20;  // moves
const resources::RecoveredTo recovered{"2026-11-22T09:59:59.998877Z", "0/3000110", 2};

AgentResult done(const std::string& message = {}) {
    AgentResult result;
    result.outcome = AgentResult::Outcome::done;
    result.message = message;
    return result;
}

AgentResult ended(AgentResult::Outcome outcome, const std::string& reason) {
    AgentResult result;
    result.outcome = outcome;
    result.reason = reason;
    result.message = "the agent ended with " + reason;
    return result;
}
AgentResult failed(const std::string& reason) {
    return ended(AgentResult::Outcome::failed, reason);
}
AgentResult retryable(const std::string& reason) {
    return ended(AgentResult::Outcome::retryable, reason);
}

void drop(Volume& volume, const VolumeWatcher& watcher, const std::string& name, const std::string& step,
          const std::string& restore_uid) {
    const auto at = volume.databases.find(name);
    if (at == volume.databases.end()) return;
    watcher.dropping(name, at->second, step, restore_uid);
    volume.databases.erase(at);
}

// Under the name, or in the folder, of the restore that kept it.
void give_back(Volume& volume) {
    const auto at = volume.databases.find(volume.journal->new_database);
    if (at == volume.databases.end()) return;
    Database kept = at->second;
    kept.closed = true;
    volume.databases.erase(at);
    volume.databases[volume.journal->kept_database] = kept;
}

}  // namespace

std::optional<resources::AgentRequest> request_of(const nlohmann::json& job) {
    for (const auto& container : resources::list_at(job, "spec.template.spec.containers")) {
        for (const auto& variable : resources::list_at(container, "env")) {
            if (resources::text_at(variable, "name") != resources::request_variable) continue;
            if (auto request = resources::request_from_text(resources::text_at(variable, "value")))
                return *request;
        }
    }
    return std::nullopt;
}

AgentRun::Result AgentRun::move(Volume& volume, const Surroundings& surroundings,
                                const VolumeWatcher& watcher) {
    const std::string& step = request_.step;
    Result result;
    if (step == "probe" || step == "quiesce") {
        result = done();
        if (step == "probe") result->uid = result->gid = 999;
    } else if (step == "catalog") {
        result = catalog(surroundings);
    } else if (step == "preflight") {
        result = preflight(volume, surroundings);
    } else if (step == "cleanup") {
        result = cleanup(volume, surroundings, watcher);
    } else if (step == "verify" && !request_.host.empty()) {
        result = verify(volume, surroundings);
    } else if (moves_ == 0) {
        result = take_hold(volume);
        if (result && result->outcome == AgentResult::Outcome::done)
            result.reset(), moves_ = 1;
        else if (!result)
            ++waited_;
    } else if (step == "prepare") {
        result = prepare(volume, surroundings, watcher);
    } else if (step == "verify") {
        result = verify(volume, surroundings);
    } else if (step == "commit") {
        result = commit(volume, watcher);
    } else if (step == "rollback") {
        result = rollback(volume, watcher);
    } else {
        result = failed("UnknownStep");
    }
    if (result && volume.lock_holder == pod_uid_) volume.lock_holder.clear();
    return result;
}

// Done: held. Nothing: it waits.
AgentRun::Result AgentRun::take_hold(Volume& volume) {
    if (!volume.lock_holder.empty() && volume.lock_holder != pod_uid_)
        return waited_ < lock_patience ? Result() : retryable("VolumeBusy");
    volume.lock_holder = pod_uid_;
    return done();
}

AgentRun::Result AgentRun::claim(Volume& volume) {
    if (!ours(volume)) return failed("NotPrepared");
    volume.journal->pod_uid = pod_uid_;
    return std::nullopt;
}

AgentRun::Result AgentRun::hide(Volume& volume) {
    if (!volume.hidden && !volume.servers.empty()) return retryable("DatabaseStillRunning");
    if (volume.journal->pod_uid != pod_uid_) return failed("TakenOver");
    volume.hidden = true;
    return std::nullopt;
}

AgentRun::Result AgentRun::catalog(const Surroundings& surroundings) const {
    if (!surroundings.dump_is_there) return failed("StoreNotReachable");
    AgentResult result = done();
    if (!request_.stanza.empty()) {
        result.backup_count = 1;
        result.reachable = {"2026-11-22T09:00:00Z", "", {{1, 0, "", "", ""}}};
        return result;
    }
    result.backups = surroundings.backups;
    result.backup_count = static_cast<int64_t>(result.backups.size());
    return result;
}

std::string AgentRun::source(const Surroundings& surroundings) const {
    const bool chooses =
        request_.backup_name.empty() && request_.choice.latest && !surroundings.backups.empty();
    return chooses ? surroundings.backups[0].name : request_.backup_name;
}

AgentRun::Result AgentRun::preflight(const Volume& volume, const Surroundings& surroundings) const {
    const auto ran = volume.succeeded.find(request_.restore_name);
    if (ran != volume.succeeded.end() && ran->second != request_.restore_uid)
        return failed("AlreadyExecuted");
    AgentResult result = done();
    result.bytes = 4711;
    result.estimated_seconds = 5;
    result.what_is_lost = {"what was written after the dump"};
    if (request_.choice.latest && !surroundings.backups.empty()) result.chosen = surroundings.backups[0];
    const char* reason = missing(volume, surroundings);
    const auto outcome =
        reason != nullptr ? PreflightFinding::Outcome::failed : PreflightFinding::Outcome::passed;
    result.findings.push_back({reason != nullptr ? reason : "SourceThere", outcome, "what is restored"});
    if (reason != nullptr) {
        result.outcome = AgentResult::Outcome::failed;
        result.reason = reason;
        if (!request_.undo || request_.point_in_time) result.waiting_for = {"BackupNotFound"};
    }
    return result;
}

// A server that does not run cannot be asked for its databases; folders are looked at in any case.
const char* AgentRun::missing(const Volume& volume, const Surroundings& surroundings) const {
    const bool looks = request_.undo && (request_.point_in_time || !request_.host.empty());
    if (looks && !volume.databases.contains(kept_database())) return "PreviousDataGone";
    const bool reads = !request_.undo || request_.point_in_time;  // a dump, or the repository
    return reads && !surroundings.dump_is_there ? "BackupNotFound" : nullptr;
}

std::string AgentRun::kept_database() const {
    return request_.point_in_time ? kept_name(request_.undone_uid) : request_.new_database;
}

VolumeJournal AgentRun::begun() const {
    VolumeJournal journal;
    journal.restore_uid = request_.restore_uid;
    journal.pod_uid = pod_uid_;
    journal.physical = request_.point_in_time.has_value();
    journal.new_database = journal.physical ? new_name(request_.restore_uid) : request_.new_database;
    journal.old_database = request_.old_database;
    journal.undo = request_.undo;
    if (journal.undo) journal.kept_database = kept_database();
    return journal;
}

// A database stays where it is until the commit; a folder is taken, unless an earlier attempt has done so.
AgentRun::Result AgentRun::take_kept(Volume& volume) const {
    auto& databases = volume.databases;
    const auto& journal = *volume.journal;
    const auto kept = databases.find(journal.kept_database);
    if (kept == databases.end())
        return databases.contains(journal.new_database) ? Result() : failed("PreviousDataGone");
    Database taken = kept->second;
    taken.verified = false;
    databases.erase(kept);
    databases[journal.new_database] = taken;
    return std::nullopt;
}

AgentRun::Result AgentRun::prepare(Volume& volume, const Surroundings& surroundings,
                                   const VolumeWatcher& watcher) {
    auto& journal = volume.journal;
    switch (moves_++) {
        case 1:
            if (journal && !ours(volume) && journal->state != JournalState::rolled_back &&
                journal->state != JournalState::committed) {
                --moves_;  // what another restore left is taken back first
                if (undo_moves_ == 0) journal->pod_uid = pod_uid_;
                auto undone = undo(volume, watcher, undo_moves_++);
                if (undone && undone->outcome != AgentResult::Outcome::done) return undone;
                return std::nullopt;
            }
            if (journal && !ours(volume) && journal->state == JournalState::committed) volume.hidden = false;
            if (ours(volume) && journal->state != JournalState::preparing &&
                journal->state != JournalState::rolled_back) {
                claim(volume);
                return done("an earlier attempt had prepared it");
            }
            journal = begun();
            return std::nullopt;
        case 2:
            return hide(volume);
        case 3:
            if (journal->undo) return take_kept(volume);
            drop(volume, watcher, journal->new_database, "prepare", request_.restore_uid);
            volume.databases[journal->new_database] = {
                .made_by = request_.restore_uid, .made_from = source(surroundings), .whole = false};
            return std::nullopt;
        case 4:
            if (journal->undo && !journal->physical) return std::nullopt;
            if (!surroundings.dump_is_there) return failed("BackupUnreadable");
            if (!surroundings.dump_is_good && !journal->undo) return failed("RestoreFailed");
            volume.databases[journal->new_database].whole = true;
            return std::nullopt;
        default:
            journal->state = JournalState::prepared;
            return done();
    }
}

AgentRun::Result AgentRun::verify(Volume& volume, const Surroundings& surroundings) {
    if (!request_.host.empty()) {
        if (!surroundings.server_answers) return retryable("ServerUnreachable");
        const auto kept = volume.databases.find(request_.old_database);
        if (kept == volume.databases.end() || !kept->second.closed) return failed("NotTheRestoredDatabase");
        if (request_.point_in_time && request_.timeline != recovered.timeline)
            return failed("NotTheRestoredDatabase");
        return surroundings.live_check_passes ? done() : failed("LoginFailed");
    }
    if (moves_++ == 1) {
        if (auto failure = claim(volume)) return failure;
        return volume.journal->state == JournalState::prepared ? Result() : failed("NotPrepared");
    }
    volume.databases[volume.journal->new_database].verified = true;
    return done();
}

AgentRun::Result AgentRun::commit(Volume& volume, const VolumeWatcher& watcher) {
    auto& journal = volume.journal;
    auto& databases = volume.databases;
    switch (moves_++) {
        case 1:
            if (auto failure = claim(volume)) return failure;
            if (journal->state == JournalState::preparing || journal->state == JournalState::rolled_back)
                return failed("NotPrepared");
            if (journal->state == JournalState::committed)
                moves_ = 4;
            else
                journal->state = JournalState::committing;
            return std::nullopt;
        case 2:
            if (journal->pod_uid != pod_uid_) return failed("TakenOver");
            if (databases.contains(journal->old_database)) return std::nullopt;
            watcher.exchanging(volume, request_);
            databases[journal->old_database] = databases["shop"];
            databases[journal->old_database].closed = true;
            databases["shop"] = databases[journal->new_database];
            databases["shop"].closed = false;
            databases["shop"].client_writes = 0;
            databases["shop"].placed_by = journal->restore_uid;
            databases.erase(journal->new_database);
            return std::nullopt;
        case 3:
            journal->state = JournalState::committed;
            volume.succeeded[request_.restore_name] = request_.restore_uid;
            return std::nullopt;
        default:
            volume.hidden = false;
            AgentResult result = done();
            result.bytes = 4096;
            result.database = request_.database;
            if (journal->physical) result.recovered_to = recovered;
            if (journal->physical && journal->undo) result.recovered_to->time.clear();
            return result;
    }
}

AgentRun::Result AgentRun::rollback(Volume& volume, const VolumeWatcher& watcher) {
    auto& journal = volume.journal;
    if (moves_++ == 1) {
        if (!journal) return done("nothing was done on the volume");
        if (!ours(volume)) return done("nothing of this restore is on the volume");
        if (journal->state == JournalState::rolled_back && !volume.hidden) return done();
        return claim(volume);
    }
    return undo(volume, watcher, undo_moves_++);
}

AgentRun::Result AgentRun::undo(Volume& volume, const VolumeWatcher& watcher, int at) {
    auto& journal = *volume.journal;
    auto& databases = volume.databases;
    const bool may_hold_ours = volume.hidden || journal.state == JournalState::committed;
    switch (at) {
        case 0:
            return may_hold_ours ? hide(volume) : Result();
        case 1:
            if (!volume.hidden || !databases.contains(journal.old_database)) return std::nullopt;
            watcher.taking_back(volume, request_);
            if (databases.contains("shop")) databases[journal.new_database] = databases["shop"];
            databases["shop"] = databases[journal.old_database];
            databases["shop"].closed = false;
            databases.erase(journal.old_database);
            return std::nullopt;
        case 2:
            if (volume.hidden && journal.undo)
                give_back(volume);
            else if (volume.hidden)
                drop(volume, watcher, journal.new_database, "rollback", journal.restore_uid);
            return std::nullopt;
        case 3:
            volume.hidden = false;
            return std::nullopt;
        default:
            journal.state = JournalState::rolled_back;
            std::erase_if(volume.succeeded,
                          [&](const auto& entry) { return entry.second == journal.restore_uid; });
            return done();
    }
}

AgentRun::Result AgentRun::cleanup(Volume& volume, const Surroundings& surroundings,
                                   const VolumeWatcher& watcher) const {
    if (!request_.old_database.starts_with("dbrestore_old_")) return failed("NotOurs");
    if (!request_.point_in_time && !surroundings.server_answers) return retryable("ServerUnreachable");
    const auto at = volume.databases.find(request_.old_database);
    if (at == volume.databases.end()) return done("it was gone already");
    if (!at->second.closed) return failed("DatabaseInUse");
    drop(volume, watcher, request_.old_database, "cleanup", request_.restore_uid);
    return done();
}

}  // namespace dbrestore::simulation
