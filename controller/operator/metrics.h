#pragma once
// What Prometheus scrapes. Names that controller-runtime made common are kept, so that existing dashboards
// work; our own begin with dbrestore_. Names of restores never label counters or histograms, since they are
// unbounded.

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "base/clock.h"
#include "kube/work_queue.h"
#include "operator/caches.h"

namespace dbrestore::op {

class Metrics {
public:
    Metrics();

    void count_request(const std::string& method, int code, const std::string& host);
    void reconciled(const std::string& controller, const std::string& result, double seconds);
    void worker_busy(const std::string& controller, int change);
    void queue_waited(const std::string& name, double seconds);
    void queue_worked(const std::string& name, double seconds);

    // After a status was saved: `before` and `after` are the restore as it was and as it is now.
    void status_saved(const resources::DatabaseRestore& before, const resources::RestoreStatus& after,
                      base::Time now);

    // The text that Prometheus reads: what was counted, and what the caches and queues hold now. The latter
    // comes from the leader only, or every replica would tell it again. `leads`: nothing where no leader is
    // elected.
    std::string expose(const Caches& caches, const std::map<std::string, const kube::WorkQueue*>& queues,
                       int workers, std::optional<bool> leads);

private:
    prometheus::Registry registry_;  // what is counted
    prometheus::Family<prometheus::Counter>&requests_, &reconciles_, &reconcile_errors_, &restores_;
    prometheus::Family<prometheus::Histogram>&reconcile_seconds_, &queue_seconds_, &work_seconds_,
        &phase_seconds_, &downtime_seconds_;
    prometheus::Family<prometheus::Gauge>& active_workers_;

    std::mutex mutex_;
    std::map<std::string, base::Time>
        phase_since_;  // by UID; lost with a restart, then that phase is not timed
};

}  // namespace dbrestore::op
