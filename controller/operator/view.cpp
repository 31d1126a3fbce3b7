#include "operator/view.h"

#include "operator/kinds.h"

namespace dbrestore::op {

using base::Result;
using resources::Key;

namespace {

template <typename T>
std::optional<T> copy(const std::shared_ptr<const T>& record) {
    return record ? std::optional<T>(*record) : std::nullopt;
}

template <typename T>
std::vector<T> copies(const std::vector<std::shared_ptr<const T>>& records) {
    std::vector<T> all;
    all.reserve(records.size());
    for (const auto& record : records) all.push_back(*record);
    return all;
}

template <typename T, typename Projection>
Result<std::optional<T>> get(kube::Client& client, const kube::Resource& resource, const Key& key,
                             const Projection& project) {
    const auto document = client.get(resource, key);
    if (document) return std::optional<T>(project(*document));
    if (document.error().kind == base::ErrorKind::not_found) return std::optional<T>();
    return document.error();
}

template <typename T, typename Projection>
Result<std::vector<T>> list(kube::Client& client, const kube::Resource& resource,
                            const std::string& namespace_name, const std::string& selector,
                            const Projection& project) {
    const auto documents = client.list_all(resource, namespace_name, selector);
    if (!documents) return documents.error();
    std::vector<T> all;
    for (const auto& document : *documents) all.push_back(project(document));
    return all;
}

}  // namespace

Result<std::optional<resources::DatabaseRestore>> CachedView::restore(const Key& key) {
    return copy(caches_.restores.get(key));
}
Result<std::optional<resources::PostgresServer>> CachedView::server(const Key& key) {
    return copy(caches_.servers.get(key));
}
Result<std::optional<resources::Workload>> CachedView::workload(const std::string& kind, const Key& key) {
    return copy(caches_.workloads(kind).get(key));
}
Result<std::optional<resources::Claim>> CachedView::claim(const Key& key) {
    return copy(caches_.claims.get(key));
}

Result<std::vector<resources::Pod>> CachedView::pods(const std::string& namespace_name) {
    return copies(caches_.pods.list_if(
        [&](const resources::Pod& p) { return p.meta.namespace_name == namespace_name; }));
}

Result<std::vector<resources::Job>> CachedView::jobs(const std::string& namespace_name,
                                                     const std::string& label, const std::string& value) {
    return copies(caches_.jobs.list_if([&](const resources::Job& j) {
        return j.meta.namespace_name == namespace_name && j.meta.label(label) == value;
    }));
}

Result<std::optional<resources::DatabaseRestore>> LiveView::restore(const Key& key) {
    return get<resources::DatabaseRestore>(client_, restores_resource, key, resources::restore_from_json);
}
Result<std::optional<resources::PostgresServer>> LiveView::server(const Key& key) {
    return get<resources::PostgresServer>(client_, servers_resource, key, resources::server_from_json);
}
Result<std::optional<resources::Workload>> LiveView::workload(const std::string& kind, const Key& key) {
    return get<resources::Workload>(client_, workload_resource(kind), key, [&](const nlohmann::json& o) {
        return resources::workload_from_json(o, kind);
    });
}
Result<std::optional<resources::Claim>> LiveView::claim(const Key& key) {
    return get<resources::Claim>(client_, claims_resource, key, resources::claim_from_json);
}

Result<std::vector<resources::Pod>> LiveView::pods(const std::string& namespace_name) {
    return list<resources::Pod>(client_, pods_resource, namespace_name, "", resources::pod_from_json);
}

Result<std::vector<resources::Job>> LiveView::jobs(const std::string& namespace_name,
                                                   const std::string& label, const std::string& value) {
    return list<resources::Job>(client_, jobs_resource, namespace_name, label + "=" + value,
                                resources::job_from_json);
}

}  // namespace dbrestore::op
