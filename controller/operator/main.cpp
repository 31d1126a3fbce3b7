// dbrestore-operator: wiring only.

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <random>

#include "base/log.h"
#include "kube/lease.h"
#include "kube/session.h"
#include "operator/catch_up.h"
#include "operator/controller.h"
#include "operator/health.h"
#include "operator/http_server.h"
#include "operator/let_go.h"
#include "operator/options.h"

namespace {

using namespace dbrestore;

int fail(const base::Error& error) {
    base::log_error("cannot start", {{"error", to_text(error)}});
    return 1;
}

// Signals are taken by sigwait in main; every thread inherits the mask.
sigset_t block_signals() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    signal(SIGPIPE, SIG_IGN);
    return signals;
}

kube::WorkQueueOptions queue_options(op::Metrics& metrics, const std::string& name) {
    kube::WorkQueueOptions options;
    options.longest_delay = std::chrono::minutes(1);
    options.waited = [&metrics, name](double seconds) { metrics.queue_waited(name, seconds); };
    options.worked = [&metrics, name](double seconds) { metrics.queue_worked(name, seconds); };
    return options;
}

void wait_for_signal(const sigset_t& signals) {
    int signal_number = 0;
    sigwait(&signals, &signal_number);
    base::log_info("stopping", {{"signal", std::to_string(signal_number)}});
}

// NAME_RANDOM: the pod's name tells people who leads; the rest tells its containers apart, of which one may
// still run while the next begins.
std::string own_identity() {
    std::array<char, 256> host{};
    gethostname(host.data(), host.size() - 1);
    std::random_device random;
    std::array<char, 17> suffix{};
    std::snprintf(suffix.data(), suffix.size(), "%08x%08x", random(), random());
    return kube::process_environment("POD_NAME").value_or(host.data()) + "_" + suffix.data();
}

// The only door to the cluster for whatever writes, and whether it is open.
class Leadership {
public:
    Leadership(kube::Http& http, const base::Clock& clock, const op::Options& options,
               const kube::Config& config)
        : http_(http) {
        if (!options.leader_elect) return;
        kube::ElectorOptions election;
        election.namespace_name = config.namespace_name;
        election.identity = own_identity();
        elector_.emplace(http, clock, std::move(election));
        gate_.emplace(http, [this] { return elector_->leads(); });
    }

    kube::Http& door() { return gate_ ? *gate_ : http_; }
    bool hangs() const { return elector_ && elector_->hangs(); }
    std::optional<bool> leads() const { return elector_ ? std::optional(elector_->leads()) : std::nullopt; }

    void start() {
        if (elector_) thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
    }
    bool wait(const std::stop_token& stop) const {
        return elector_ ? elector_->wait_until_leading(stop) : !stop.stop_requested();
    }
    // When the work has ended.
    void end() {
        if (!thread_.joinable()) return;
        thread_.request_stop();
        thread_.join();
        elector_->release();
    }

private:
    void run(const std::stop_token& stop) {
        const auto lost = elector_->run(stop);
        if (!lost) return;
        base::log_error("not the leader any more: this process ends, and starts anew as a follower",
                        {{"why", *lost}});
        std::_Exit(1);  // at once: workers may be in the middle of something that is not theirs any more
    }

    kube::Http& http_;
    std::optional<kube::Elector> elector_;
    std::optional<kube::LeaderGate> gate_;
    std::jthread thread_;
};

// Of an own namespace that is being deleted. The client of the work has stopped already.
void let_go(Leadership& leadership, const op::Options& options) {
    if (options.namespace_name.empty() || !leadership.leads().value_or(true)) return;
    kube::Client client(leadership.door());
    if (auto done = op::let_go_of_namespace(client, options.namespace_name); !done)
        base::log_error("could not let go of a namespace that may be going",
                        {{"error", to_text(done.error())}});
}

int run(const op::Options& options) {
    const sigset_t signals = block_signals();
    const auto config = kube::load_config({options.kubeconfig, options.context});
    if (!config) return fail(config.error());
    op::Metrics metrics;
    const std::string host = config->server.substr(config->server.find("//") + 2);
    auto http = kube::connect(*config, [&](const std::string& method, int code, double) {
        metrics.count_request(method, code, host);
    });
    if (!http) return fail(http.error());

    std::stop_source stop;
    const base::SystemClock clock;
    Leadership leadership(**http, clock, options, *config);
    kube::WorkQueue restore_queue(queue_options(metrics, "restore")),
        server_queue(queue_options(metrics, "server"));
    kube::Client client(leadership.door(), stop.get_token());
    op::Caches caches(restore_queue, server_queue);
    op::Controller controller(client, caches, restore_queue, server_queue, metrics, clock,
                              {options.agent_image});

    const op::Queues queues{{"restore", &restore_queue}, {"server", &server_queue}};
    const auto exposed = [&] {
        return op::HttpReply{200, metrics.expose(caches, queues, options.workers, leadership.leads()),
                             "text/plain; version=0.0.4; charset=utf-8"};
    };
    auto metrics_server = op::HttpServer::start(options.metrics_address, {{"/metrics", exposed}});
    if (!metrics_server) return fail(metrics_server.error());
    auto health_server = op::HttpServer::start(
        options.health_address, {{"/healthz", [&] { return op::health(queues, leadership.hangs()); }},
                                 {"/readyz", [&] { return op::readiness(caches); }}});
    if (!health_server) return fail(health_server.error());

    base::log_info("starting",
                   {{"version", DBRESTORE_VERSION},
                    {"server", config->server},
                    {"namespace", options.namespace_name.empty() ? "all" : options.namespace_name}});
    caches.start(**http, options.namespace_name, stop.get_token());
    std::jthread starter([&] {
        if (!caches.wait_synced(stop.get_token())) return;
        base::log_info("caches are complete");
        leadership.start();  // not before: who could not work must not hold the Lease
        if (!leadership.wait(stop.get_token())) return;
        if (op::catch_up(client, caches, {options.namespace_name}, stop.get_token()))
            controller.start(options.workers);
    });

    wait_for_signal(signals);
    // What is under way is finished by whoever comes next: every step can be taken up again.
    stop.request_stop();
    starter.join();
    restore_queue.shut_down();
    server_queue.shut_down();
    controller.join();
    let_go(leadership, options);
    leadership.end();
    base::log_info("stopped");
    return 0;
}

}  // namespace

int main(int count, char** arguments) {
    const auto options = dbrestore::op::parse_options(count, arguments);
    if (!options) {
        std::cerr << "dbrestore-operator: " << dbrestore::base::to_text(options.error()) << "\n";
        return 2;
    }
    if (options->help) {
        std::cout << dbrestore::op::usage();
        return 0;
    }
    if (options->version) {
        std::cout << "dbrestore-operator " << DBRESTORE_VERSION << "\n";
        return 0;
    }
    dbrestore::base::set_log_level(options->log_level);
    return run(*options);
}
