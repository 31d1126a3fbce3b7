// The suite `simulation`. A failure prints the one line that plays it again: build/simulation/bin/simulation
// …

#include <gtest/gtest.h>

#include <cstdlib>

#include "base/log.h"
#include "simulation/campaign.h"

namespace dbrestore::simulation {
namespace {

// Sanitizers make each step some ten times as long: then a sample stands for the whole, which the optimized
// build plays.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t steps = 20'000, pairs = 20, stride = 400;
#else
constexpr uint64_t steps = 1'000'000, pairs = 200, stride = 17;
#endif

std::string lines_of(const Campaign& campaign) {
    std::string text;
    for (const auto& failure : campaign.failures()) text += "\n    " + failure;
    return text;
}

void play(CampaignSettings settings) {
    base::set_log_level(base::LogLevel::error);
    settings.program = "build/simulation/bin/simulation";
    Campaign campaign(settings);
    EXPECT_TRUE(campaign.run()) << lines_of(campaign);
    EXPECT_GT(campaign.steps(), 0u);
}

class EveryScenario : public testing::TestWithParam<Scenario> {};

TEST_P(EveryScenario, ends_as_it_should_without_faults) {
    CampaignSettings settings;
    settings.what = "--run";
    settings.scenario = &GetParam();
    play(settings);
}

INSTANTIATE_TEST_SUITE_P(Simulation, EveryScenario, testing::ValuesIn(scenarios()),
                         [](const auto& played) { return played.param.name; });

TEST(Simulation, a_sample_of_all_faults_at_all_points) {
    CampaignSettings settings;
    settings.what = "--singles";
    settings.scenario = scenario_named("happy");
    settings.stride = stride;
    play(settings);
}

TEST(Simulation, a_sample_of_all_pairs_of_faults) {
    CampaignSettings settings;
    settings.what = "--pairs";
    settings.sample = pairs;
    play(settings);
}

TEST(Simulation, a_million_seeded_steps) {
    CampaignSettings settings;
    settings.what = "--steps";
    settings.steps = steps;
    play(settings);
}

}  // namespace
}  // namespace dbrestore::simulation
