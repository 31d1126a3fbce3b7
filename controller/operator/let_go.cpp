#include "operator/let_go.h"

#include "base/log.h"
#include "operator/finalizer.h"
#include "operator/kinds.h"
#include "resources/json_fields.h"

namespace dbrestore::op {

using base::ErrorKind;
using base::Status;

namespace {

Status let_go_of_all(kube::Client& client, const kube::Resource& resource,
                     const std::string& namespace_name) {
    const auto items = client.list_all(resource, namespace_name);
    if (!items) return items.error();
    for (const auto& item : *items) {
        auto meta = resources::meta_from_json(item);
        const auto written = set_finalizer(client, resource, meta, false);
        if (!written) return written.error();
        if (*written)
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
