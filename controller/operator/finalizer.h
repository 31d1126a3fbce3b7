#pragma once
// The operator's finalizer on DatabaseRestores and PostgresServers.

#include "kube/client.h"
#include "resources/kubernetes.h"

namespace dbrestore::op {

// Adds or removes it, and says whether that took a write; `meta` is then as the API server has it. An object
// that is gone has lost it. Errors: those of Client::merge_patch; conflict where the object is not the one of
// `meta` any more.
base::Result<bool> set_finalizer(kube::Client& client, const kube::Resource& resource,
                                 resources::ObjectMeta& meta, bool wanted);

}  // namespace dbrestore::op
