#include "operator/catch_up.h"

#include <algorithm>
#include <map>

#include "base/log.h"
#include "operator/kinds.h"
#include "resources/json_fields.h"

namespace dbrestore::op {

using namespace std::chrono_literals;
using resources::Key;

namespace {

constexpr auto look_again_after = 50ms;
constexpr auto list_again_after = 500ms;

// What the API server itself holds of one kind.
struct Listed {
    std::string resource_version;
    std::map<Key, std::string> versions;
};

base::Result<Listed> list_versions(kube::Client& client, const kube::Resource& resource,
                                   const std::string& namespace_name) {
    Listed listed;
    kube::ListOptions options;
    options.limit = 200;  // bounds memory: only the versions are kept
    for (;;) {
        const auto page = client.list(resource, namespace_name, options);
        if (!page) return page.error();
        listed.resource_version = page->resource_version;
        for (const auto& item : page->items)
            listed.versions[resources::meta_from_json(item).key()] =
                resources::text_at(item, "metadata.resourceVersion");
        if (page->continue_token.empty()) return listed;
        options.continue_token = page->continue_token;
    }
}

// The version of the list is that of the whole cluster, of which a quiet kind hears once a minute, by a
// bookmark. So a cache that shows exactly what was listed has caught up as well.
template <typename T>
bool holds(const kube::Cache<T>& cache, const Listed& listed) {
    if (cache.has_seen(listed.resource_version)) return true;
    const auto records = cache.list();
    return records.size() == listed.versions.size() && std::ranges::all_of(records, [&](const auto& record) {
               const auto at = listed.versions.find(record->meta.key());
               return at != listed.versions.end() && at->second == record->meta.resource_version;
           });
}

template <typename T>
bool catch_up_one(kube::Client& client, const kube::Cache<T>& cache, const kube::Resource& resource,
                  const CatchUpOptions& options, std::chrono::milliseconds& left,
                  const std::stop_token& stop) {
    auto listed = list_versions(client, resource, options.namespace_name);
    while (!listed && !stop.stop_requested()) {
        base::log_warning("the new leader cannot list yet",
                          {{"resource", resource.plural}, {"error", to_text(listed.error())}});
        options.sleep(list_again_after, stop);
        listed = list_versions(client, resource, options.namespace_name);
    }
    if (!listed) return false;
    for (; !holds(cache, *listed) && left > 0ms && !stop.stop_requested(); left -= look_again_after)
        options.sleep(look_again_after, stop);
    if (!stop.stop_requested() && !holds(cache, *listed))
        base::log_warning("the new leader's cache lags behind", {{"resource", resource.plural}});
    return !stop.stop_requested();
}

}  // namespace

bool catch_up(kube::Client& client, const Caches& caches, const CatchUpOptions& options,
              const std::stop_token& stop) {
    auto left = options.longest_wait;  // of all kinds together
    const auto one = [&](const auto& cache, const kube::Resource& resource) {
        return catch_up_one(client, cache, resource, options, left, stop);
    };
    return one(caches.restores, restores_resource) && one(caches.servers, servers_resource) &&
           one(caches.stateful_sets, stateful_sets_resource) &&
           one(caches.deployments, deployments_resource) && one(caches.jobs, jobs_resource) &&
           one(caches.pods, pods_resource) && one(caches.claims, claims_resource);
}

}  // namespace dbrestore::op
