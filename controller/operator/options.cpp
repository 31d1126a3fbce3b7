#include "operator/options.h"

#include <getopt.h>

#include <array>

namespace dbrestore::op {

using base::ErrorKind;

std::string usage() {
    return "usage: dbrestore-operator --agent-image IMAGE [options]\n"
           "\n"
           "Carries out DatabaseRestore objects (dbrestore.dev/v1alpha1). In a pod it uses the pod's service "
           "account,\n"
           "elsewhere a kubeconfig.\n"
           "\n"
           "  --agent-image IMAGE      image that holds the agent's bundle (required)\n"
           "  --namespace NS           watch this namespace only (default: all)\n"
           "  --kubeconfig FILE        instead of the service account, KUBECONFIG or ~/.kube/config\n"
           "  --context NAME           of the kubeconfig (default: its current one)\n"
           "  --metrics-address A:P    where /metrics is served (default 0.0.0.0:8080)\n"
           "  --health-address A:P     where /healthz and /readyz are served (default 0.0.0.0:8081)\n"
           "  --workers N              restores worked on at once, 1 to 64 (default 2)\n"
           "  --leader-elect           work only while holding the Lease dbrestore-leader in the pod's (or "
           "the\n"
           "                           context's) namespace; without it, run one operator only\n"
           "  --log-level LEVEL        debug, info, warning or error (default info)\n"
           "  --version, --help\n";
}

namespace {

base::Result<int> worker_count(const std::string& text) {
    if (text.empty() || text.size() > 2 || text.find_first_not_of("0123456789") != std::string::npos ||
        text == "0" || std::stoi(text) > 64) {
        return base::error(ErrorKind::invalid,
                           "--workers must be a number from 1 to 64, not \"" + text + "\"");
    }
    return std::stoi(text);
}

base::Status take_option(char option, const std::string& value, Options& options) {
    switch (option) {
        case 'a':
            options.agent_image = value;
            break;
        case 'n':
            options.namespace_name = value;
            break;
        case 'k':
            options.kubeconfig = value;
            break;
        case 'c':
            options.context = value;
            break;
        case 'm':
            options.metrics_address = value;
            break;
        case 'e':
            options.health_address = value;
            break;
        case 'L':
            options.leader_elect = true;
            break;
        case 'h':
            options.help = true;
            break;
        case 'v':
            options.version = true;
            break;
        case 'w': {
            const auto workers = worker_count(value);
            if (!workers) return workers.error();
            options.workers = *workers;
            break;
        }
        case 'l':
            if (!base::parse_log_level(value, options.log_level)) {
                return base::error(
                    ErrorKind::invalid,
                    "--log-level must be debug, info, warning or error, not \"" + value + "\"");
            }
            break;
        default:
            return base::error(ErrorKind::invalid, "unknown option or missing value",
                               "see dbrestore-operator --help");
    }
    return base::success();
}

}  // namespace

base::Result<Options> parse_options(int count, char** arguments) {
    static const std::array<option, 12> known{{{"agent-image", required_argument, nullptr, 'a'},
                                               {"namespace", required_argument, nullptr, 'n'},
                                               {"kubeconfig", required_argument, nullptr, 'k'},
                                               {"context", required_argument, nullptr, 'c'},
                                               {"metrics-address", required_argument, nullptr, 'm'},
                                               {"health-address", required_argument, nullptr, 'e'},
                                               {"workers", required_argument, nullptr, 'w'},
                                               {"leader-elect", no_argument, nullptr, 'L'},
                                               {"log-level", required_argument, nullptr, 'l'},
                                               {"help", no_argument, nullptr, 'h'},
                                               {"version", no_argument, nullptr, 'v'},
                                               {nullptr, 0, nullptr, 0}}};
    Options options;
    optind = 0;  // so that it can be called again
    opterr = 0;
    for (int option = getopt_long(count, arguments, "", known.data(), nullptr); option != -1;
         option = getopt_long(count, arguments, "", known.data(), nullptr)) {
        if (auto taken = take_option(static_cast<char>(option), optarg == nullptr ? "" : optarg, options);
            !taken)
            return taken.error();
    }
    if (optind < count)
        return base::error(ErrorKind::invalid,
                           "unexpected argument \"" + std::string(arguments[optind]) + "\"",
                           "see dbrestore-operator --help");
    if (options.agent_image.empty() && !options.help && !options.version)
        return base::error(ErrorKind::invalid, "--agent-image must be given",
                           "see dbrestore-operator --help");
    return options;
}

}  // namespace dbrestore::op
