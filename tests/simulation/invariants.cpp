#include "simulation/invariants.h"

#include <algorithm>

#include "resources/json_fields.h"
#include "resources/postgres_server.h"
#include "simulation/agent.h"

namespace dbrestore::simulation {

using resources::DatabaseRestore;
using resources::field;
using resources::list_at;
using resources::Phase;
using resources::present_at;
using resources::text_at;

namespace {

bool writes(const std::string& step) {
    return step == "prepare" || step == "verify" || step == "commit" || step == "rollback";
}

std::string label(const json& object, const char* name) {
    const auto& labels = field(object, "metadata.labels");
    return labels.is_object() ? labels.value(name, std::string()) : std::string();
}

bool finished(const json& job) {
    return !list_at(job, "status.conditions").empty();
}

// Its controller may learn only later that its pod has ended, or is gone.
bool may_write(const Store& store, const Key& key, const json& job) {
    if (finished(job) || !writes(label(job, "dbrestore.dev/step"))) return false;
    bool had_pod = resources::integer_at(job, "status.active") > 0;
    for (const auto& [name, pod] : store.all("pods").objects) {
        if (name.namespace_name != key.namespace_name ||
            label(pod.document, "batch.kubernetes.io/job-name") != key.name)
            continue;
        const std::string phase = text_at(pod.document, "status.phase");
        if (phase != "Succeeded" && phase != "Failed") return true;
        had_pod = true;
    }
    return !had_pod;
}

// Made by a controller that was paused meanwhile: the volume refuses it by its number.
bool is_late_beside(const json& job, const json& other) {
    const auto late = request_of(job), earlier = request_of(other);
    return late && earlier && late->restore_uid == earlier->restore_uid && late->sequence < earlier->sequence;
}

bool remembers_success_of(const json& server, const std::string& restore, const std::string& uid) {
    return std::ranges::any_of(list_at(server, "status.history"), [&](const json& entry) {
        return text_at(entry, "restore") == restore && text_at(entry, "uid") != uid &&
               text_at(entry, "result") == "Succeeded";
    });
}

// As charts/dbrestore/templates/cronjobs-policy.yaml asks.
bool patches_only_suspend(const kube::Request& request) {
    json patch = json::parse(request.body, nullptr, false);
    if (request.method != "PATCH" || !patch.is_object() || !present_at(patch, "spec.suspend")) return false;
    patch["metadata"].erase("resourceVersion");
    patch["spec"].erase("suspend");
    return patch["metadata"].empty() && patch["spec"].empty() && patch.size() == 2;
}

}  // namespace

std::string Invariants::attempt_of(const json& job) {
    return label(job, "dbrestore.dev/restore-uid") + "/" + label(job, "dbrestore.dev/step") + "/" +
           label(job, "dbrestore.dev/attempt");
}

void Invariants::broken(const std::string& what) {
    if (broken_.size() < 20) broken_.push_back(what);
    if (on_broken) on_broken(what);
}

void Invariants::note_time() {
    const auto now = clock_.now();
    for (auto& [name, kept] : kept_) kept.passed = kept.passed || now >= kept.until;
    for (auto& [number, round] : rounds_) {
        round.earliest = std::min(round.earliest, now);
        round.latest = std::max(round.latest, now);
    }
}

void Invariants::check() {
    note_time();
    for (const auto& [key, volume] : volumes_) {
        if (volume.servers.size() > 1) broken("I1: two servers run on " + key.name);
        if (!volume.servers.empty() && !volume.writers.empty())
            broken("I1: a Job's pod may write beside the running server on " + key.name);
        if (volume.writers.size() > 1) broken("I1: two Jobs' pods may write " + key.name);
    }
}

void Invariants::server_starts(const Volume& volume) {
    const auto at = volume.databases.find("shop");
    if (at == volume.databases.end() || !at->second.whole || at->second.closed)
        broken("I2: a server starts on a volume that is neither complete-old nor complete-new");
    if (!volume.writers.empty()) broken("I1: a server starts beside a Job's pod that may write");
}

void Invariants::dropping(const std::string& name, const Database& database, const std::string& step,
                          const std::string& restore_uid) {
    if (step != "cleanup") {
        if (database.made_by != restore_uid)
            broken("I3: " + step + " drops what was there before the restore");
        if (database.client_writes > 0 && service_is_knowable(database.placed_by))
            broken("what clients wrote on the new data is thrown away by " + step);
        return;
    }
    if (is_needed_by_an_undo(name)) broken("I3: old data " + name + " is dropped while an Undo works on it");
    note_time();
    const auto kept = kept_.find(name);
    if (kept == kept_.end())
        broken("I3: old data " + name + " is dropped before its restore has ended");
    else if (!kept->second.passed)
        broken("I3: old data " + name + " is dropped before its retention has passed");
}

void Invariants::keep(const DatabaseRestore& restore, base::Time until, base::Time at_latest) {
    const json* server =
        store_.find("postgresservers", {restore.meta.namespace_name, restore.spec.server_name});
    KeptData& kept = kept_[kept_name(restore.meta.uid)];
    kept = {std::max(kept.until, until),
            std::max(kept.at_latest, at_latest),
            false,
            restore.spec.server_name,
            server == nullptr ? "" : text_at(*server, "metadata.uid"),
            restore.meta.namespace_name,
            restore.meta.name,
            restore.meta.uid};
}

// Whoever deletes a PostgresServer and the restore keeps what that had kept, and a database that is scaled to
// 0 cannot drop anything.
std::vector<std::string> Invariants::overdue() const {
    std::vector<std::string> names;
    for (const auto& [name, kept] : kept_) {
        const json* server = store_.find("postgresservers", {kept.namespace_name, kept.server});
        const json* workload = store_.find("statefulsets", {kept.namespace_name, kept.server});
        const Volume* volume = volume_of(kept.server, kept.namespace_name);
        const json* restore = store_.find("databaserestores", {kept.namespace_name, kept.restore});
        const bool known = restore != nullptr && text_at(*restore, "metadata.uid") == kept.restore_uid;
        if (volume == nullptr || workload == nullptr || server == nullptr ||
            (text_at(*server, "metadata.uid") != kept.server_uid && !known) ||
            resources::integer_at(*workload, "spec.replicas", 1) == 0)
            continue;
        if (volume->databases.contains(name) && kept.at_latest + std::chrono::minutes(1) < clock_.now())
            names.push_back(name);
    }
    return names;
}

void Invariants::exchanging(const Volume& volume, const resources::AgentRequest& request) {
    const auto at = volume.databases.find(volume.journal->new_database);
    const auto live = volume.databases.find("shop");
    if (at == volume.databases.end() || !at->second.whole || !at->second.verified)
        return broken("I3: data is exchanged that was not restored and verified");
    if (live == volume.databases.end()) return broken("I2: there is nothing to be exchanged");
    undo_exchanges(live->second, at->second, request.restore_uid);
    replaced_[request.restore_uid] = live->second.made_by;
}

void Invariants::taking_back(const Volume& volume, const resources::AgentRequest&) {
    const auto at = volume.databases.find("shop");
    if (at != volume.databases.end() && at->second.client_writes > 0 &&
        service_is_knowable(at->second.placed_by))
        broken("what clients wrote on the new data is taken back");
}

void Invariants::claim_deleted(const Key& key) {
    if (operator_scaled_to_zero_) broken("stopping the database deletes its volume " + key.name);
}

void Invariants::operator_asks(const kube::Request& request) {
    note_time();
    if (request.method == "GET") return;
    if (request.body.find(secret_text) != std::string::npos) broken("I6: a secret in " + request.target);
    const auto has = [&](const char* part) { return request.target.find(part) != std::string::npos; };
    const bool ours = has("/databaserestores/") || has("/postgresservers/") || has("/events") ||
                      has("/statefulsets/shop/scale") || (has("/jobs") && request.method != "PATCH") ||
                      (has("/cronjobs/") && patches_only_suspend(request));
    if (!ours || has("/namespaces/bystander/")) broken("I7: " + request.method + " " + request.target);
    if (has("/databaserestores/") && request.method == "DELETE") broken("I7: a restore is deleted");
    if (has("/postgresservers/") && request.method == "DELETE") broken("I7: a server is deleted");
    if (has("/jobs/") && !has("/jobs/dbr-")) broken("I7: " + request.method + " " + request.target);
}

void Invariants::changed(const Collection& kind, const json* before, const json* after) {
    if (kind.plural == "jobs" && before == nullptr) job_created(*after);
    // What somebody else deleted may be made again.
    if (kind.plural == "jobs" && after == nullptr && !operator_is_acting)
        jobs_made_.erase(attempt_of(*before));
    if (kind.plural == "cronjobs" && before != nullptr && after != nullptr) cron_job_changed(*before, *after);
    if (kind.plural == "databaserestores" && after != nullptr) restore_changed(before, after);
    if (kind.plural == "databaserestores" && after == nullptr)
        restore_vanished(resources::restore_from_json(*before));
    if (kind.plural == "statefulsets" && before != nullptr && after != nullptr)
        workload_changed(*before, *after);
    if (kind.plural == "postgresservers" && before != nullptr && after != nullptr)
        lock_changed(*before, *after), list_changed(*before, *after), history_changed(*after);
}

void Invariants::job_created(const json& job) {
    if (!operator_is_acting) return;
    const std::string name = text_at(job, "metadata.name"), uid = label(job, "dbrestore.dev/restore-uid"),
                      step = label(job, "dbrestore.dev/step"), server = label(job, "dbrestore.dev/server"),
                      restore = label(job, "dbrestore.dev/restore-name");
    if (!jobs_made_.insert(attempt_of(job)).second)
        broken("I4: a second Job for one restore, step and attempt: " + name);
    if (!name.starts_with("dbr-") || present_at(job, "metadata.ownerReferences"))
        broken("I7: Job " + name + " is not as the policy asks");
    const auto ran = succeeded_.find(server + "/" + restore);
    if (ran != succeeded_.end() && ran->second != uid && (writes(step) || step == "quiesce"))
        broken("a restore's name runs again on a server where it succeeded: " + name);
    if (step == "catalog") return listing_job_created(job);
    step == "cleanup" ? cleanup_begins(job) : check_database(job);
    const json* holder = store_.find("postgresservers", {text_at(job, "metadata.namespace"), server});
    if (holder != nullptr && step != "cleanup" && remembers_success_of(*holder, restore, uid))
        broken("a Job is made for a restore whose name succeeded, as the server knows: " + name);
    if (!writes(step)) return;
    for (const auto& [key, other] : store_.all("jobs").objects) {
        if (key.name != name && label(other.document, "dbrestore.dev/server") == server &&
            may_write(store_, key, other.document) && !is_late_beside(job, other.document))
            broken("I4: two unfinished Jobs that write: " + key.name + " and " + name);
    }
    if (holder != nullptr && text_at(*holder, "status.activeRestore.uid") != uid)
        broken("a Job that writes is made without the lock: " + name);
    if (holder != nullptr && text_at(*holder, "status.fence.restoreUID") != uid)
        broken("a Job that writes is made while the fence is down: " + name);
    check_repository(job);
    const std::string claim = holder == nullptr ? "" : text_at(*holder, "status.inferred.claimName");
    for (const auto& [key, object] : store_.all("pods").objects) {
        const auto pod = resources::pod_from_json(object.document);
        const bool mounts = std::ranges::find(pod.claim_names, claim) != pod.claim_names.end();
        if (key.namespace_name == text_at(job, "metadata.namespace") && mounts && !pod.finished() &&
            pod.meta.label("dbrestore.dev/restore-uid") != uid)
            broken("a Job that writes is made while pod " + key.name + " uses the volume: " + name);
    }
}

// Where a server ran on the copy, the old files need a timeline that nobody has: only the repository knows.
void Invariants::check_repository(const json& job) {
    const Volume* volume = volume_of(label(job, "dbrestore.dev/server"), text_at(job, "metadata.namespace"));
    const auto request = request_of(job);
    if (volume == nullptr || !volume->journal || !request) return;
    if (volume->journal->physical && volume->journal->restore_uid == request->restore_uid &&
        request->stanza.empty())
        broken("a Job of a restore to a point in time is made without its repository: " +
               text_at(job, "metadata.name"));
}

void Invariants::restore_changed(const json* before, const json* after) {
    const auto restore = resources::restore_from_json(*after);
    const auto& status = restore.status;
    if (is_final(status.phase) != status.completion_time.has_value())
        broken("completionTime is set in phase " + to_text(status.phase));
    check_conditions(restore);
    if (restore.spec.type == "Undo")
        undoes_[restore.meta.uid] = restore.spec.server_name + "/" + restore.spec.undo_name;
    if (status.phase != Phase::queued)
        queued_at_.erase(restore.meta.uid);
    else
        queued_at_.emplace(restore.meta.uid, store_.version());
    const bool same = before != nullptr && text_at(*before, "metadata.uid") == restore.meta.uid;
    if (!same) return;
    const auto was = resources::phase_from_text(text_at(*before, "status.phase"));
    if (was && is_final(*was) && *was != status.phase)
        broken("phase " + to_text(*was) + " becomes " + to_text(status.phase));
    if (was && !is_final(*was) && is_final(status.phase)) restore_ended(restore);
}

void Invariants::check_conditions(const DatabaseRestore& restore) {
    std::set<std::string> types;
    for (const auto& condition : restore.status.conditions) {
        if (condition.reason.empty() || condition.message.size() > 32768)
            broken("condition " + condition.type + " is malformed");
        if (!types.insert(condition.type).second) broken("condition " + condition.type + " is there twice");
    }
    if (types.empty()) return;
    const bool final = is_final(restore.status.phase);
    using resources::Truth;
    if (resources::condition_is(restore.status.conditions, "Succeeded", Truth::unknown) == final)
        broken("Succeeded does not follow phase " + to_text(restore.status.phase));
    if (resources::condition_is(restore.status.conditions, "Complete", Truth::yes) !=
        (restore.status.phase == Phase::succeeded))
        broken("Complete does not follow phase " + to_text(restore.status.phase));
}

const Volume* Invariants::volume_of(const std::string& server, const std::string& namespace_name) const {
    const json* object = store_.find("postgresservers", {namespace_name, server});
    const std::string claim = object == nullptr ? "" : text_at(*object, "status.inferred.claimName");
    const auto at = volumes_.find({namespace_name, claim});
    return at == volumes_.end() ? nullptr : &at->second;
}

void Invariants::restore_ended(const DatabaseRestore& restore) {
    const auto& uid = restore.meta.uid;
    const bool success = restore.status.phase == Phase::succeeded;
    if (success) succeeded_.emplace(restore.spec.server_name + "/" + restore.meta.name, uid);
    // A clock may jump between the decision and its being saved. Times are written in whole seconds.
    const auto ended = restore.status.completion_time.value_or(base::Time{});
    note_time();
    const Round& round = rounds_[acting_operator];
    if (base::seconds_between(ended, round.earliest) > 1 || base::seconds_between(round.latest, ended) > 0)
        broken("completionTime is not when the restore ended");
    const auto until = ended + std::chrono::seconds(restore.spec.retain_seconds);
    keep(restore, until, until);
    if (success && restore.status.original_replicas.value_or(1) != 0 && !passed_live_.contains(uid))
        broken("a restore succeeds whose check through the network did not pass");
    const Volume* volume = volume_of(restore.spec.server_name, restore.meta.namespace_name);
    if (volume == nullptr) return;
    const auto at = volume->databases.find("shop");
    if (at == volume->databases.end()) return broken("a restore ends and there is no database");
    const bool is_new = at->second.placed_by == uid;
    if (is_new) data_is_in_place(restore, *volume);
    if (success && (!is_new || !at->second.verified))
        broken("a restore succeeds without its data being in place and verified");
    if (success && restore.spec.type == "ScheduledBackup" &&
        at->second.made_from != restore.status.source_name)
        broken("a restore of " + restore.status.source_name + " serves " + at->second.made_from);
    if (!success && is_new && at->second.client_writes == 0 && !volume->hidden)
        broken("a restore that did not succeed leaves new data that no client saw");
    const bool ours = volume->journal && volume->journal->restore_uid == uid;
    if (!success && ours && volume->hidden) broken("a restore ends and the tree is still behind the stub");
}

void Invariants::workload_changed(const json& before, const json& after) {
    const auto was = resources::integer_at(before, "spec.replicas", 1),
               is = resources::integer_at(after, "spec.replicas", 1);
    if (was == is || !operator_is_acting) return;
    operator_scaled_to_zero_ = is == 0;
    if (is != 0) return;
    stopping(text_at(after, "metadata.namespace"));
    if (text_at(after, "spec.persistentVolumeClaimRetentionPolicy.whenScaled") == "Delete")
        broken("scaled to 0 where that deletes the volume");
    for (const auto& [key, server] : store_.all("postgresservers").objects) {
        if (text_at(server.document, "spec.workloadRef.name") != text_at(after, "metadata.name")) continue;
        const std::string name = text_at(server.document, "status.activeRestore.name");
        const json* object = store_.find("databaserestores", {key.namespace_name, name});
        if (object == nullptr) continue;
        const auto restore = resources::restore_from_json(*object);
        if (restore.meta.uid != text_at(server.document, "status.activeRestore.uid")) continue;
        if (restore.status.phase == Phase::stopping) cron_jobs_are_noted(server.document);
        if (!resources::condition_is(restore.status.conditions, "Validated", resources::Truth::yes) &&
            restore.status.phase != Phase::rolling_back)
            broken("the database is stopped before the restore was validated");
        if (text_at(server.document, "status.fence.restoreUID").empty() &&
            restore.status.original_replicas != 0)
            broken("the database is stopped while the fence is down");
    }
}

void Invariants::lock_changed(const json& before, const json& after) {
    const std::string was = text_at(before, "status.activeRestore.uid"),
                      is = text_at(after, "status.activeRestore.uid");
    if (was.empty() && !is.empty()) lock_taken(after);
    if (was.empty() || was == is) return;
    if (!is.empty()) return;  // taken over: what it then does is checked as any other's
    if (present_at(after, "status.fence")) broken("the lock is freed while the fence is up");
    cron_jobs_run_again();
    for (const auto& [key, job] : store_.all("jobs").objects) {
        if (label(job.document, "dbrestore.dev/restore-uid") == was && may_write(store_, key, job.document))
            broken("the lock is freed while Job " + key.name + " writes");
    }
}

void Invariants::history_changed(const json& server) {
    std::set<std::string> restores;
    for (const auto& entry : list_at(server, "status.history")) {
        if (!restores.insert(text_at(entry, "uid")).second)
            broken("the history tells twice of " + text_at(entry, "restore"));
    }
}

// Of those that wait for one server the oldest goes first; of those that the operator can know of.
void Invariants::lock_taken(const json& server) {
    const auto age = [](const json& restore) {
        return std::pair(text_at(restore, "metadata.creationTimestamp"), text_at(restore, "metadata.name"));
    };
    const std::string name = text_at(server, "metadata.name"), ns = text_at(server, "metadata.namespace");
    const json* taker = store_.find("databaserestores", {ns, text_at(server, "status.activeRestore.name")});
    // Deleted meanwhile, and maybe made anew by the same name.
    if (taker == nullptr || text_at(*taker, "metadata.uid") != text_at(server, "status.activeRestore.uid"))
        return;
    list_is_owed(server, *taker);
    for (const auto& [key, object] : store_.all("databaserestores").objects) {
        const auto queued = queued_at_.find(text_at(object.document, "metadata.uid"));
        if (key.namespace_name != ns || text_at(object.document, "spec.serverRef.name") != name ||
            queued == queued_at_.end() || queued->second > known_restores_version)
            continue;
        if (age(object.document) < age(*taker))
            broken("restore " + text_at(*taker, "metadata.name") + " goes before " + key.name +
                   ", which is older");
    }
}

// The operator takes over what it held, and keeps what may be old data for a day from then on. Where the
// restore had ended, it may still know better.
void Invariants::restore_vanished(const DatabaseRestore& restore) {
    queued_at_.erase(restore.meta.uid);
    const json* server =
        store_.find("postgresservers", {restore.meta.namespace_name, restore.spec.server_name});
    if (server == nullptr || text_at(*server, "status.activeRestore.uid") != restore.meta.uid) return;
    if (const Volume* volume = volume_of(restore.spec.server_name, restore.meta.namespace_name)) {
        const auto at = volume->databases.find("shop");
        if (at != volume->databases.end() && at->second.placed_by == restore.meta.uid) {
            in_place_[restore.spec.server_name + "/" + restore.meta.name] = restore.meta.uid;
            vanished_in_place_.insert(restore.meta.uid);
        }
    }
    const auto a_day_from_now = clock_.now() + std::chrono::hours(24);
    keep(restore, is_final(restore.status.phase) ? base::Time{} : a_day_from_now, a_day_from_now);
}

}  // namespace dbrestore::simulation
