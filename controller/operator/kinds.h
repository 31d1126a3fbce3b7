#pragma once
// Where each kind that the operator touches lies in the Kubernetes API.

#include "kube/client.h"

namespace dbrestore::op {

inline const kube::Resource restores_resource{"dbrestore.dev", "v1alpha1", "databaserestores"};
inline const kube::Resource servers_resource{"dbrestore.dev", "v1alpha1", "postgresservers"};
inline const kube::Resource stateful_sets_resource{"apps", "v1", "statefulsets"};
inline const kube::Resource deployments_resource{"apps", "v1", "deployments"};
inline const kube::Resource pods_resource{"", "v1", "pods"};
inline const kube::Resource jobs_resource{"batch", "v1", "jobs"};
inline const kube::Resource cron_jobs_resource{"batch", "v1", "cronjobs"};
inline const kube::Resource claims_resource{"", "v1", "persistentvolumeclaims"};
inline const kube::Resource namespaces_resource{"", "v1", "namespaces"};
inline const kube::Resource core_events_resource{"", "v1", "events"};
inline const kube::Resource events_resource{"events.k8s.io", "v1", "events"};

inline const kube::Resource& workload_resource(const std::string& kind) {
    return kind == "Deployment" ? deployments_resource : stateful_sets_resource;
}

// Who writes what: see the design of the lock in docs/architecture.md. All else: resources::operator_manager.
inline constexpr const char* lock_manager = "dbrestore-lock";

}  // namespace dbrestore::op
