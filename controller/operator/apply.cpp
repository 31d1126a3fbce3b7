#include "operator/apply.h"

#include <algorithm>

#include "base/digest.h"
#include "base/log.h"
#include "decide/jobs.h"
#include "operator/finalizer.h"
#include "operator/kinds.h"
#include "resources/json_fields.h"

namespace dbrestore::op {

using base::ErrorKind;
using base::Status;
using decide::World;
using nlohmann::json;
using resources::Key;
using resources::operator_manager;

namespace {

template <class... Ts>
struct Overloaded : Ts... {
    using Ts::operator()...;
};
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

// 1024 bytes is the API's bound for an event's note.
constexpr size_t max_note_bytes = 1000;

// Half a character would be no UTF-8, and no JSON could be made of it.
std::string note_of(const std::string& text) {
    size_t end = std::min(text.size(), max_note_bytes);
    while (end < text.size() && end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    return text.substr(0, end);
}

std::string version_of(const json& document) {
    return resources::text_at(document, "metadata.resourceVersion");
}

json status_body(const char* kind, const resources::ObjectMeta& meta, json status) {
    return {{"apiVersion", resources::api_version},
            {"kind", kind},
            {"metadata",
             {{"name", meta.name},
              {"namespace", meta.namespace_name},
              {"resourceVersion", meta.resource_version}}},
            {"status", std::move(status)}};
}

}  // namespace

void OwnWrites::remember(const std::string& kind, const Key& key, const std::string& resource_version,
                         base::Time now) {
    const std::lock_guard lock(mutex_);
    writes_[{kind, key}] = {resource_version, now};
}

Status Applier::apply(World& world, const decide::Plan& plan) {
    for (const auto& action : plan.actions) {
        if (auto done = carry_out(world, action); !done) return done;
    }
    return base::success();
}

Status Applier::apply(decide::ServerWorld& world, const decide::Plan& plan) {
    if (world.vanished) return apply(*world.vanished, plan);
    World of_server;
    of_server.restore.meta.namespace_name = world.server.meta.namespace_name;
    of_server.server = world.server;
    return apply(of_server, plan);
}

Status Applier::carry_out(World& world, const decide::Action& action) {
    auto& restore = world.restore;
    return std::visit(
        Overloaded{
            [&](const decide::SaveRestore& a) { return save_restore(restore, a.status); },
            [&](const decide::SaveServer& a) {
                return save_server(*world.server, to_json(a.status), operator_manager);
            },
            [&](const decide::SaveLock& a) {
                base::log_info("lock", {{"server", world.server->meta.name},
                                        {"held", a.lock.active_restore ? "yes" : "no"},
                                        {"fence", a.lock.fence ? "up" : "down"}});
                return save_server(*world.server, to_json(a.lock), lock_manager);
            },
            [&](const decide::AddFinalizers&) {
                if (auto set = save_finalizer(restores_resource, "restore", restore.meta, true); !set)
                    return set;
                return save_finalizer(servers_resource, "server", world.server->meta, true);
            },
            [&](const decide::RemoveFinalizers&) { return remove_finalizers(world); },
            [&](const decide::MarkExecuted& a) { return mark_executed(restore, a.executed); },
            [&](const decide::CreateJob& a) { return create_job(a.manifest); },
            [&](const decide::DeleteJob& a) -> Status {
                base::log_info("deleting Job", {{"job", a.name}});
                auto removed = client_.remove(jobs_resource, {restore.meta.namespace_name, a.name}, {a.uid});
                if (!removed && removed.error().kind == ErrorKind::not_found) return base::success();
                return removed;
            },
            [&](const decide::Scale& a) { return scale(*world.workload, a.replicas); },
            [&](const decide::SuspendCronJob& a) { return suspend(world.cron_jobs.at(a.name), a.suspended); },
            [&](const decide::Speak& a) -> Status {
                speak(world, a);
                return base::success();
            },
        },
        action);
}

Status Applier::save_restore(resources::DatabaseRestore& restore, const resources::RestoreStatus& status) {
    const auto saved = client_.apply(restores_resource, restore.meta.key(), "status",
                                     status_body("DatabaseRestore", restore.meta, to_json(status)),
                                     {operator_manager, true});
    if (!saved) return saved.error();
    own_writes_.remember("restore", restore.meta.key(), version_of(*saved), clock_.now());
    metrics_.status_saved(restore, status, clock_.now());
    if (restore.status.phase != status.phase)
        base::log_info("phase", {{"from", to_text(restore.status.phase)}, {"to", to_text(status.phase)}});
    restore.meta.resource_version = version_of(*saved);
    restore.status = status;
    return base::success();
}

Status Applier::save_server(resources::PostgresServer& server, const json& status, const char* manager) {
    const auto saved = client_.apply(servers_resource, server.meta.key(), "status",
                                     status_body("PostgresServer", server.meta, status), {manager, true});
    if (!saved) return saved.error();
    own_writes_.remember("server", server.meta.key(), version_of(*saved), clock_.now());
    server.meta.resource_version = version_of(*saved);
    return base::success();
}

Status Applier::save_finalizer(const kube::Resource& resource, const char* kind, resources::ObjectMeta& meta,
                               bool wanted) {
    const auto written = set_finalizer(client_, resource, meta, wanted);
    if (!written) return written.error();
    if (*written) own_writes_.remember(kind, meta.key(), meta.resource_version, clock_.now());
    return base::success();
}

// The server's first: while the restore still has its own, a crash in between brings us back here. A decision
// about the server alone has no restore, and means the server's whoever holds its lock.
Status Applier::remove_finalizers(World& world) {
    const bool others = !world.restore.meta.uid.empty() && world.server &&
                        world.server->lock.active_restore &&
                        world.server->lock.active_restore->uid != world.restore.meta.uid;
    if (world.server && !others) {
        if (auto removed = save_finalizer(servers_resource, "server", world.server->meta, false); !removed)
            return removed;
    }
    return save_finalizer(restores_resource, "restore", world.restore.meta, false);
}

Status Applier::mark_executed(resources::DatabaseRestore& restore, bool executed) {
    json patch{{"metadata", {{"resourceVersion", restore.meta.resource_version}}}};
    patch["metadata"]["annotations"][resources::executed_annotation] =
        executed ? json(restore.meta.uid) : json(nullptr);
    const auto patched =
        client_.merge_patch(restores_resource, restore.meta.key(), "", patch, operator_manager);
    if (!patched) return patched.error();
    own_writes_.remember("restore", restore.meta.key(), version_of(*patched), clock_.now());
    restore.meta.resource_version = version_of(*patched);
    return base::success();
}

Status Applier::create_job(const json& manifest) {
    const Key key{resources::text_at(manifest, "metadata.namespace"),
                  resources::text_at(manifest, "metadata.name")};
    auto created = client_.create(jobs_resource, key.namespace_name, manifest);
    if (!created && created.error().kind == ErrorKind::conflict) {
        // Ours from a round whose answer was lost, or somebody else's: the label tells.
        created = client_.get(jobs_resource, key);
        if (!created) return created.error();
        const auto existing = resources::job_from_json(*created);
        const std::string wanted =
            resources::field(manifest, "metadata.labels").value(decide::restore_uid_label, "");
        if (existing.meta.label(decide::restore_uid_label) != wanted)
            return base::error(ErrorKind::refused,
                               "Job " + to_text(key) + " exists and is not this restore's",
                               "delete or rename it");
        if (existing.meta.deleting)
            return base::error(ErrorKind::unavailable, "Job " + to_text(key) + " is still being deleted");
    }
    if (!created) return created.error();
    base::log_info("Job", {{"job", key.name}});
    const auto job = resources::job_from_json(*created);
    const Key restore{key.namespace_name, job.meta.label(decide::restore_name_label)};
    own_writes_.remember("job", restore, job.meta.resource_version, clock_.now());
    return base::success();
}

Status Applier::scale(const resources::Workload& workload, int64_t replicas) {
    // Only as what was checked: a change in between (whenScaled!) is a conflict, and everything is looked at
    // again. So a controller that was paused since scales nothing: whoever went on meanwhile has scaled too.
    const json patch{{"metadata", {{"resourceVersion", workload.meta.resource_version}}},
                     {"spec", {{"replicas", replicas}}}};
    const auto scaled = client_.merge_patch(workload_resource(workload.kind), workload.meta.key(), "scale",
                                            patch, operator_manager);
    if (!scaled) return scaled.error();
    base::log_info("scaled", {{"workload", workload.meta.name}, {"replicas", std::to_string(replicas)}});
    own_writes_.remember(workload.kind, workload.meta.key(), version_of(*scaled), clock_.now());
    return base::success();
}

Status Applier::suspend(const resources::CronJob& cron_job, bool suspended) {
    const json patch{{"metadata", {{"resourceVersion", cron_job.meta.resource_version}}},
                     {"spec", {{"suspend", suspended}}}};
    const auto patched =
        client_.merge_patch(cron_jobs_resource, cron_job.meta.key(), "", patch, operator_manager);
    if (!patched) return patched.error();
    base::log_info(suspended ? "paused" : "resumed", {{"cronjob", cron_job.meta.name}});
    return base::success();
}

// Of a restore that vanished its server tells.
void Applier::speak(const World& world, const decide::Speak& event) {
    const bool vanished = world.vanished;
    const auto& meta = vanished ? world.server->meta : world.restore.meta;
    base::log(event.warning ? base::LogLevel::warning : base::LogLevel::info, event.message,
              {{"event", event.reason}});
    const std::string now = base::format_time_micro(clock_.now());
    const std::string name =
        meta.name + "." + base::sha256_hex(meta.uid + event.reason + event.message + now).substr(0, 16);
    const json document{{"apiVersion", "events.k8s.io/v1"},
                        {"kind", "Event"},
                        {"metadata", {{"name", name}, {"namespace", meta.namespace_name}}},
                        {"eventTime", now},
                        {"reportingController", "dbrestore.dev/controller"},
                        {"reportingInstance", "dbrestore-operator"},
                        {"action", "Restore"},
                        {"reason", event.reason},
                        {"type", event.warning ? "Warning" : "Normal"},
                        {"note", note_of(event.message)},
                        {"regarding",
                         {{"apiVersion", resources::api_version},
                          {"kind", vanished ? "PostgresServer" : "DatabaseRestore"},
                          {"name", meta.name},
                          {"namespace", meta.namespace_name},
                          {"uid", meta.uid}}}};
    // An event tells; it decides nothing. So its failure is logged, and the round goes on.
    if (const auto created = client_.create(events_resource, meta.namespace_name, document); !created) {
        base::log_warning("cannot record an event", {{"error", to_text(created.error())}});
    }
}

}  // namespace dbrestore::op
