// Each step, each of the system calls by which the agent itself changes files or steers the server: killed
// there, or failing there with a full or a broken disk. See agent_faults.h.
#include <algorithm>
#include <set>

#include "integration/agent_faults.h"

namespace dbrestore::tests {
namespace {

class AgentFaultsInCalls : public AgentFaults, public testing::WithParamInterface<std::tuple<Scene, Fault>> {
protected:
    // How many calls the step makes without a fault. One run for all faults of a scene.
    size_t count_calls(const Scene& scene, Fault fault) {
        static std::map<std::string, TracedEnd> known;
        if (!known.contains(scene.name)) {
            begin(scene);
            AgentRun ran;
            TracedEnd end = run_faulty(scene, Fault::none, 0, ran);
            EXPECT_TRUE(ran.is_done()) << to_text(ran);
            known[scene.name] = std::move(end);
        }
        return known[scene.name].calls_of(fault).size();
    }

    // Every call, or a sample, or the one of DBRESTORE_FAULT_CALL.
    std::vector<size_t> choose(const Scene& scene, Fault fault) {
        if (const char* only = std::getenv("DBRESTORE_FAULT_CALL")) return {std::strtoul(only, nullptr, 10)};
        std::vector<size_t> numbers(count_calls(scene, fault));
        for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = i + 1;
        if (all_faults()) return numbers;
        std::mt19937 random(faults_seed() + static_cast<uint32_t>(fault));
        std::ranges::shuffle(numbers, random);
        numbers.resize(std::min<size_t>(numbers.size(), 1));
        return numbers;
    }

    void check(const Scene& scene, Fault fault, size_t number) {
        const Next next = (number + faults_seed()) % 2 == 0 ? Next::go_on : Next::turn_back;
        begin(scene);
        AgentRun ran;
        const TracedEnd end = run_faulty(scene, fault, number, ran);
        const auto& calls = end.calls_of(fault);
        const std::string call = number <= calls.size() ? calls[number - 1] : "a call that did not come";
        SCOPED_TRACE(std::string(to_text(fault)) + " at " + call + ", then " + to_text(next) +
                     "\nreplay: DBRESTORE_FAULTS_SEED=" + std::to_string(faults_seed()) +
                     " DBRESTORE_FAULT_CALL=" + std::to_string(number) +
                     " build/dev/bin/integration_tests --gtest_filter=" +
                     testing::UnitTest::GetInstance()->current_test_info()->test_suite_name() + "." +
                     testing::UnitTest::GetInstance()->current_test_info()->name() +
                     "\nthe step: " + to_text(ran));
        const bool kills = fault == Fault::kill || fault == Fault::kill_steering;
        // A disk that fails must not end the agent without a word.
        EXPECT_EQ(end.signal, kills && end.injected ? SIGKILL : 0);
        finish(scene, next);
    }
};

TEST_P(AgentFaultsInCalls, LeaveOldOrNewDataWhole) {
    const auto& [scene, fault] = GetParam();
    const auto numbers = choose(scene, fault);
    RecordProperty("points", static_cast<int>(numbers.size()));
    for (const size_t number : numbers) check(scene, fault, number);
}

INSTANTIATE_TEST_SUITE_P(Steps, AgentFaultsInCalls,
                         testing::Combine(testing::ValuesIn(scenes()),
                                          testing::Values(Fault::kill, Fault::kill_steering, Fault::no_space,
                                                          Fault::io_error)),
                         [](const auto& test) {
                             return std::string(std::get<0>(test.param).name) + "_" +
                                    to_text(std::get<1>(test.param));
                         });

TEST(AgentFaultsScenes, CoverEachEntryOfTheStepTable) {
    std::set<std::string> covered, wanted;
    for (const Scene& scene : scenes()) covered.insert(scene.step);
    for (const auto& step : agent::steps()) wanted.insert(step.name);
    EXPECT_EQ(covered, wanted);
}

}  // namespace
}  // namespace dbrestore::tests
