#pragma once
// One running operator: its caches, queues and memory, and the door through which it speaks to the API
// server. What happens at that door is the scheduler's business.

#include <array>
#include <functional>
#include <memory>

#include "kube/client.h"
#include "operator/controller.h"
#include "simulation/api_server.h"
#include "simulation/faults.h"

namespace dbrestore::simulation {

// The operator is killed: thrown at the door, caught by the scheduler, which destroys the process.
struct Killed {};

inline constexpr size_t watched_kinds = 6;

class OperatorProcess final : public kube::Http {
public:
    // What to do at a call or a watch of this operator; nothing: let it pass.
    struct Events {
        std::function<std::optional<Fault>(const kube::Request&)> at_call;
        std::function<std::optional<Fault>(const kube::Request&)> at_watch;
        std::function<void(const kube::Request&)> asks;         // before it is carried out
        std::function<void(const kube::Request&)> is_answered;  // in good order
    };

    OperatorProcess(ApiServer& api, Store& store, const SimulatedClock& clock, op::Metrics& metrics,
                    Events events, uint64_t seed);

    // One page of a list, or at most `limit` events of a watch. False: there is nothing to do for it now.
    bool step_reflector(size_t kind, size_t limit);
    bool synced() const { return caches_.synced(); }
    bool has_news(size_t kind) const;
    // Up to which version its cache of this kind knows all; 0: it is not following now.
    uint64_t known_version(size_t kind) const;
    bool work_on_a_restore() { return synced() && controller_.work_on_a_restore(); }
    bool work_on_a_server() { return synced() && controller_.work_on_a_server(); }

    // Until then this kind's cache learns nothing.
    void make_stale(size_t kind, std::chrono::steady_clock::time_point until) { stale_until_[kind] = until; }
    void freshen() { stale_until_ = {}; }

    base::Result<kube::Response> send(const kube::Request& request, std::stop_token) override;
    base::Result<kube::OpenedStream> open(const kube::Request& request, std::stop_token) override;

private:
    kube::WorkQueueOptions queue_options() const;
    kube::ReflectorOptions reflector_options(uint64_t seed);
    kube::OpenedStream stream(const Target& target, std::optional<Fault> fault);

    ApiServer& api_;
    Store& store_;
    const SimulatedClock& clock_;
    Events events_;
    size_t limit_ = 0;     // of the watch that is being stepped
    size_t stepping_ = 0;  // whose reflector is
    std::array<std::chrono::steady_clock::time_point, watched_kinds> not_before_{}, stale_until_{};
    kube::Client client_;
    kube::WorkQueue restore_queue_, server_queue_;
    op::Caches caches_;
    op::Controller controller_;
    std::vector<std::unique_ptr<kube::Reflector>>& reflectors_;
};

}  // namespace dbrestore::simulation
