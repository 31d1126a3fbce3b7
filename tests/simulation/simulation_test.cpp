// The suite `simulation`: every scenario without faults. With faults: hack/soak simulation. A failure prints
// the one line that plays it again: build/simulation/bin/simulation …

#include <gtest/gtest.h>

#include <cstdlib>

#include "base/log.h"
#include "simulation/campaign.h"

namespace dbrestore::simulation {
namespace {

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

}  // namespace
}  // namespace dbrestore::simulation
