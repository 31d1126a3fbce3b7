#pragma once
// Many runs: walks of many seeds, each fault at each point, each pair of them.

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "simulation/simulation.h"

namespace dbrestore::simulation {

struct CampaignSettings {
    std::string program = "simulation", what;
    const Scenario* scenario = nullptr;  // null: all
    std::pair<uint64_t, uint64_t> seeds{1, 1}, range{0, UINT64_MAX};
    uint64_t seed = 1, steps = 0, sample = 0;
    double budget_seconds = 0;  // 0: none
    std::vector<PlannedFault> faults;
    std::optional<Fault> fault;  // of singles: this one only
    bool first_only = false;     // stop at the first failure
    bool tell = false;
};

class Campaign {
public:
    explicit Campaign(CampaignSettings settings) : settings_(std::move(settings)) {}

    // Prints each failure as the line that plays it again, and a summary. True: no promise was broken.
    bool run();

    uint64_t runs() const { return runs_; }
    uint64_t steps() const { return steps_; }
    const std::vector<std::string>& failures() const { return failures_; }

private:
    void walk(uint64_t seed);
    void walk_steps();
    RunOutcome play(const Scenario& scenario, const std::vector<PlannedFault>& faults);
    std::vector<PlannedFault> singles_of(const Scenario& scenario);
    void singles(const Scenario& scenario);
    void sample_singles(const Scenario& scenario);
    void pairs(const Scenario& scenario);
    void sample_pairs();
    void list() const;
    void note(const RunOutcome& outcome, const std::string& arguments);
    bool is_enough() const;
    std::vector<const Scenario*> chosen() const;

    CampaignSettings settings_;
    uint64_t runs_ = 0, steps_ = 0;
    std::vector<std::string> failures_;
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace dbrestore::simulation
