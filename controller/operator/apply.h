#pragma once
// Carries out what was decided. The only place that changes anything in the cluster.

#include <map>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "decide/action.h"
#include "decide/world.h"
#include "kube/client.h"
#include "operator/metrics.h"

namespace dbrestore::op {

// The resourceVersions of our own newest writes. A key is worked on only once the caches have seen them: a
// decision on what was before our own write would repeat it.
class OwnWrites {
public:
    void remember(const std::string& kind, const resources::Key& key, const std::string& resource_version,
                  base::Time now);
    // True when the cache has caught up, or has had ten seconds for it (an API server that was restored
    // counts anew).
    template <typename T>
    bool seen(const std::string& kind, const resources::Key& key, const kube::Cache<T>& cache,
              base::Time now) {
        const std::lock_guard lock(mutex_);
        const auto at = writes_.find({kind, key});
        if (at == writes_.end()) return true;
        if (!cache.has_seen(at->second.resource_version) && base::seconds_between(at->second.time, now) < 10)
            return false;
        writes_.erase(at);
        return true;
    }

private:
    struct Write {
        std::string resource_version;
        base::Time time;
    };
    std::mutex mutex_;
    std::map<std::pair<std::string, resources::Key>, Write> writes_;
};

class Applier {
public:
    Applier(kube::Client& client, OwnWrites& own_writes, Metrics& metrics, const base::Clock& clock)
        : client_(client), own_writes_(own_writes), metrics_(metrics), clock_(clock) {}

    // Actions in order; the first error ends it. The world's resourceVersions follow our own writes.
    base::Status apply(decide::World& world, const decide::Plan& plan);
    base::Status apply(decide::ServerWorld& world, const decide::Plan& plan);

private:
    base::Status carry_out(decide::World& world, const decide::Action& action);
    base::Status save_restore(resources::DatabaseRestore& restore, const resources::RestoreStatus& status);
    base::Status save_server(resources::PostgresServer& server, const nlohmann::json& status,
                             const char* manager);
    base::Status save_finalizer(const kube::Resource& resource, const char* kind, resources::ObjectMeta& meta,
                                bool wanted);
    base::Status remove_finalizers(decide::World& world);
    base::Status mark_executed(resources::DatabaseRestore& restore, bool executed);
    base::Status create_job(const nlohmann::json& manifest);
    base::Status scale(const resources::Workload& workload, int64_t replicas);
    base::Status suspend(const resources::CronJob& cron_job, bool suspended);
    void speak(const decide::World& world, const decide::Speak& event);

    kube::Client& client_;
    OwnWrites& own_writes_;
    Metrics& metrics_;
    const base::Clock& clock_;
};

}  // namespace dbrestore::op
