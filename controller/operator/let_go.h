#pragma once
// What the operator does last where its own namespace is being deleted.

#include <string>

#include "kube/client.h"

namespace dbrestore::op {

// Nothing where the namespace stays. Else removes our finalizers from all that is in it: Kubernetes deletes
// the pods of a namespace first, this one with them, and nobody would be left to do it: the namespace would
// never go. The caller must have ended its workers. Errors: those of the client; then what is left has to be
// done by hand.
base::Status let_go_of_namespace(kube::Client& client, const std::string& namespace_name);

}  // namespace dbrestore::op
