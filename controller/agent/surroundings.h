#pragma once
// Where the agent runs: the paths that the pod gives it, so that tests can give others, and the outcome of a
// step.

#include <chrono>
#include <string>

#include "agent/report.h"
#include "backups/failure.h"
#include "base/result.h"
#include "resources/agent_protocol.h"

namespace dbrestore::agent {

struct Surroundings {
    std::string source_directory = resources::source_directory;
    std::string secret_directory = resources::secret_directory;
    std::string store_directory = resources::store_directory;
    std::string repository_directory = resources::repository_directory;
    std::string pgbackrest_program = std::string(resources::bundle_directory) + "/pgbackrest";
    std::string temporary_directory = "/tmp";
    std::string termination_path = "/dev/termination-log";
    std::string pod_uid;
    std::string image_data_directory;  // PGDATA, as the image has it: the pod's own variables do not say it
    // How long pg_control must stand still. Longer than a running server leaves it alone while it stops or
    // recovers; a quiet one holds the lock or a pod.
    std::chrono::milliseconds control_interval{2000};
};

// Everything a step may use.
struct Context {
    const resources::AgentRequest& request;
    const Surroundings& surroundings;
    Report& report;
};

using resources::AgentResult;

AgentResult done(std::string message = {});
AgentResult failed(std::string reason, std::string message);
AgentResult retryable(std::string reason, std::string message);
AgentResult from_failure(const backups::Failure& failure);

// Whatever it was, the data directory is not where it was inferred, or stated, to be.
std::string no_data_directory(const Context& context, const std::string& why);

// An error of the operating system or of a server that does not answer may pass: retryable. The rest is
// failed.
AgentResult from_error(std::string reason, const base::Error& error);

// The literal in the request, or what the Secret's file says. Errors: not_found, naming the key and never the
// value.
base::Result<std::string> credential(const Context& context, const std::string& literal,
                                     const std::string& key);

struct Credentials {
    std::string user, password, database;
};

// Errors: not_found.
base::Result<Credentials> read_credentials(const Context& context);

}  // namespace dbrestore::agent
