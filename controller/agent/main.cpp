// The agent: one step of a restore, in a pod of the database's own image. See steps.h.

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "agent/steps/steps.h"
#include "base/log.h"

namespace {

using dbrestore::agent::AgentResult;

constexpr int exit_failed = 1, exit_retryable = 2, exit_usage = 64, exit_terminated = 143;

int usage() {
    std::string names;
    for (const auto& step : dbrestore::agent::steps()) names += std::string(" | ") + step.name;
    std::fprintf(
        stderr, "usage: dbrestore-agent install DIR%s\nThe request is JSON in the environment variable %s.\n",
        names.c_str(), dbrestore::resources::request_variable);
    return exit_usage;
}

std::string environment(const char* name, const char* fallback = "") {
    const char* value = std::getenv(name);
    return value != nullptr ? value : fallback;
}

int exit_code(AgentResult::Outcome outcome) {
    switch (outcome) {
        case AgentResult::Outcome::done:
            return 0;
        case AgentResult::Outcome::failed:
            return exit_failed;
        case AgentResult::Outcome::retryable:
            return exit_retryable;
    }
    return exit_failed;
}

// As the first process of a container we would ignore SIGTERM. Ending at once is safe: each step can be run
// again.
void end_on_termination() {
    struct sigaction action {};
    action.sa_handler = [](int) { ::_exit(exit_terminated); };
    ::sigaction(SIGTERM, &action, nullptr);
    ::sigaction(SIGINT, &action, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
}

int run_step(const dbrestore::agent::Step& step) {
    namespace agent = dbrestore::agent;
    agent::Surroundings surroundings;
    surroundings.pod_uid = environment(dbrestore::resources::pod_uid_variable);
    surroundings.image_data_directory = environment("PGDATA");
    // For tests, which have no pod.
    surroundings.source_directory =
        environment("DBRESTORE_SOURCE_DIRECTORY", surroundings.source_directory.c_str());
    surroundings.secret_directory =
        environment("DBRESTORE_SECRET_DIRECTORY", surroundings.secret_directory.c_str());
    surroundings.store_directory =
        environment("DBRESTORE_STORE_DIRECTORY", surroundings.store_directory.c_str());
    surroundings.repository_directory =
        environment("DBRESTORE_REPOSITORY_DIRECTORY", surroundings.repository_directory.c_str());
    surroundings.pgbackrest_program =
        environment("DBRESTORE_PGBACKREST_PROGRAM", surroundings.pgbackrest_program.c_str());
    surroundings.temporary_directory =
        environment("DBRESTORE_TEMPORARY_DIRECTORY", surroundings.temporary_directory.c_str());
    surroundings.termination_path =
        environment("DBRESTORE_TERMINATION_LOG", surroundings.termination_path.c_str());
    if (const std::string interval = environment("DBRESTORE_CONTROL_INTERVAL_MS"); !interval.empty()) {
        surroundings.control_interval = std::chrono::milliseconds(std::strtol(interval.c_str(), nullptr, 10));
    }
    agent::Report report(STDOUT_FILENO, step.name);
    auto request =
        dbrestore::resources::request_from_text(environment(dbrestore::resources::request_variable));
    AgentResult result = request ? AgentResult{} : agent::failed("BadRequest", to_text(request.error()));
    if (request) {
        request->step = step.name;
        const dbrestore::base::LogScope scope{{"restore", request->restore_name}, {"step", request->step}};
        result = step.run({*request, surroundings, report});
        dbrestore::base::log_info("the step has ended",
                                  {{"reason", result.reason}, {"outcome", result.message}});
    }
    report.finish(result, surroundings.termination_path);
    return exit_code(result.outcome);
}

}  // namespace

int main(int argc, char** argv) {
    end_on_termination();
    const std::string name = argc > 1 ? argv[1] : "";
    if (name == "install" && argc == 3) {
        const auto installed = dbrestore::agent::install(dbrestore::resources::bundle_directory, argv[2]);
        if (!installed) std::fprintf(stderr, "%s\n", to_text(installed.error()).c_str());
        return installed ? 0 : exit_retryable;
    }
    const auto* step = dbrestore::agent::find_step(name);
    return argc == 2 && step != nullptr ? run_step(*step) : usage();
}
