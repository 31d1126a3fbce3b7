#include "operator/observe.h"

#include <algorithm>
#include <set>

#include "decide/backup.h"
#include "decide/catalog.h"
#include "decide/jobs.h"
#include "decide/take_over.h"
#include "operator/kinds.h"
#include "resources/json_fields.h"

namespace dbrestore::op {

using base::ErrorKind;
using base::Result;
using base::Status;
using decide::ServerWorld;
using decide::World;
using resources::Key;
using resources::Pod;

namespace {

// The last line is the result, the line before it at most two seconds old; a result with a hundred findings
// fits.
constexpr int64_t log_tail_lines = 10;
constexpr int64_t log_limit_bytes = 2 << 20;
constexpr double notes_after_seconds = 60;

const Pod::Container* agent_container(const Pod& pod) {
    const auto at = std::ranges::find(pod.containers, std::string("agent"), &Pod::Container::name);
    return at == pod.containers.end() ? nullptr : &*at;
}

std::string current_job_name(const resources::DatabaseRestore& restore) {
    const auto& step = *restore.status.step;
    return decide::job_name(restore.meta.uid, step.name, step.attempt);
}

bool mounts(const Pod& pod, const std::string& claim) {
    return std::ranges::find(pod.claim_names, claim) != pod.claim_names.end();
}

}  // namespace

Result<std::optional<World>> Observer::restore(View& view, const Key& key) {
    auto restore = view.restore(key);
    if (!restore) return restore.error();
    if (!*restore) return std::optional<World>();
    World world;
    world.now = clock_.now();
    world.fresh = view.fresh();
    world.settings = settings_;
    world.restore = std::move(**restore);
    const auto terminating = namespace_terminating(world.restore.meta);
    if (!terminating) return terminating.error();
    world.namespace_terminating = *terminating;
    if (auto added = add_server(view, world); !added) return added.error();
    if (auto added = add_claims(view, world); !added) return added.error();
    if (auto added = add_cron_jobs(world); !added) return added.error();
    if (auto added = add_pods_and_jobs(view, world); !added) return added.error();
    if (auto added = add_report(world); !added) return added.error();
    if (auto added = add_notes(world); !added) return added.error();
    add_rivals(world);
    if (view.fresh()) {
        if (auto whole = check_untorn(view, world); !whole) return whole.error();
    }
    return std::optional<World>(std::move(world));
}

// What was read one after the other is one picture only if nobody wrote the two statuses meanwhile: a Job
// that a newer status asks for would be taken for a leftover.
Status Observer::check_untorn(View& view, const World& world) {
    const auto restore = view.restore(world.restore.meta.key());
    if (!restore) return restore.error();
    const bool same = *restore && (*restore)->meta.resource_version == world.restore.meta.resource_version;
    if (!same) return base::error(ErrorKind::conflict, "the restore changed while it was looked at");
    return world.server ? check_untorn(view, *world.server) : base::success();
}

Status Observer::check_untorn(View& view, const resources::PostgresServer& seen) {
    const auto server = view.server(seen.meta.key());
    if (!server) return server.error();
    if (*server && (*server)->meta.resource_version == seen.meta.resource_version) return base::success();
    return base::error(ErrorKind::conflict, "the PostgresServer changed while it was looked at");
}

// Deleting a namespace deletes what is in it, so only then the question is asked.
Result<bool> Observer::namespace_terminating(const resources::ObjectMeta& meta) {
    if (!meta.deleting) return false;
    const auto document = client_.get(namespaces_resource, {"", meta.namespace_name});
    if (!document && document.error().kind == ErrorKind::not_found) return true;
    if (!document) return document.error();
    return resources::present_at(*document, "metadata.deletionTimestamp");
}

Status Observer::add_server(View& view, World& world) {
    const std::string& ns = world.restore.meta.namespace_name;
    auto server = view.server({ns, world.restore.spec.server_name});
    if (!server) return server.error();
    world.server = std::move(*server);
    if (!world.server) return base::success();
    auto workload = view.workload(world.server->workload_kind, {ns, world.server->workload_name});
    if (!workload) return workload.error();
    world.workload = std::move(*workload);
    return base::success();
}

Status Observer::add_claims(View& view, World& world) {
    std::vector<std::string> names;
    if (const auto store = decide::store_of(world)) names.push_back(store->claim_name);
    if (world.server && world.server->status.inferred)
        names.push_back(world.server->status.inferred->claim_name);
    for (const auto& name : names) {
        if (name.empty()) continue;
        auto claim = view.claim({world.restore.meta.namespace_name, name});
        if (!claim) return claim.error();
        if (*claim) world.claims[name] = **claim;
    }
    return base::success();
}

// From the API server itself, and only where some are to be paused: no cache of CronJobs is worth its while.
Status Observer::add_cron_jobs(World& world) {
    if (!world.server) return base::success();
    std::set<std::string> names(world.server->suspend.begin(), world.server->suspend.end());
    for (const auto& paused : world.server->lock.paused) names.insert(paused.name);
    for (const auto& name : names) {
        const auto document = client_.get(cron_jobs_resource, {world.restore.meta.namespace_name, name});
        if (!document && document.error().kind == ErrorKind::not_found) continue;
        if (!document) return document.error();
        world.cron_jobs[name] = resources::cron_job_from_json(*document);
    }
    return base::success();
}

Status Observer::add_pods_and_jobs(View& view, World& world) {
    const std::string& ns = world.restore.meta.namespace_name;
    const std::string claim =
        world.server && world.server->status.inferred ? world.server->status.inferred->claim_name : "";
    // Jobs first: the pod of one that is deleted in between is seen without it, never the other way round.
    auto jobs = view.jobs(ns, decide::restore_uid_label, world.restore.meta.uid);
    if (!jobs) return jobs.error();
    world.jobs = std::move(*jobs);
    auto pods = view.pods(ns);
    if (!pods) return pods.error();
    for (auto& pod : *pods) {
        const bool ours = pod.meta.label(decide::restore_uid_label) == world.restore.meta.uid;
        const bool of_workload = world.workload && is_pod_of(*world.workload, pod);
        if (ours || of_workload || (!claim.empty() && mounts(pod, claim)))
            world.pods.push_back(std::move(pod));
    }
    return base::success();
}

// Nothing: the container has not started. A log that is gone for good is a lost result; one that cannot be
// read now is an error, so that no attempt is given up for a slow kubelet.
Result<std::optional<resources::AgentReport>> Observer::report_of(const Pod& pod) {
    const auto* agent = agent_container(pod);
    const bool ended = pod.finished() || (agent != nullptr && agent->terminated);
    if (agent == nullptr || (!agent->running && !agent->terminated)) {
        if (!ended) return std::optional<resources::AgentReport>();
        return std::optional(resources::parse_agent_report("", "", true));
    }
    auto log = client_.pod_log(pod.meta.key(), {"agent", log_tail_lines, log_limit_bytes});
    if (!log && !ended) return std::optional<resources::AgentReport>();
    if (!log && log.error().kind == ErrorKind::unavailable) return log.error();
    return std::optional(resources::parse_agent_report(log ? *log : "", agent->termination_message, ended));
}

Status Observer::add_report(World& world) {
    if (!world.restore.status.step) return base::success();
    const std::string job = current_job_name(world.restore);
    for (const auto& pod : world.pods) {
        if (pod.meta.label(decide::job_name_label) != job) continue;
        auto report = report_of(pod);
        if (!report) return report.error();
        world.report = std::move(*report);
    }
    return base::success();
}

Status Observer::add_notes(World& world) {
    const auto& step = world.restore.status.step;
    if (!step || world.report || base::seconds_between(step->start_time, world.now) < notes_after_seconds)
        return base::success();
    std::vector<std::string> names{current_job_name(world.restore)};
    for (const auto& pod : world.pods) {
        if (pod.meta.label(decide::job_name_label) == names[0]) names.push_back(pod.meta.name);
    }
    for (const auto& name : names) {
        auto page = client_.list(core_events_resource, world.restore.meta.namespace_name,
                                 {"", "type=Warning,involvedObject.name=" + name, "", 50});
        if (!page) return page.error();
        for (const auto& item : page->items) world.notes.push_back(resources::event_from_json(item));
    }
    std::ranges::stable_sort(world.notes, std::greater<>(), &resources::EventNote::last_time);
    return base::success();
}

// From the cache also in a fresh look: order in the queue is fairness, not safety; the lock settles who runs.
void Observer::add_rivals(World& world) {
    const auto& meta = world.restore.meta;
    const auto rivals = caches_.restores.list_if([&](const resources::DatabaseRestore& r) {
        return r.meta.namespace_name == meta.namespace_name &&
               r.spec.server_name == world.restore.spec.server_name && r.meta.uid != meta.uid &&
               !is_final(r.status.phase);
    });
    for (const auto& rival : rivals) world.rivals.push_back(*rival);
}

Result<std::optional<ServerWorld>> Observer::server(View& view, const Key& key) {
    auto server = view.server(key);
    if (!server) return server.error();
    if (!*server) return std::optional<ServerWorld>();
    ServerWorld world;
    world.now = clock_.now();
    world.fresh = view.fresh();
    world.settings = settings_;
    world.server = std::move(**server);
    auto workload =
        view.workload(world.server.workload_kind, {key.namespace_name, world.server.workload_name});
    if (!workload) return workload.error();
    world.workload = std::move(*workload);
    for (const auto& other : caches_.servers.list_if([&](const resources::PostgresServer& s) {
             return s.meta.namespace_name == key.namespace_name && s.meta.name != key.name;
         })) {
        world.others.push_back(*other);
    }
    if (world.server.status.history.empty()) {
        for (const auto& ended : caches_.restores.list_if([&](const resources::DatabaseRestore& r) {
                 return r.meta.namespace_name == key.namespace_name && r.spec.server_name == key.name &&
                        is_final(r.status.phase);
             })) {
            world.ended.push_back(*ended);
        }
    }
    const auto terminating = namespace_terminating(world.server.meta);
    if (!terminating) return terminating.error();
    world.namespace_terminating = *terminating;
    if (auto added = add_holder(view, world); !added) return added.error();
    if (auto added = add_kept_data(view, world); !added) return added.error();
    if (view.fresh()) {
        if (auto whole = check_untorn(view, world.server); !whole) return whole.error();
    }
    return std::optional<ServerWorld>(std::move(world));
}

// Where the lock's holder is not in the cache, the API server itself must say that it is gone.
Status Observer::add_holder(View& view, ServerWorld& world) {
    const auto& holder = world.server.lock.active_restore;
    if (!holder || world.namespace_terminating) return base::success();
    const Key key{world.server.meta.namespace_name, holder->name};
    const auto cached = caches_.restores.get(key);
    if (cached && cached->meta.uid == holder->uid) {
        world.holder = *cached;
        return base::success();
    }
    const auto document = client_.get(restores_resource, key);
    if (!document && document.error().kind != ErrorKind::not_found) return document.error();
    if (document && resources::meta_from_json(*document).uid == holder->uid) return base::success();
    World left;
    left.now = world.now;
    left.fresh = view.fresh();
    left.vanished = true;
    left.settings = settings_;
    left.restore = decide::vanished_holder(world.server, world.now);
    if (auto added = add_server(view, left); !added) return added;
    if (auto added = add_cron_jobs(left); !added) return added;
    if (auto added = add_pods_and_jobs(view, left); !added) return added;
    if (auto added = add_report(left); !added) return added;
    if (auto added = add_notes(left); !added) return added;
    world.vanished = std::move(left);
    return base::success();
}

Status Observer::add_kept_data(View& view, ServerWorld& world) {
    const bool keeps_old_data = std::ranges::any_of(world.server.status.history,
                                                    [](const auto& entry) { return entry.keeps_data(); });
    if (!keeps_old_data && world.server.stores.empty() && world.server.status.stores.empty())
        return base::success();
    const Key key = world.server.meta.key();
    auto jobs = view.jobs(key.namespace_name, decide::server_label, key.name);
    if (!jobs) return jobs.error();
    for (auto& job : *jobs) {
        if (decide::is_of_server(job.meta)) world.jobs.push_back(std::move(job));
    }
    auto pods = view.pods(key.namespace_name);
    if (!pods) return pods.error();
    for (auto& pod : *pods) {
        const std::string job = pod.meta.label(decide::job_name_label);
        const bool is_wanted = pod.meta.label(decide::step_label) != decide::catalog_step ||
                               decide::awaits_list(world.server, job);
        if (decide::is_of_server(pod.meta) && pod.meta.label(decide::server_label) == key.name &&
            pod.finished() && is_wanted) {
            // A log that cannot be read now must not keep the server from all else: there is no report yet.
            const auto report = report_of(pod);
            if (report && *report) world.reports[job] = **report;
        }
        if (world.workload && is_pod_of(*world.workload, pod)) world.pods.push_back(std::move(pod));
    }
    return base::success();
}

}  // namespace dbrestore::op
