#include "operator/caches.h"

#include <algorithm>

#include "decide/jobs.h"
#include "operator/kinds.h"

namespace dbrestore::op {

using resources::DatabaseRestore;
using resources::Key;
using resources::PostgresServer;

namespace {

template <typename T>
const T& present(const std::shared_ptr<const T>& before, const std::shared_ptr<const T>& after) {
    return after ? *after : *before;
}

}  // namespace

Caches::Caches(kube::WorkQueue& restore_queue, kube::WorkQueue& server_queue)
    : restores([](const nlohmann::json& o) { return std::optional(resources::restore_from_json(o)); },
               [this](const Key& key, const auto& before, const auto& after) {
                   wake_for_restore(key, after ? after.get() : before.get());
               }),
      servers([](const nlohmann::json& o) { return std::optional(resources::server_from_json(o)); },
              [this](const Key& key, const auto&, const auto&) { wake_for_server(key); }),
      stateful_sets(
          [](const nlohmann::json& o) {
              return std::optional(resources::workload_from_json(o, "StatefulSet"));
          },
          [this](const Key& key, const auto&, const auto&) { wake_for_workload("StatefulSet", key); }),
      deployments(
          [](const nlohmann::json& o) {
              return std::optional(resources::workload_from_json(o, "Deployment"));
          },
          [this](const Key& key, const auto&, const auto&) { wake_for_workload("Deployment", key); }),
      pods([](const nlohmann::json& o) { return std::optional(resources::pod_from_json(o)); },
           [this](const Key&, const auto& before, const auto& after) {
               wake_for_pod(present(before, after));
           }),
      jobs([](const nlohmann::json& o) { return std::optional(resources::job_from_json(o)); },
           [this](const Key&, const auto& before, const auto& after) {
               wake_for_owner(present(before, after).meta);
           }),
      claims([](const nlohmann::json& o) { return std::optional(resources::claim_from_json(o)); },
             [this](const Key& key, const auto&, const auto&) { wake_for_claim(key); }),
      restore_queue_(restore_queue),
      server_queue_(server_queue) {}

void Caches::wake_restores_of(const Key& server, bool unfinished_only) {
    const auto theirs = restores.list_if([&](const DatabaseRestore& r) {
        return r.meta.namespace_name == server.namespace_name && r.spec.server_name == server.name &&
               !(unfinished_only && is_final(r.status.phase));
    });
    for (const auto& restore : theirs) restore_queue_.add(restore->meta.key());
}

void Caches::wake_for_restore(const Key& key, const DatabaseRestore* restore) {
    restore_queue_.add(key);
    server_queue_.add({key.namespace_name, restore->spec.server_name});
}

void Caches::wake_for_server(const Key& key) {
    server_queue_.add(key);
    wake_restores_of(key, false);
    // Two servers on one workload know of each other.
    for (const auto& other : servers.list_if([&](const PostgresServer& s) {
             return s.meta.namespace_name == key.namespace_name && s.meta.name != key.name;
         })) {
        const bool claimed_twice = std::ranges::any_of(
            other->status.conditions, [](const auto& c) { return c.reason == "WorkloadClaimedTwice"; });
        if (claimed_twice) server_queue_.add(other->meta.key());
    }
}

void Caches::wake_for_workload(const std::string& kind, const Key& key) {
    for (const auto& server : servers.list_if([&](const PostgresServer& s) {
             return s.meta.namespace_name == key.namespace_name && s.workload_kind == kind &&
                    s.workload_name == key.name;
         })) {
        server_queue_.add(server->meta.key());
        wake_restores_of(server->meta.key(), true);
    }
}

void Caches::wake_for_pod(const resources::Pod& pod) {
    const std::string& ns = pod.meta.namespace_name;
    wake_for_owner(pod.meta);
    if (!pod.meta.label(decide::restore_name_label).empty() || pod.claim_names.empty()) return;
    const auto concerned = servers.list_if([&](const PostgresServer& s) {
        return s.meta.namespace_name == ns && s.status.inferred &&
               std::ranges::find(pod.claim_names, s.status.inferred->claim_name) != pod.claim_names.end();
    });
    for (const auto& server : concerned) {
        server_queue_.add(server->meta.key());
        if (server->lock.active_restore) restore_queue_.add({ns, server->lock.active_restore->name});
    }
}

// Of a Job or its pod: the restore that asked for it, and the server where it is the server's.
void Caches::wake_for_owner(const resources::ObjectMeta& meta) {
    const std::string restore = meta.label(decide::restore_name_label);
    if (restore.empty()) return;
    if (meta.label(decide::step_label) != decide::catalog_step)
        restore_queue_.add({meta.namespace_name, restore});
    if (decide::is_of_server(meta))
        server_queue_.add({meta.namespace_name, meta.label(decide::server_label)});
}

void Caches::wake_for_claim(const Key& key) {
    const auto waiting = restores.list_if([&](const DatabaseRestore& r) {
        return r.meta.namespace_name == key.namespace_name && !is_final(r.status.phase);
    });
    for (const auto& restore : waiting) restore_queue_.add(restore->meta.key());
}

std::vector<std::unique_ptr<kube::Reflector>>& Caches::connect(kube::Http& http,
                                                               const kube::ReflectorOptions& options) {
    const auto fill = [&](kube::RecordStore& store, const kube::Resource& resource) {
        reflectors_.push_back(std::make_unique<kube::Reflector>(http, store, resource, options));
    };
    fill(restores, restores_resource);
    fill(servers, servers_resource);
    fill(stateful_sets, stateful_sets_resource);
    fill(pods, pods_resource);
    fill(jobs, jobs_resource);
    fill(claims, claims_resource);
    fill(deployments, deployments_resource);
    return reflectors_;
}

void Caches::start(kube::Http& http, const std::string& namespace_name, std::stop_token stop) {
    kube::ReflectorOptions options;
    options.namespace_name = namespace_name;
    for (const auto& reflector : connect(http, options))
        threads_.emplace_back([reflector = reflector.get(), stop] { reflector->run(stop); });
}

bool Caches::synced() const {
    return restores.synced() && servers.synced() && stateful_sets.synced() && deployments.synced() &&
           pods.synced() && jobs.synced() && claims.synced();
}

bool Caches::wait_synced(const std::stop_token& stop) const {
    return restores.wait_synced(stop) && servers.wait_synced(stop) && stateful_sets.wait_synced(stop) &&
           deployments.wait_synced(stop) && pods.wait_synced(stop) && jobs.wait_synced(stop) &&
           claims.wait_synced(stop);
}

}  // namespace dbrestore::op
