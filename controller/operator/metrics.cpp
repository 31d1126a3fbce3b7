#include "operator/metrics.h"

#include <prometheus/text_serializer.h>

#include <algorithm>

namespace dbrestore::op {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using prometheus::Histogram;
using prometheus::MetricFamily;
using prometheus::MetricType;
using resources::DatabaseRestore;

namespace {

const Histogram::BucketBoundaries fast_buckets{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60};
// 5 s to 6 h: from a small database to a large one.
const Histogram::BucketBoundaries restore_buckets{5,   15,   30,   60,   120,   300,
                                                  600, 1800, 3600, 7200, 14400, 21600};

const char* truth_label(resources::Truth truth) {
    return truth == resources::Truth::yes ? "True" : truth == resources::Truth::no ? "False" : "Unknown";
}

// A gauge family made at the moment of the scrape from what is there then, so that series of deleted objects
// vanish.
class GaugeFamily {
public:
    GaugeFamily(const char* name, const char* help) {
        family_.name = name;
        family_.help = help;
        family_.type = MetricType::Gauge;
    }
    void add(double value, std::vector<prometheus::ClientMetric::Label> labels = {}) {
        prometheus::ClientMetric metric;
        metric.label = std::move(labels);
        metric.gauge.value = value;
        family_.metric.push_back(std::move(metric));
    }
    const MetricFamily& family() const { return family_; }

private:
    MetricFamily family_;
};

double unix_seconds(base::Time time) {
    return std::chrono::duration<double>(time.time_since_epoch()).count();
}

void append_objects(const Caches& caches, std::vector<MetricFamily>& families) {
    GaugeFamily in_progress("dbrestore_restores_in_progress", "Restores that hold the lock of their server");
    GaugeFamily condition("dbrestore_status_condition",
                          "1 for the status that a condition of a DatabaseRestore has");
    std::map<std::pair<std::string, std::string>, int> running;
    for (const auto& restore : caches.restores.list()) {
        const auto& status = restore->status;
        if (status.phase > resources::Phase::queued && !is_final(status.phase))
            ++running[{restore->meta.namespace_name, restore->spec.type}];
        for (const auto& c : status.conditions) {
            condition.add(1, {{"namespace", restore->meta.namespace_name},
                              {"name", restore->meta.name},
                              {"condition", c.type},
                              {"status", truth_label(c.status)}});
        }
    }
    for (const auto& [key, count] : running)
        in_progress.add(count, {{"namespace", key.first}, {"type", key.second}});
    if (running.empty()) in_progress.add(0);
    GaugeFamily last_success("dbrestore_last_success_timestamp_seconds",
                             "When a restore of the server last succeeded");
    GaugeFamily ready("dbrestore_server_ready", "Whether a PostgresServer can be restored (condition Ready)");
    for (const auto& server : caches.servers.list()) {
        const std::vector<prometheus::ClientMetric::Label> labels{{"namespace", server->meta.namespace_name},
                                                                  {"server", server->meta.name}};
        ready.add(resources::condition_is(server->status.conditions, "Ready", resources::Truth::yes) ? 1 : 0,
                  labels);
        base::Time newest{};
        for (const auto& entry : server->status.history) {
            if (entry.result == "Succeeded") newest = std::max(newest, entry.completion_time);
        }
        if (newest != base::Time{}) last_success.add(unix_seconds(newest), labels);
    }
    for (const auto* family : {&in_progress, &condition, &last_success, &ready})
        families.push_back(family->family());
}

void append_queues(const std::map<std::string, const kube::WorkQueue*>& queues, int workers,
                   std::vector<MetricFamily>& families) {
    GaugeFamily depth("workqueue_depth", "Keys that are ready to be worked on");
    GaugeFamily unfinished("workqueue_unfinished_work_seconds", "Seconds of all work that is not done yet");
    GaugeFamily longest("workqueue_longest_running_processor_seconds",
                        "Seconds of the oldest work that is not done yet");
    GaugeFamily adds("workqueue_adds_total", "Keys added"),
        retries("workqueue_retries_total", "Keys added again after an error");
    GaugeFamily most("controller_runtime_max_concurrent_reconciles", "Workers of a controller");
    for (const auto& [name, queue] : queues) {
        const auto stats = queue->stats();
        depth.add(static_cast<double>(stats.depth), {{"name", name}});
        unfinished.add(stats.unfinished_seconds, {{"name", name}});
        longest.add(stats.longest_running_seconds, {{"name", name}});
        adds.add(static_cast<double>(stats.adds), {{"name", name}});
        retries.add(static_cast<double>(stats.retries), {{"name", name}});
        most.add(workers, {{"controller", name}});
    }
    for (const auto* gauges : {&depth, &unfinished, &longest, &most}) families.push_back(gauges->family());
    for (const auto* counted : {&adds, &retries}) {
        MetricFamily family = counted->family();
        family.type = MetricType::Counter;
        for (auto& metric : family.metric) metric.counter.value = metric.gauge.value;
        families.push_back(std::move(family));
    }
}

}  // namespace

Metrics::Metrics()
    : requests_(BuildCounter()
                    .Name("rest_client_requests_total")
                    .Help("Requests to the Kubernetes API")
                    .Register(registry_)),
      reconciles_(BuildCounter()
                      .Name("controller_runtime_reconcile_total")
                      .Help("Reconciliations")
                      .Register(registry_)),
      reconcile_errors_(BuildCounter()
                            .Name("controller_runtime_reconcile_errors_total")
                            .Help("Reconciliations that ended with an error")
                            .Register(registry_)),
      restores_(
          BuildCounter().Name("dbrestore_restores_total").Help("Restores that ended").Register(registry_)),
      reconcile_seconds_(BuildHistogram()
                             .Name("controller_runtime_reconcile_time_seconds")
                             .Help("Seconds per reconciliation")
                             .Register(registry_)),
      queue_seconds_(BuildHistogram()
                         .Name("workqueue_queue_duration_seconds")
                         .Help("Seconds a key waits in the queue")
                         .Register(registry_)),
      work_seconds_(BuildHistogram()
                        .Name("workqueue_work_duration_seconds")
                        .Help("Seconds a key is worked on")
                        .Register(registry_)),
      phase_seconds_(BuildHistogram()
                         .Name("dbrestore_restore_duration_seconds")
                         .Help("Seconds that a restore spends in a phase")
                         .Register(registry_)),
      downtime_seconds_(BuildHistogram()
                            .Name("dbrestore_database_downtime_seconds")
                            .Help("Seconds from the stop of a database until it was ready again")
                            .Register(registry_)),
      active_workers_(BuildGauge()
                          .Name("controller_runtime_active_workers")
                          .Help("Workers that are busy")
                          .Register(registry_)) {
    BuildGauge()
        .Name("dbrestore_build_info")
        .Help("1, with the version as a label")
        .Register(registry_)
        .Add({{"version", DBRESTORE_VERSION}})
        .Set(1);
}

void Metrics::count_request(const std::string& method, int code, const std::string& host) {
    requests_.Add({{"method", method}, {"code", std::to_string(code)}, {"host", host}}).Increment();
}

void Metrics::reconciled(const std::string& controller, const std::string& result, double seconds) {
    reconciles_.Add({{"controller", controller}, {"result", result}}).Increment();
    if (result == "error") reconcile_errors_.Add({{"controller", controller}}).Increment();
    reconcile_seconds_.Add({{"controller", controller}}, fast_buckets).Observe(seconds);
}

void Metrics::worker_busy(const std::string& controller, int change) {
    active_workers_.Add({{"controller", controller}}).Increment(change);
}
void Metrics::queue_waited(const std::string& name, double seconds) {
    queue_seconds_.Add({{"name", name}}, fast_buckets).Observe(seconds);
}
void Metrics::queue_worked(const std::string& name, double seconds) {
    work_seconds_.Add({{"name", name}}, fast_buckets).Observe(seconds);
}

void Metrics::status_saved(const DatabaseRestore& before, const resources::RestoreStatus& after,
                           base::Time now) {
    if (before.status.phase == after.phase) return;
    const std::lock_guard lock(mutex_);
    const auto since = phase_since_.find(before.meta.uid);
    if (since != phase_since_.end()) {
        phase_seconds_
            .Add({{"type", before.spec.type}, {"phase", to_text(before.status.phase)}}, restore_buckets)
            .Observe(base::seconds_between(since->second, now));
    }
    if (!is_final(after.phase)) {
        phase_since_[before.meta.uid] = now;
        return;
    }
    phase_since_.erase(before.meta.uid);
    if (before.spec.dry_run != "None") return;  // it restored nothing
    restores_
        .Add({{"namespace", before.meta.namespace_name},
              {"type", before.spec.type},
              {"result", to_text(after.phase)}})
        .Increment();
    if (after.downtime_seconds) {
        downtime_seconds_
            .Add({{"namespace", before.meta.namespace_name}, {"server", before.spec.server_name}},
                 restore_buckets)
            .Observe(static_cast<double>(*after.downtime_seconds));
    }
}

std::string Metrics::expose(const Caches& caches, const std::map<std::string, const kube::WorkQueue*>& queues,
                            int workers, std::optional<bool> leads) {
    std::vector<MetricFamily> families = registry_.Collect();
    if (leads) {
        GaugeFamily master("leader_election_master_status", "1 of the replica that leads, 0 of the others");
        master.add(*leads ? 1 : 0, {{"name", "dbrestore-leader"}});
        families.push_back(master.family());
    }
    if (leads.value_or(true)) {
        append_objects(caches, families);
        append_queues(queues, workers, families);
    }
    return prometheus::TextSerializer().Serialize(families);
}

}  // namespace dbrestore::op
