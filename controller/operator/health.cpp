#include "operator/health.h"

namespace dbrestore::op {

namespace {

// A worker that is busy for this long hangs: the longest request takes 30 s.
constexpr double stuck_after_seconds = 300;

}  // namespace

HttpReply health(const Queues& queues, bool elector_hangs) {
    for (const auto& [name, queue] : queues) {
        if (queue->stats().longest_running_seconds > stuck_after_seconds)
            return {500, "a worker of queue " + name + " hangs\n"};
    }
    if (elector_hangs) return {500, "the elector hangs: it neither renews the Lease nor looks at it\n"};
    return {200, "ok\n"};
}

HttpReply readiness(const Caches& caches) {
    if (caches.synced()) return {200, "ok\n"};
    return {503, "the first lists are not complete yet\n"};
}

}  // namespace dbrestore::op
