#pragma once
// What the probes of the Deployment ask.

#include <map>
#include <string>

#include "kube/work_queue.h"
#include "operator/caches.h"
#include "operator/http_server.h"

namespace dbrestore::op {

using Queues = std::map<std::string, const kube::WorkQueue*>;

// 500 where nothing but a restart of the process helps: a worker hangs, or who should hold the Lease does.
HttpReply health(const Queues& queues, bool elector_hangs);

// 503 until the caches are complete.
HttpReply readiness(const Caches& caches);

}  // namespace dbrestore::op
