#include "decide/validate.h"

#include <algorithm>

#include "decide/backup.h"
#include "decide/jobs.h"
#include "decide/undo.h"

namespace dbrestore::decide {

using resources::PreflightFinding;

namespace {

constexpr int64_t crash_loop_restarts = 3;

PreflightFinding finding(const std::string& check, bool passed, const std::string& message) {
    return {check, passed ? PreflightFinding::Outcome::passed : PreflightFinding::Outcome::failed, message};
}

PreflightFinding topology_finding(const World& world, const std::string& name) {
    const int64_t replicas = world.workload->replicas;
    if (replicas > 1)
        return finding("UnsupportedTopology", false,
                       name + " has " + std::to_string(replicas) + " replicas; it must have one");
    const auto pods = std::ranges::count_if(world.pods, [&](const resources::Pod& pod) {
        return is_pod_of(*world.workload, pod) && !pod.finished() && !pod.meta.deleting;
    });
    if (pods > 1)
        return finding("UnsupportedTopology", false,
                       name + " has " + std::to_string(pods) +
                           " pods on the same data, since a rollout is under way; it must be over, or " +
                           name + " scaled to 0");
    return finding("UnsupportedTopology", true, "one server");
}

std::optional<Reason> not_supported_yet(const World& world) {
    const auto& spec = world.restore.spec;
    const auto later = [](const std::string& field, const std::string& must) {
        return Reason{"NotSupportedYet", "`spec." + field + "` must be " + must + " in this version"};
    };
    if (spec.strategy != "StopFirst") return later("strategy", "StopFirst");
    if (spec.approval != "Automatic") return later("approval", "Automatic");
    if (spec.dry_run == "Rehearse") return later("dryRun", "None or Plan");
    if (spec.verification && is_undo(world.restore))
        return later("verification", "absent where `type` is Undo");
    return std::nullopt;
}

}  // namespace

std::optional<Reason> never_runs(const World& world) {
    const auto& meta = world.restore.meta;
    if (const auto at = meta.annotations.find(resources::executed_annotation);
        at != meta.annotations.end() && at->second != meta.uid) {
        return Reason{"AlreadyExecuted", "this is a copy of a restore that ran already (annotation " +
                                             std::string(resources::executed_annotation) +
                                             "); a new restore must have no such annotation"};
    }
    if (world.server) {
        for (const auto& entry : world.server->status.history) {
            if (entry.restore == meta.name && entry.uid != meta.uid && entry.result == "Succeeded") {
                return Reason{"AlreadyExecuted",
                              "a restore named \"" + meta.name + "\" succeeded on this server at " +
                                  base::format_time(entry.completion_time) +
                                  "; to restore again `metadata.name` must be another name"};
            }
        }
    }
    // The API server refuses it too, but an edited CRD may not.
    if (!world.restore.spec.acknowledge_data_loss && !is_dry_run(world.restore)) {
        return Reason{"NotAcknowledged",
                      "`spec.acknowledgeDataLoss` must be true: the data written after the backup is lost"};
    }
    if (is_undo(world.restore)) {
        if (auto reason = never_undone(world)) return reason;
    }
    if (auto reason = never_in_store(world)) return reason;
    if (auto reason = not_supported_yet(world)) return reason;
    // As above.
    if (const auto wrong = resources::what_is_wrong(world.restore.spec.point_in_time);
        wrong && is_point_in_time(world.restore))
        return Reason{"BadTarget", "`spec.pointInTime`: " + *wrong};
    return std::nullopt;
}

std::optional<Reason> still_missing(const World& world) {
    const auto& spec = world.restore.spec;
    if (!world.server)
        return Reason{"ServerNotFound", "PostgresServer \"" + spec.server_name +
                                            "\" does not exist in namespace " +
                                            world.restore.meta.namespace_name};
    if (world.server->meta.deleting)
        return Reason{"ServerDeleting", "PostgresServer \"" + spec.server_name + "\" is being deleted"};
    const auto* ready = resources::find_condition(world.server->status.conditions, "Ready");
    if (ready == nullptr || world.server->status.observed_generation != world.server->meta.generation) {
        return Reason{"ServerNotReady", "PostgresServer \"" + spec.server_name + "\" was not looked at yet"};
    }
    if (ready->status != resources::Truth::yes || !world.server->status.inferred || !world.workload) {
        return Reason{"ServerNotReady", "PostgresServer \"" + spec.server_name +
                                            "\" is not ready: " + ready->reason + ": " + ready->message};
    }
    if (is_undo(world.restore) && undone_entry(world) == nullptr)
        return Reason{"RestoreNotFound", "no DatabaseRestore \"" + spec.undo_name +
                                             "\" has ended on PostgresServer \"" + spec.server_name + "\""};
    if (is_physical(world.restore) && !world.server->repository)
        return Reason{"RepositoryNotFound", "PostgresServer \"" + spec.server_name +
                                                "\" must have `spec.pointInTimeRecovery.pgBackRest`"};
    const auto store = store_of(world);
    if (!store && !is_undo(world.restore) && !is_point_in_time(world.restore))
        return Reason{"StoreNotFound", "PostgresServer \"" + spec.server_name + "\" has no store \"" +
                                           spec.backup.store + "\""};
    const std::string source_claim = store ? store->claim_name : "";
    for (const std::string& claim : {world.server->status.inferred->claim_name, source_claim}) {
        if (!claim.empty() && !world.claims.contains(claim)) {
            return Reason{"ClaimNotFound", "PersistentVolumeClaim \"" + claim +
                                               "\" does not exist in namespace " +
                                               world.restore.meta.namespace_name};
        }
    }
    return std::nullopt;
}

std::vector<PreflightFinding> workload_findings(const World& world) {
    std::vector<PreflightFinding> findings;
    const auto& workload = *world.workload;
    const auto& inferred = *world.server->status.inferred;
    const std::string name = workload.kind + " \"" + workload.meta.name + "\"";
    const bool keeps = workload.when_scaled != "Delete";
    findings.push_back(finding("ClaimWouldBeDeleted", keeps,
                               keeps ? "stopping keeps the volume"
                                     : "`spec.persistentVolumeClaimRetentionPolicy.whenScaled` of " + name +
                                           " must be Retain: stopping the database would delete its volume"));
    findings.push_back(topology_finding(world, name));
    if (workload.starts_beside_old)
        findings.push_back({"RollingUpdate", PreflightFinding::Outcome::warning,
                            "`spec.strategy.type` of " + name +
                                " must be Recreate: at the next change of its pod template a second server "
                                "starts on the same data, which that can destroy"});
    const auto claim = world.claims.find(inferred.claim_name);
    const bool shareable =
        claim == world.claims.end() ||
        std::ranges::find(claim->second.access_modes, "ReadWriteOncePod") == claim->second.access_modes.end();
    findings.push_back(finding(
        "VolumeAccess", shareable,
        shareable ? "the volume can be checked beside the running database"
                  : "claim \"" + inferred.claim_name +
                        "\" is ReadWriteOncePod; its access mode must be ReadWriteOnce in this version"));
    for (const auto& cron_job : world.server->suspend) {
        if (!world.cron_jobs.contains(cron_job))
            findings.push_back(
                {"CronJobNotFound", PreflightFinding::Outcome::warning,
                 "CronJob \"" + cron_job + "\" of `spec.suspend` does not exist, and is not paused"});
    }
    if (is_undo(world.restore)) {
        findings.push_back(finding("DatabaseNotRunning", true,
                                   "the kept database can be brought back whatever state the server is in"));
    } else if (is_point_in_time(world.restore)) {
        findings.push_back(
            finding("DatabaseNotRunning", true, "a copy is recovered whatever state the server is in"));
    } else if (const auto* crashing = crash_looping_pod(world); crashing != nullptr) {
        findings.push_back(
            finding("DatabaseNotRunning", false,
                    "pod \"" + crashing->meta.name +
                        "\" keeps crashing; to restore a dump the database must run or be scaled to 0"));
    } else if (workload.replicas > 0 && ready_database_pod(world) == nullptr) {
        findings.push_back(
            finding("DatabaseNotRunning", false,
                    name + " has no ready pod; to restore a dump the database must run or be scaled to 0"));
    } else {
        findings.push_back(
            finding("DatabaseNotRunning", true,
                    workload.replicas > 0 ? "the database is running" : "the database is scaled to 0"));
    }
    return findings;
}

const resources::Pod* ready_database_pod(const World& world) {
    if (!world.workload) return nullptr;
    for (const auto& pod : world.pods) {
        if (is_pod_of(*world.workload, pod) && pod.ready && !pod.meta.deleting && !pod.pod_ip.empty())
            return &pod;
    }
    return nullptr;
}

bool may_have_served(const World& world) {
    return world.workload && std::ranges::any_of(world.pods, [&](const resources::Pod& pod) {
               return is_pod_of(*world.workload, pod) && (pod.ready || pod.has_been_ready);
           });
}

const resources::Pod* crash_looping_pod(const World& world) {
    for (const auto& pod : world.pods) {
        if (!world.workload || !is_pod_of(*world.workload, pod) || pod.ready) continue;
        for (const auto& container : pod.containers) {
            if (container.waiting_reason == "CrashLoopBackOff" ||
                container.restart_count >= crash_loop_restarts)
                return &pod;
        }
    }
    return nullptr;
}

std::vector<const resources::Pod*> foreign_pods(const World& world) {
    std::vector<const resources::Pod*> found;
    const auto& claim = world.server->status.inferred->claim_name;
    for (const auto& pod : world.pods) {
        const bool mounts = std::ranges::find(pod.claim_names, claim) != pod.claim_names.end();
        if (mounts && !pod.finished() && pod.meta.label(restore_uid_label) != world.restore.meta.uid)
            found.push_back(&pod);
    }
    return found;
}

bool holds_lock(const World& world) {
    return world.server && world.server->lock.active_restore &&
           world.server->lock.active_restore->uid == world.restore.meta.uid;
}

}  // namespace dbrestore::decide
