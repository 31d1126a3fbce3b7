#pragma once
// A fault in the middle of a step, then what the controller would do next, then the proof that the database
// is completely the old or completely the new one. A cluster of a few tables, so that thousands of cases are
// possible.

#include <cstdlib>
#include <random>

#include "agent/steps/steps.h"
#include "agent/volume/journal.h"
#include "integration/agent_fixture.h"
#include "integration/traced_process.h"

namespace dbrestore::tests {

// Where in a restore's life a step begins.
enum class Start { old_stopped, old_running, prepared, committed_stopped, committed_running };

struct Scene {
    const char* name;
    const char* step;  // of the agent's table
    Start start;
};
const std::vector<Scene>& scenes();

// What comes after the fault: the step again under the next attempt and the life to its end, or the other
// way.
enum class Next { go_on, turn_back };
const char* to_text(Next next);

// DBRESTORE_FAULTS=all takes every point instead of a sample; DBRESTORE_FAULTS_SEED chooses another one.
bool all_faults();
uint32_t faults_seed();

class AgentFaults : public AgentTest {
protected:
    std::string cluster() override;

    // The folder of the cluster as it is where the scene begins.
    static std::string begins_with(const Scene& scene);
    // The volume as it is there, with its server where there is one.
    void begin(const Scene& scene);
    resources::AgentRequest request_of(const Scene& scene) const;
    // The scene's step under the tracer; `ran` is what it said, if it still could.
    TracedEnd run_faulty(const Scene& scene, Fault fault, size_t number, AgentRun& ran);

    // From whatever the fault left to the end of that way, and then the proof.
    void finish(const Scene& scene, Next next);
    // The server starts with its configuration unchanged, serves exactly this, and nothing of a restore is
    // left but the databases that are kept, which are closed.
    void expect_served(const std::string& content, size_t kept_at_most);
    void expect_old() { expect_served(old_content(), 0); }
    void expect_new() { expect_served(new_content(), 2); }
    // Runs it, and fails the test unless it is done.
    void must_run(const resources::AgentRequest& request);
    // The rest of the restore's life, from this step on.
    void run_from(const std::string& step);

    static const std::string& old_content();
    static const std::string& new_content();
};

}  // namespace dbrestore::tests
