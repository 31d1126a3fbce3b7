#include "operator/finalizer.h"

#include "operator/kinds.h"
#include "resources/database_restore.h"
#include "resources/json_fields.h"

namespace dbrestore::op {

base::Result<bool> set_finalizer(kube::Client& client, const kube::Resource& resource,
                                 resources::ObjectMeta& meta, bool wanted) {
    if (meta.has_finalizer(resources::finalizer_name) == wanted) return false;
    auto finalizers = meta.finalizers;
    if (wanted)
        finalizers.emplace_back(resources::finalizer_name);
    else
        std::erase(finalizers, resources::finalizer_name);
    // The whole list travels, guarded by resourceVersion, so that nobody else's finalizer is lost.
    const nlohmann::json patch{
        {"metadata", {{"finalizers", finalizers}, {"resourceVersion", meta.resource_version}}}};
    const auto patched = client.merge_patch(resource, meta.key(), "", patch, resources::operator_manager);
    if (!patched && patched.error().kind == base::ErrorKind::not_found && !wanted) return false;
    if (!patched) return patched.error();
    meta.resource_version = resources::text_at(*patched, "metadata.resourceVersion");
    meta.finalizers = finalizers;
    return true;
}

}  // namespace dbrestore::op
