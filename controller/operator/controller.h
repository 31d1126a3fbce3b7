#pragma once
// The loop: a key from a queue, observe, decide, apply.

#include <string>
#include <thread>
#include <vector>

#include "operator/apply.h"
#include "operator/caches.h"
#include "operator/metrics.h"
#include "operator/observe.h"

namespace dbrestore::op {

class Controller {
public:
    Controller(kube::Client& client, Caches& caches, kube::WorkQueue& restore_queue,
               kube::WorkQueue& server_queue, Metrics& metrics, const base::Clock& clock,
               decide::Settings settings);

    // Starts this many workers for each queue. They end when the queues are shut down.
    void start(int workers);
    void join();

private:
    enum class Outcome { done, again, error };

    template <typename Reconcile>
    void work(const std::string& name, kube::WorkQueue& queue, Reconcile reconcile);
    Outcome reconcile_restore(const resources::Key& key);
    Outcome reconcile_server(const resources::Key& key);
    Outcome handle_error(kube::WorkQueue& queue, const resources::Key& key, const base::Error& error);
    bool caught_up(const resources::Key& restore);
    bool server_caught_up(const resources::Key& server);

    Caches& caches_;
    kube::WorkQueue& restore_queue_;
    kube::WorkQueue& server_queue_;
    Metrics& metrics_;
    const base::Clock& clock_;
    OwnWrites own_writes_;
    CachedView cached_;
    LiveView live_;
    Observer observer_;
    Applier applier_;
    std::vector<std::jthread> threads_;
};

}  // namespace dbrestore::op
