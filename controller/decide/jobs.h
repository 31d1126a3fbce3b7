#pragma once
// The Jobs that do the work, made from the database's own pod template: its image, its volumes, its place on
// the nodes.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "resources/agent_protocol.h"
#include "resources/database_restore.h"
#include "resources/kubernetes.h"
#include "resources/postgres_server.h"

namespace dbrestore::decide {

inline constexpr const char* managed_by_label = "app.kubernetes.io/managed-by";
inline constexpr const char* restore_uid_label = "dbrestore.dev/restore-uid";
inline constexpr const char* restore_name_label = "dbrestore.dev/restore-name";
inline constexpr const char* server_label = "dbrestore.dev/server";
inline constexpr const char* step_label = "dbrestore.dev/step";
inline constexpr const char* attempt_label = "dbrestore.dev/attempt";
inline constexpr const char* job_name_label =
    "batch.kubernetes.io/job-name";  // set on pods by Kubernetes itself
inline constexpr const char* catalog_step = "catalog";

// The first eight digits of a UID: they name what belongs to one restore, in Kubernetes and in PostgreSQL.
std::string short_uid(const std::string& uid);
std::string job_name(const std::string& restore_uid, const std::string& step, int64_t attempt);
int64_t attempt_of(const resources::Job& job);         // by its label; 0 where it has none
bool is_of_server(const resources::ObjectMeta& meta);  // a Job, or its pod, that no restore asks for
std::string new_database_name(const std::string& restore_uid);
std::string old_database_name(const std::string& restore_uid);
std::string temporary_role_name(const std::string& restore_uid);

enum class DataMount { none, read_only, read_write };

// One Job to be made. Everything that is not here follows from the server and its workload.
struct JobRecipe {
    std::string namespace_name, server_name;
    std::string restore_name, restore_uid, step;
    int64_t attempt = 1;
    std::string agent_image;
    resources::AgentRequest request;
    DataMount data = DataMount::none;
    std::optional<resources::Store> store;  // what it needs is mounted
    std::string repository_secret;          // of pgBackRest's configuration; mounted where it is set
    std::string node = {};                  // that has the data's volume; empty: any may get it
    int64_t uid = 65532, gid = 65532;
    int64_t deadline_seconds = 600;
    bool database_stopped = false;  // then the pod may take the database's own resources
};

// The node on which a pod uses the claim now, if one does: another node may not get a ReadWriteOnce volume.
std::string node_with_claim(const std::vector<resources::Pod>& pods, const std::string& claim);

// What every request holds. Host and dump are set by the step that needs them.
resources::AgentRequest base_request(const resources::Inferred& inferred, const resources::Workload& workload,
                                     const std::string& restore_name, const std::string& restore_uid);

nlohmann::json job_manifest(const JobRecipe& recipe, const resources::Inferred& inferred,
                            const resources::Workload& workload);

}  // namespace dbrestore::decide
