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

    // One key that is ready, on the caller's own thread, for whoever schedules by hand. False: none is.
    bool work_on_a_restore() { return work_once(restores_); }
    bool work_on_a_server() { return work_once(servers_); }

private:
    enum class Outcome { done, again, error };
    // A queue, and what is done with a key from it.
    struct Lane {
        std::string name;
        kube::WorkQueue& queue;
        Outcome (Controller::*reconcile)(const resources::Key&);
    };

    void work(const Lane& lane);
    bool work_once(const Lane& lane);
    void work_on(const Lane& lane, const resources::Key& key);
    Outcome reconcile_restore(const resources::Key& key);
    Outcome reconcile_server(const resources::Key& key);
    Outcome handle_error(kube::WorkQueue& queue, const resources::Key& key, const base::Error& error);
    bool caught_up(const resources::Key& restore);
    bool server_caught_up(const resources::Key& server);
    bool workload_seen(const resources::PostgresServer& server, base::Time now);

    Caches& caches_;
    kube::WorkQueue& restore_queue_;
    kube::WorkQueue& server_queue_;
    const Lane restores_{"restore", restore_queue_, &Controller::reconcile_restore};
    const Lane servers_{"server", server_queue_, &Controller::reconcile_server};
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
