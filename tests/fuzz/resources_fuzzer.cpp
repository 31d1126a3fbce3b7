// An object as the API server may send it: the CRD that checked it may be older, newer, or edited.

#include "fuzz/properties.h"
#include "resources/agent_protocol.h"
#include "resources/database_restore.h"
#include "resources/kubernetes.h"
#include "resources/postgres_server.h"

namespace dbrestore::fuzz {
namespace {

using nlohmann::json;

void check_our_own(const json& object) {
    const json restore = to_json(resources::restore_from_json(object).status);
    require_same(to_json(resources::restore_from_json({{"status", restore}}).status), restore,
                 "a restore's status is read as it was written");
    const auto server = resources::server_from_json(object);
    const json status = to_json(server.status), lock = to_json(server.lock);
    require_same(to_json(resources::server_from_json({{"status", status}}).status), status,
                 "a server's status is read as it was written");
    require_same(to_json(resources::server_from_json({{"status", lock}}).lock), lock,
                 "a lock is read as it was written");
    require(!(restore.dump() + status.dump() + lock.dump()).empty(), "all of it can be sent");
}

void check_kubernetes_own(const json& object) {
    const auto pod = resources::pod_from_json(object);
    const auto& statuses = object.is_object() ? object.value("status", json()) : json();
    if (statuses.is_object())
        require(pod.containers.size() <= statuses.value("containerStatuses", json()).size(),
                "no container is made up");
    require(resources::workload_from_json(object, "StatefulSet").kind == "StatefulSet", "the kind is ours");
    const auto job = resources::job_from_json(object);
    require(job.finished() == (job.complete || job.failed), "a Job has finished when a condition says so");
    const auto claim = resources::claim_from_json(object);
    require(claim.meta.name == pod.meta.name, "every kind has the same metadata");
    require(resources::event_from_json(object).meta.uid == pod.meta.uid, "every kind has the same metadata");
}

void check(const std::string& input) {
    if (const auto request = resources::request_from_text(input)) {
        const json document = to_json(*request);
        const auto again = resources::request_from_text(document.dump());
        require(again.ok(), "a request is understood");
        require_same(to_json(*again), document, "a request is read as it was written");
    }
    const json object = json::parse(input, nullptr, false);
    if (object.is_discarded()) return;
    check_our_own(object);
    check_kubernetes_own(object);
}

}  // namespace
}  // namespace dbrestore::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    dbrestore::fuzz::check(std::string(dbrestore::fuzz::text_of(data, size)));
    return 0;
}
