// What must never happen, whatever happens: thousands of restores in a simulated cluster, each with its own
// seed.

#include <gtest/gtest.h>

#include "support/simulated_cluster.h"

namespace dbrestore::testing {
namespace {

constexpr uint32_t seeds = 1000;
constexpr int rounds_to_the_end = 1000;

TEST(DecideNever, breaks_a_promise_and_always_comes_to_an_end) {
    int failures = 0;
    for (uint32_t seed = 1; seed <= seeds && failures < 3; ++seed) {
        SimulatedCluster cluster(seed);
        int rounds = 0;
        while (!cluster.over() && rounds < rounds_to_the_end && cluster.broken_promises().empty()) {
            cluster.round();
            ++rounds;
        }
        if (cluster.over()) cluster.check_the_end();
        std::string broken = cluster.over() || !cluster.broken_promises().empty() ? "" : "it never ends\n";
        for (const auto& promise : cluster.broken_promises()) broken += promise + "\n";
        const std::string& story = cluster.story();
        EXPECT_EQ(broken, "") << "seed " << seed << "; the last of its story:\n"
                              << story.substr(story.size() > 2500 ? story.size() - 2500 : 0);
        if (!broken.empty()) ++failures;
    }
}

}  // namespace
}  // namespace dbrestore::testing
