#pragma once
// What a workload's pod template says about the database in it.

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "resources/postgres_server.h"

namespace dbrestore::decide {

// Why something cannot be inferred; the message says what to set instead.
struct NotInferable {
    std::string reason, message;
};

using Inference = std::variant<resources::Inferred, NotInferable>;

Inference infer(const resources::PostgresServer& server, const std::optional<resources::Workload>& workload);

// The container's definition in the pod template; null where there is none of that name.
const nlohmann::json& container_named(const nlohmann::json& pod_spec, const std::string& name);

// The claim behind a volume of the pod template, for the first replica; empty where the volume is none.
std::string claim_of(const resources::Workload& workload, const std::string& volume);

// The arguments that the pod gives to `postgres` itself: what follows that word, or all arguments that begin
// with a dash; before them what Bitnami's entrypoint would make of variables.
std::vector<std::string> server_arguments(const nlohmann::json& container);

}  // namespace dbrestore::decide
