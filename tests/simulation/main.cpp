// simulation: plays runs, and prints for each that fails the one line that plays it again.

#include <chrono>
#include <cstdlib>
#include <iostream>

#include "base/log.h"
#include "simulation/campaign.h"

namespace {

using namespace dbrestore::simulation;

constexpr const char* usage = R"(usage: simulation WHAT [OPTION...]

  --seed N                one random walk
  --seeds A..B            the walks of these seeds
  --steps N               as many walks as it takes for N steps of the scheduler, from --from (1) on
  --run [--faults LIST]   one scenario with these faults: 12:crash_before,40:error_409
  --singles               each fault at each point of each scenario, or at --sample N points drawn by --seed; of one
                          --fault NAME, of points --range A..B
  --pairs                 each pair of them: all, or --sample N drawn by --seed, or those of --range A..B
  --list                  the scenarios and faults

  --scenario NAME         this one only; of a walk: in this one
  --budget-seconds S      stop after S seconds and say where
  --first                 stop at the first failure
  --story                 tell what happens

Exit status: 0 all promises were kept; 1 one was broken; 2 wrong usage.
)";

std::pair<uint64_t, uint64_t> range_of(const std::string& text) {
    const size_t dots = text.find("..");
    const uint64_t first = std::stoull(text.substr(0, dots));
    return {first, dots == std::string::npos ? first : std::stoull(text.substr(dots + 2))};
}

bool parse_faults(const std::string& list, std::vector<PlannedFault>& faults) {
    for (size_t at = 0; at < list.size();) {
        const size_t end = std::min(list.find(',', at), list.size());
        const auto planned = planned_from_text(list.substr(at, end - at));
        if (!planned) return false;
        faults.push_back(*planned);
        at = end + 1;
    }
    return true;
}

bool parse(int count, char** arguments, CampaignSettings& settings) {
    for (int i = 1; i < count; ++i) {
        const std::string name = arguments[i];
        const auto value = [&] { return i + 1 < count ? std::string(arguments[++i]) : std::string("0"); };
        if (name == "--seed") {
            settings.seeds.first = settings.seeds.second = settings.seed = std::stoull(value());
            if (settings.what.empty()) settings.what = "--seeds";
        } else if (name == "--seeds" || name == "--range") {
            (name == "--seeds" ? settings.seeds : settings.range) = range_of(value());
            if (name == "--seeds") settings.what = name;
        } else if (name == "--steps") {
            settings.what = name;
            settings.steps = std::stoull(value());
        } else if (name == "--from") {
            settings.seeds.first = std::stoull(value());
        } else if (name == "--run" || name == "--singles" || name == "--pairs" || name == "--list") {
            settings.what = name;
        } else if (name == "--faults") {
            if (!parse_faults(value(), settings.faults)) return false;
        } else if (name == "--fault") {
            settings.fault = fault_from_text(value());
            if (!settings.fault) return false;
        } else if (name == "--scenario") {
            settings.scenario = scenario_named(value());
            if (settings.scenario == nullptr) return false;
        } else if (name == "--sample") {
            settings.sample = std::stoull(value());
        } else if (name == "--budget-seconds") {
            settings.budget_seconds = std::stod(value());
        } else if (name == "--first") {
            settings.first_only = true;
        } else if (name == "--story") {
            settings.tell = true;
        } else {
            return false;
        }
    }
    return !settings.what.empty();
}

}  // namespace

int main(int count, char** arguments) {
    dbrestore::base::set_log_level(dbrestore::base::LogLevel::error);
    CampaignSettings settings;
    settings.program = arguments[0];
    bool good = false;
    try {
        good = parse(count, arguments, settings);
    } catch (const std::exception&) {
        good = false;
    }
    if (!good) {
        std::cerr << usage;
        return 2;
    }
    Campaign campaign(settings);
    return campaign.run() ? 0 : 1;
}
