#pragma once
// The HTTP face of the store: as much of the Kubernetes API as the operator uses, with the codes that the
// real one answers.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kube/transport.h"
#include "simulation/store.h"

namespace dbrestore::simulation {

struct Target {
    std::string namespace_name, plural, name, subresource;
    std::map<std::string, std::string> query;

    std::string parameter(const std::string& key_name) const;
    Key key() const { return {namespace_name, name}; }
};
Target parse_target(std::string_view text);

kube::Response status_response(int code, const std::string& message);

// Keeps the books (metadata.managedFields) of a CronJob whose `suspend` somebody changed.
void own_suspend(const json& before, json& after, const std::string& manager);

class ApiServer {
public:
    explicit ApiServer(Store& store) : store_(store) {}

    kube::Response handle(const kube::Request& request);

    // At most `limit` events after this version, as the lines of a watch, and the version that they reach.
    // Nothing: what comes after it was compacted.
    struct Lines {
        std::string text;
        uint64_t version = 0;
    };
    std::optional<Lines> watch(const Target& target, uint64_t after, size_t limit) const;
    static std::string bookmark(const Collection& collection, uint64_t version);

    // By pod; the kubelet keeps it as long as the pod.
    std::map<Key, std::string> logs;
    uint64_t events_recorded = 0;

private:
    kube::Response get(const Target& target) const;
    kube::Response list(const Target& target);
    kube::Response create(const Target& target, const std::string& body);
    kube::Response record_event(const json& event);
    kube::Response patch(const Target& target, const std::string& content_type, const std::string& body);
    kube::Response apply_status(const Target& target, Collection& kind, Object& object, const json& body);
    kube::Response scale(const Target& target, const json& patch);
    kube::Response remove(const Target& target, const std::string& body);

    Store& store_;
    // What is left of lists that are read page by page, all as of their first page.
    struct Pages {
        uint64_t version = 0;
        std::string plural;
        std::vector<std::shared_ptr<const std::string>> left;
    };
    std::map<std::string, Pages> pages_;
    uint64_t page_tokens_ = 0;
};

}  // namespace dbrestore::simulation
