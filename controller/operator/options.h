#pragma once
#include <string>

#include "base/log.h"
#include "base/result.h"

namespace dbrestore::op {

struct Options {
    std::string namespace_name;  // empty: all namespaces
    std::string agent_image;
    std::string kubeconfig, context;
    std::string metrics_address = "0.0.0.0:8080", health_address = "0.0.0.0:8081";
    int workers = 2;
    bool leader_elect = false;
    base::LogLevel log_level = base::LogLevel::info;
    bool help = false, version = false;
};

std::string usage();

// Errors: invalid, with a hint to --help.
base::Result<Options> parse_options(int count, char** arguments);

}  // namespace dbrestore::op
