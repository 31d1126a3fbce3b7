#include "operator/controller.h"

#include "base/log.h"
#include "decide/phases.h"

namespace dbrestore::op {

using namespace std::chrono_literals;
using resources::Key;

namespace {

constexpr auto catch_up_pause = 500ms;

}  // namespace

Controller::Controller(kube::Client& client, Caches& caches, kube::WorkQueue& restore_queue,
                       kube::WorkQueue& server_queue, Metrics& metrics, const base::Clock& clock,
                       decide::Settings settings)
    : caches_(caches),
      restore_queue_(restore_queue),
      server_queue_(server_queue),
      metrics_(metrics),
      clock_(clock),
      cached_(caches),
      live_(client),
      observer_(caches, client, clock, std::move(settings)),
      applier_(client, own_writes_, metrics, clock) {}

void Controller::work_on(const Lane& lane, const Key& key) {
    const base::LogScope scope{{lane.name, to_text(key)}};
    const auto start = std::chrono::steady_clock::now();
    metrics_.worker_busy(lane.name, 1);
    const Outcome outcome = (this->*lane.reconcile)(key);
    metrics_.worker_busy(lane.name, -1);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    metrics_.reconciled(lane.name,
                        outcome == Outcome::error   ? "error"
                        : outcome == Outcome::again ? "requeue_after"
                                                    : "success",
                        seconds);
    if (outcome != Outcome::error) lane.queue.forget(key);
    lane.queue.done(key);
}

void Controller::work(const Lane& lane) {
    while (const auto key = lane.queue.get()) work_on(lane, *key);
}

bool Controller::work_once(const Lane& lane) {
    const auto key = lane.queue.try_get();
    if (key) work_on(lane, *key);
    return key.has_value();
}

void Controller::start(int workers) {
    for (int i = 0; i < workers; ++i) {
        threads_.emplace_back([this] { work(restores_); });
        threads_.emplace_back([this] { work(servers_); });
    }
}

void Controller::join() {
    threads_.clear();
}

Controller::Outcome Controller::handle_error(kube::WorkQueue& queue, const Key& key,
                                             const base::Error& error) {
    // A conflict is the guard at work: somebody wrote first, and the next round sees it.
    base::log(error.kind == base::ErrorKind::conflict ? base::LogLevel::debug : base::LogLevel::warning,
              "trying again", {{"error", to_text(error)}});
    if (error.retry_after_seconds > 0)
        queue.add_after(key, std::chrono::seconds(error.retry_after_seconds));
    else
        queue.add_rate_limited(key);
    return Outcome::error;
}

bool Controller::workload_seen(const resources::PostgresServer& server, base::Time now) {
    const std::string& kind = server.workload_kind;
    return own_writes_.seen(kind, {server.meta.namespace_name, server.workload_name}, caches_.workloads(kind),
                            now);
}

// Whether the caches hold all that we wrote ourselves about this restore.
bool Controller::caught_up(const Key& key) {
    const auto now = clock_.now();
    const auto restore = caches_.restores.get(key);
    if (!own_writes_.seen("restore", key, caches_.restores, now) ||
        !own_writes_.seen("job", key, caches_.jobs, now))
        return false;
    if (!restore) return true;
    const Key server_key{key.namespace_name, restore->spec.server_name};
    if (!own_writes_.seen("server", server_key, caches_.servers, now)) return false;
    const auto server = caches_.servers.get(server_key);
    return !server || workload_seen(*server, now);
}

// The same for a server, and for the holder of its lock, which may have vanished.
bool Controller::server_caught_up(const Key& key) {
    const auto now = clock_.now();
    if (!own_writes_.seen("server", key, caches_.servers, now)) return false;
    const auto server = caches_.servers.get(key);
    if (!server || !server->lock.active_restore) return true;
    return own_writes_.seen("job", {key.namespace_name, server->lock.active_restore->name}, caches_.jobs,
                            now) &&
           workload_seen(*server, now);
}

Controller::Outcome Controller::reconcile_restore(const Key& key) {
    if (!caught_up(key)) {
        restore_queue_.add_after(key, catch_up_pause);
        return Outcome::again;
    }
    auto world = observer_.restore(cached_, key);
    if (!world) return handle_error(restore_queue_, key, world.error());
    if (!*world) return Outcome::done;
    decide::Plan plan = decide::decide(**world);
    if (plan.needs_fresh) {
        world = observer_.restore(live_, key);
        if (!world) return handle_error(restore_queue_, key, world.error());
        if (!*world) return Outcome::done;
        plan = decide::decide(**world);
    }
    const auto& step = (*world)->restore.status.step;
    const base::LogScope scope{{"step", step ? step->name : to_text((*world)->restore.status.phase)}};
    base::log_debug(plan.why, {{"actions", std::to_string(plan.actions.size())}});
    if (auto applied = applier_.apply(**world, plan); !applied)
        return handle_error(restore_queue_, key, applied.error());
    if (!plan.look_again_after) return Outcome::done;
    restore_queue_.add_after(key, *plan.look_again_after);
    return Outcome::again;
}

Controller::Outcome Controller::reconcile_server(const Key& key) {
    if (!server_caught_up(key)) {
        server_queue_.add_after(key, catch_up_pause);
        return Outcome::again;
    }
    auto world = observer_.server(cached_, key);
    if (!world) return handle_error(server_queue_, key, world.error());
    if (!*world) return Outcome::done;
    decide::Plan plan = decide::decide_server(**world);
    if (plan.needs_fresh) {
        world = observer_.server(live_, key);
        if (!world) return handle_error(server_queue_, key, world.error());
        if (!*world) return Outcome::done;
        plan = decide::decide_server(**world);
    }
    if (auto applied = applier_.apply(**world, plan); !applied)
        return handle_error(server_queue_, key, applied.error());
    if (!plan.look_again_after) return Outcome::done;
    server_queue_.add_after(key, *plan.look_again_after);
    return Outcome::again;
}

}  // namespace dbrestore::op
