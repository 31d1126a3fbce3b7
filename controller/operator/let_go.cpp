#include "operator/let_go.h"

#include "base/log.h"
#include "operator/kinds.h"
#include "resources/database_restore.h"
#include "resources/json_fields.h"

namespace dbrestore::op {

using base::ErrorKind;
using base::Status;
using nlohmann::json;

namespace {

Status let_go_of_all(kube::Client& client, const kube::Resource& resource,
                     const std::string& namespace_name) {
    const auto items = client.list_all(resource, namespace_name);
    if (!items) return items.error();
    for (const auto& item : *items) {
        const auto meta = resources::meta_from_json(item);
        if (!meta.has_finalizer(resources::finalizer_name)) continue;
        auto finalizers = meta.finalizers;
        std::erase(finalizers, resources::finalizer_name);
        const json patch{
            {"metadata", {{"finalizers", finalizers}, {"resourceVersion", meta.resource_version}}}};
        const auto patched = client.merge_patch(resource, meta.key(), "", patch, status_manager);
        if (!patched && patched.error().kind != ErrorKind::not_found) return patched.error();
        base::log_info("the namespace is going, so the object may go",
                       {{"resource", resource.plural}, {"name", meta.name}});
    }
    return base::success();
}

}  // namespace

Status let_go_of_namespace(kube::Client& client, const std::string& namespace_name) {
    const auto found = client.get(namespaces_resource, {"", namespace_name});
    if (!found && found.error().kind == ErrorKind::not_found) return base::success();
    if (!found) return found.error();
    if (!resources::present_at(*found, "metadata.deletionTimestamp")) return base::success();
    if (auto restores = let_go_of_all(client, restores_resource, namespace_name); !restores) return restores;
    return let_go_of_all(client, servers_resource, namespace_name);
}

}  // namespace dbrestore::op
