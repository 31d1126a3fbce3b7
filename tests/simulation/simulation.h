#pragma once
// One run: the real operator, or two of them, in a simulated cluster, one step after the other.

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "simulation/operator_process.h"
#include "simulation/people.h"

namespace dbrestore::simulation {

struct RunSettings {
    const Scenario* scenario = nullptr;
    std::vector<PlannedFault> planned;  // each happens once
    bool walk = false;                  // else everybody gets his turn, and only what is planned goes wrong
    uint64_t seed = 1;
    bool tell = false;  // the story, on standard output
};

struct RunOutcome {
    uint64_t steps = 0;
    std::array<uint64_t, 3> points{};  // passed, by kind
    std::vector<std::string> broken;
    std::string end;  // the phase of the first restore
};

class Simulation {
public:
    explicit Simulation(const RunSettings& settings);
    RunOutcome run();

private:
    static constexpr size_t all_events = 1000;

    void start_operator(size_t number);
    std::optional<Fault> at_point(PointKind kind, size_t number);
    std::optional<Fault> befall(Fault fault, size_t number);
    std::optional<Fault> random_fault(PointKind kind, size_t number);
    void let_second_leader_work();
    bool work(size_t number, bool on_a_restore);

    // One step of one actor. False: it had nothing to do.
    bool step_operator(size_t number, size_t turn);
    bool step_world(size_t turn);
    void step_cues();
    bool step_randomly();
    void walk();
    void settle();
    void play_before();
    bool at_rest() const;
    void count_step();
    void tell(const std::string& what) const;
    void tell_phases();

    RunSettings settings_;
    Random random_;
    SimulatedClock clock_;
    Store store_;
    ApiServer api_;
    std::map<Key, Volume> volumes_;
    Invariants invariants_;
    Cluster cluster_;
    People people_;
    std::vector<std::unique_ptr<OperatorProcess>> operators_;
    std::vector<Cue> cues_;
    uint64_t steps_ = 0;
    std::array<uint64_t, 3> points_{};
    bool counting_ = false, calm_ = true, nested_ = false;
    double trouble_ = 0;
    std::chrono::steady_clock::time_point operator_back_{};
    std::string told_;
};

}  // namespace dbrestore::simulation
