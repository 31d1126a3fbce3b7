#pragma once
// What a new leader does before its first decision.

#include <stop_token>
#include <string>

#include "kube/client.h"
#include "kube/watch.h"
#include "operator/caches.h"

namespace dbrestore::op {

struct CatchUpOptions {
    std::string namespace_name;                      // empty: all
    std::chrono::milliseconds longest_wait{10'000};  // an API server that was restored counts anew
    std::function<void(std::chrono::milliseconds, std::stop_token)> sleep = kube::sleep_unless_stopped;
};

// Waits until the caches show all that the leader before has written: their watches may lag, and a decision
// on what was before its last write would repeat it. False where the stop came first. Caches that do not
// catch up in time are left behind, with a warning: what is destructive is decided on fresh reads anyway.
bool catch_up(kube::Client& client, const Caches& caches, const CatchUpOptions& options,
              const std::stop_token& stop);

}  // namespace dbrestore::op
