#pragma once
// What the operator holds of the cluster, and whose turn it is when something of it changes.

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "kube/cache.h"
#include "kube/watch.h"
#include "kube/work_queue.h"
#include "resources/database_restore.h"
#include "resources/postgres_server.h"

namespace dbrestore::op {

class Caches {
public:
    // Changes put keys into these queues, which must outlive the caches.
    Caches(kube::WorkQueue& restore_queue, kube::WorkQueue& server_queue);

    kube::Cache<resources::DatabaseRestore> restores;
    kube::Cache<resources::PostgresServer> servers;
    kube::Cache<resources::Workload> stateful_sets, deployments;
    kube::Cache<resources::Pod> pods;
    kube::Cache<resources::Job> jobs;
    kube::Cache<resources::Claim> claims;

    // Begins to list and watch, one thread a kind, until the stop.
    void start(kube::Http& http, const std::string& namespace_name, std::stop_token stop);
    // The same without threads: one reflector a kind, for whoever steps them by hand.
    std::vector<std::unique_ptr<kube::Reflector>>& connect(kube::Http& http,
                                                           const kube::ReflectorOptions& options);
    const kube::Cache<resources::Workload>& workloads(const std::string& kind) const {
        return kind == "Deployment" ? deployments : stateful_sets;
    }
    bool synced() const;
    bool wait_synced(const std::stop_token& stop) const;

private:
    void wake_restores_of(const resources::Key& server, bool unfinished_only);
    void wake_for_restore(const resources::Key& key, const resources::DatabaseRestore* restore);
    void wake_for_server(const resources::Key& key);
    void wake_for_workload(const std::string& kind, const resources::Key& key);
    void wake_for_pod(const resources::Pod& pod);
    void wake_for_owner(const resources::ObjectMeta& meta);
    void wake_for_claim(const resources::Key& key);

    kube::WorkQueue& restore_queue_;
    kube::WorkQueue& server_queue_;
    std::vector<std::unique_ptr<kube::Reflector>> reflectors_;
    std::vector<std::jthread> threads_;  // last: they end before what they use
};

}  // namespace dbrestore::op
