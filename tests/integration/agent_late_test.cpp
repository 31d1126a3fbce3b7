// A Job of an earlier attempt whose pod starts late, after its controller was paused or its node was gone: it
// is refused, and changes nothing.
#include <filesystem>

#include "base/files.h"
#include "integration/agent_faults.h"

namespace dbrestore::tests {
namespace {

namespace fs = std::filesystem;

class AgentLate : public AgentFaults {
protected:
    resources::AgentRequest numbered(const std::string& step, int64_t sequence) const {
        auto asked = request(step);
        asked.sequence = sequence;
        return asked;
    }

    // Each file of the volume with what it holds.
    std::map<std::string, std::string> volume() const {
        std::map<std::string, std::string> files;
        for (const auto& entry : fs::recursive_directory_iterator(data_directory())) {
            const std::string path = entry.path().string();
            const auto text =
                entry.is_regular_file() ? base::read_file(path, 64u << 20) : std::string("a folder");
            files[path] = text ? *text : text.error().message;
        }
        return files;
    }

    void expect_refused(const std::vector<std::string>& steps, int64_t sequence) {
        const auto before = volume();
        for (const auto& step : steps) {
            pod_uid_ = "late-pod";
            const AgentRun late = run(numbered(step, sequence));
            EXPECT_EQ(late.result.reason, "TakenOver") << step << ": " << to_text(late);
            EXPECT_TRUE(volume() == before) << "a late " << step << " changed the volume";
        }
    }
};

TEST_F(AgentLate, AfterRollbackNothingOfThisRestoreBegins) {
    begin(scenes().front());
    must_run(numbered("prepare", 2));
    must_run(numbered("rollback", 3));
    expect_refused({"prepare", "verify", "commit"}, 2);
    expect_old();
}

TEST_F(AgentLate, AfterARollbackThatFoundNothingNothingOfThisRestoreBegins) {
    begin(scenes().front());
    must_run(numbered("rollback", 3));
    expect_refused({"prepare"}, 2);
    expect_old();
}

TEST_F(AgentLate, AfterSuccessNeitherRepeatsNorTakesBack) {
    begin(scenes().front());
    must_run(numbered("prepare", 2));
    must_run(numbered("verify", 3));
    must_run(numbered("commit", 4));
    expect_refused({"prepare", "verify", "commit", "rollback"}, 3);
    expect_served(new_content(), 1);
}

TEST_F(AgentLate, WhileALaterAttemptWorksItDoesNotCommit) {
    begin(scenes().front());
    must_run(numbered("prepare", 2));
    must_run(numbered("verify", 5));
    expect_refused({"prepare", "verify", "commit", "rollback"}, 4);
    must_run(numbered("commit", 6));
    expect_served(new_content(), 1);
}

}  // namespace
}  // namespace dbrestore::tests
