#pragma once
// Single requests to the Kubernetes API, on plain JSON. Kinds are not its business: what a document means is
// told by resources/.

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "kube/transport.h"
#include "resources/kubernetes.h"

namespace dbrestore::kube {

using resources::Key;

// {"", "v1", "pods"}; {"dbrestore.dev", "v1alpha1", "databaserestores"}.
struct Resource {
    std::string group;  // empty: the core group
    std::string version;
    std::string plural;
};

// /apis/GROUP/VERSION/namespaces/NAMESPACE/PLURAL[/NAME[/SUBRESOURCE]]; an empty namespace leaves that part
// out (all namespaces, or a resource that has none).
std::string collection_path(const Resource& resource, const std::string& namespace_name);
std::string object_path(const Resource& resource, const Key& key, std::string_view subresource = {});
std::string percent_encoded(
    std::string_view text);  // RFC 3986, for one part of a path or one value of a query

// What an answer outside 2xx means. Kinds: 401, 403 refused; 404 not_found; 409 conflict; 410 expired; 408,
// 429 and 5xx unavailable, with what Retry-After said; the rest (400, 413, 422, a redirect …) invalid. The
// text has what was asked and the message of the server's Status document.
base::Error error_from_response(const Request& request, const Response& response);

struct ListOptions {
    std::string label_selector, field_selector;
    std::string continue_token;  // from the page before
    int limit = 500;
};

struct ListPage {
    std::vector<nlohmann::json> items;  // without apiVersion and kind, as the server sends them
    std::string resource_version;
    std::string continue_token;  // empty: that was the last page
};

struct ApplyOptions {
    std::string field_manager;
    bool force = true;
};

struct DeleteOptions {
    std::string
        uid;  // only this one, not a namesake made later (else conflict); empty: whatever has the name
};

struct LogOptions {
    std::string container;
    int64_t tail_lines = 0;   // 0: all
    int64_t limit_bytes = 0;  // 0: all that max_response_bytes lets through
};

// Errors everywhere: those of Http and of error_from_response; invalid where the answer is not JSON. Nothing
// is repeated here and nothing waits: unavailable (with retry_after_seconds) and conflict are for the caller,
// who puts its key back into the work queue instead of blocking a worker. Reads are answered by the server,
// never from a cache. Safe from any thread.
class Client {
public:
    // The stop token ends whatever runs, within a second. `http` must outlive the client.
    explicit Client(Http& http, std::stop_token stop = {}) : http_(http), stop_(std::move(stop)) {}

    base::Result<nlohmann::json> get(const Resource& resource, const Key& key,
                                     std::string_view subresource = {});
    base::Result<ListPage> list(const Resource& resource, const std::string& namespace_name,
                                const ListOptions& options = {});
    // All pages; one that expired in between starts over, once.
    base::Result<std::vector<nlohmann::json>> list_all(const Resource& resource,
                                                       const std::string& namespace_name,
                                                       const std::string& label_selector = {});

    // conflict: it exists already.
    base::Result<nlohmann::json> create(const Resource& resource, const std::string& namespace_name,
                                        const nlohmann::json& body);

    // Server-side apply. With metadata.resourceVersion in the body, conflict where somebody wrote in between;
    // without `force`, conflict where another manager owns a field. Fields that this manager applied before
    // and that are missing now are removed.
    base::Result<nlohmann::json> apply(const Resource& resource, const Key& key, std::string_view subresource,
                                       const nlohmann::json& body, const ApplyOptions& options);

    // RFC 7386; for finalizers, annotations and the subresource `scale`. With metadata.resourceVersion,
    // conflict as above.
    base::Result<nlohmann::json> merge_patch(const Resource& resource, const Key& key,
                                             std::string_view subresource, const nlohmann::json& patch,
                                             std::string_view field_manager);

    // In the background: dependents go after it. Success means that deletion began; finalizers may hold the
    // object.
    base::Status remove(const Resource& resource, const Key& key, const DeleteOptions& options = {});

    // What the container wrote so far; not necessarily UTF-8.
    base::Result<std::string> pod_log(const Key& pod, const LogOptions& options);

private:
    base::Result<std::string> exchange(Request request);
    base::Result<nlohmann::json> exchange_json(Request request);

    Http& http_;
    std::stop_token stop_;
};

}  // namespace dbrestore::kube
