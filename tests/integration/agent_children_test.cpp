// What the agent starts is killed: pg_restore and its workers, the private server and its processes; or finds
// the disk full. The agent tells, and what comes next ends with the old or the new data.
#include <dirent.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "agent/space.h"
#include "agent/text.h"
#include "base/files.h"
#include "integration/agent_faults.h"

namespace dbrestore::tests {
namespace {

namespace fs = std::filesystem;
using std::chrono::microseconds;
using std::chrono::steady_clock;

enum class Victim { pg_restore, worker, postmaster, backend };

const char* to_text(Victim victim) {
    constexpr std::array names{"pg_restore", "worker", "postmaster", "backend"};
    return names.at(static_cast<size_t>(victim));
}

struct Target {
    const char* scene;
    Victim victim;
};
constexpr Target targets[] = {
    {"Prepare", Victim::pg_restore},
    {"Prepare", Victim::worker},
    {"Prepare", Victim::postmaster},
    {"Prepare", Victim::backend},
    {"Verify", Victim::postmaster},
    {"Verify", Victim::backend},
    {"Commit", Victim::postmaster},
    {"Commit", Victim::backend},
    {"RollbackOfPrepared", Victim::postmaster},
    {"RollbackOfPrepared", Victim::backend},
    {"RollbackOfCommitted", Victim::postmaster},
    {"RollbackOfCommitted", Victim::backend},
};
// 204 in all; a sample takes one of each.
constexpr size_t points_of_each = 17;
constexpr size_t tries_for_a_point = 6;
// A step that waits for a dead child for ever is a fault of its own.
constexpr std::chrono::seconds agent_patience{120};

const Scene& scene_named(const std::string& name) {
    for (const Scene& scene : scenes()) {
        if (name == scene.name) return scene;
    }
    return scenes().front();
}

std::vector<pid_t> children_of(pid_t pid) {
    const auto text =
        base::read_file("/proc/" + std::to_string(pid) + "/task/" + std::to_string(pid) + "/children");
    std::istringstream words(text ? *text : "");
    std::vector<pid_t> children;
    for (pid_t child = 0; words >> child;) children.push_back(child);
    return children;
}

// The name that the kernel keeps, which a process that only asks for its version has too.
bool is_working(pid_t pid, const std::string& name) {
    const auto words = base::read_file("/proc/" + std::to_string(pid) + "/cmdline");
    const auto comm = base::read_file("/proc/" + std::to_string(pid) + "/comm");
    return comm && agent::trimmed(*comm) == name && words && words->find("--version") == std::string::npos;
}

std::vector<pid_t> victims_below(pid_t agent, Victim victim) {
    const std::string name =
        victim == Victim::pg_restore || victim == Victim::worker ? "pg_restore" : "postgres";
    std::vector<pid_t> found;
    for (const pid_t child : children_of(agent)) {
        if (!is_working(child, name)) continue;
        if (victim == Victim::pg_restore || victim == Victim::postmaster) found.push_back(child);
        if (victim == Victim::worker || victim == Victim::backend) {
            for (const pid_t grandchild : children_of(child)) found.push_back(grandchild);
        }
    }
    return found;
}

class AgentChildren : public AgentFaults, public testing::WithParamInterface<Target> {
protected:
    resources::AgentRequest asked_of(const Scene& scene) const {
        auto asked = request_of(scene);
        asked.jobs = 2;
        return asked;
    }

    bool has_ended(pid_t agent, int& status) { return ::waitpid(agent, &status, WNOHANG) == agent; }

    // How long such children are there. On a busy machine short lives may be missed.
    microseconds measure(const Scene& scene, Victim victim) {
        std::optional<microseconds> seen;
        for (size_t i = 0; i < tries_for_a_point && !seen; ++i) seen = measure_once(scene, victim);
        EXPECT_TRUE(seen) << "the step has no such child";
        return seen.value_or(microseconds(0));
    }

    std::optional<microseconds> measure_once(const Scene& scene, Victim victim) {
        begin(scene);
        const pid_t agent = launch(asked_of(scene));
        std::optional<steady_clock::time_point> first, last;
        for (int status = 0; !has_ended(agent, status);) {
            if (victims_below(agent, victim).empty()) continue;
            last = steady_clock::now();
            if (!first) first = last;
        }
        if (!first) return std::nullopt;
        return std::chrono::duration_cast<microseconds>(*last - *first);
    }

    // Kills one of them this long after the first came; false where none was left. `ran` is what the agent
    // said.
    bool kill_after(const Scene& scene, Victim victim, microseconds delay, std::mt19937& random,
                    AgentRun& ran) {
        begin(scene);
        fs::remove(folder() + "/agent.log");
        const pid_t agent = launch(asked_of(scene));
        std::optional<steady_clock::time_point> first;
        bool killed = false, ended = false;
        int status = 0;
        const auto deadline = steady_clock::now() + agent_patience;
        while (!(ended = has_ended(agent, status)) && steady_clock::now() < deadline) {
            if (killed) {
                std::this_thread::sleep_for(std::chrono::milliseconds(5));
                continue;
            }
            const auto found = victims_below(agent, victim);
            if (!first && !found.empty()) first = steady_clock::now();
            if (!first || steady_clock::now() - *first < delay || found.empty()) continue;
            killed = ::kill(found[random() % found.size()], SIGKILL) == 0;
        }
        EXPECT_TRUE(ended) << "the agent waits for a child that is dead";
        if (!ended) kill_agent(agent);
        const auto log = base::read_file(folder() + "/agent.log", 16u << 20);
        ran = understand({WIFEXITED(status) ? WEXITSTATUS(status) : -1, log ? *log : "", ""});
        return killed;
    }

    void check(size_t point, microseconds span) {
        const Target target = GetParam();
        const Scene& scene = scene_named(target.scene);
        std::mt19937 random(faults_seed() + static_cast<uint32_t>(point) * 1000);
        for (size_t attempt = 0; attempt < tries_for_a_point; ++attempt) {
            const microseconds delay(static_cast<int64_t>(random()) % (span.count() + 1));
            const Next next = random() % 2 == 0 ? Next::go_on : Next::turn_back;
            AgentRun ran;
            const bool killed = kill_after(scene, target.victim, delay, random, ran);
            SCOPED_TRACE("killed: " + std::to_string(killed) + ", " + std::to_string(delay.count()) +
                         " us after it came, then " + to_text(next) + "\nreplay: DBRESTORE_FAULTS_SEED=" +
                         std::to_string(faults_seed()) + " DBRESTORE_FAULT_POINT=" + std::to_string(point) +
                         " build/dev/bin/integration_tests --gtest_filter=Targets/AgentChildren.Killed*/" +
                         target.scene + "_" + to_text(target.victim) + "\nthe step: " + to_text(ran));
            EXPECT_TRUE(ran.has_result) << ran.out;
            finish(scene, next);
            if (killed) return;
        }
        ADD_FAILURE() << "point " << point << " was never met in time";
    }
};

TEST_P(AgentChildren, KilledLeaveOldOrNewDataWhole) {
    const microseconds span = measure(scene_named(GetParam().scene), GetParam().victim);
    if (const char* only = std::getenv("DBRESTORE_FAULT_POINT"))
        return check(std::strtoul(only, nullptr, 10), span);
    const size_t points = all_faults() ? points_of_each : 1;
    RecordProperty("points", static_cast<int>(points));
    for (size_t point = 0; point < points; ++point) check(point, span);
}

INSTANTIATE_TEST_SUITE_P(Targets, AgentChildren, testing::ValuesIn(targets), [](const auto& test) {
    return std::string(test.param.scene) + "_" + to_text(test.param.victim);
});

// The data directory is a volume of its own, as large as the test says.
class AgentOnSmallVolume : public AgentFaults {
protected:
    void TearDown() override {
        stop_server();
        ::umount2(data_directory().c_str(), MNT_DETACH);
        AgentFaults::TearDown();
    }

    int64_t used_bytes(const std::string& path) {
        int64_t bytes = 0;
        for (const auto& entry : fs::recursive_directory_iterator(path)) {
            if (entry.is_regular_file())
                bytes += static_cast<int64_t>((entry.file_size() + 4095) / 4096 * 4096);
        }
        return bytes;
    }

    static std::string mount_options(int64_t bytes) {
        return "size=" + std::to_string(bytes) + ",mode=0700,uid=postgres,gid=postgres";
    }

    void move_to_volume(int64_t free_bytes) {
        const std::string aside = folder() + "/aside";
        fs::rename(data_directory(), aside);
        ASSERT_EQ(run_as_postgres({"mkdir", "-m", "0700", data_directory()}).exit_code, 0);
        base::ProcessSpec mount;
        mount.arguments = {
            "mount",         "-t", "tmpfs", "-o", mount_options(used_bytes(aside) + free_bytes), "tmpfs",
            data_directory()};
        ASSERT_TRUE(base::run_process(mount)->ok()) << "these tests need root";
        ASSERT_EQ(run_as_postgres({"cp", "-a", aside + "/.", data_directory()}).exit_code, 0);
        fs::remove_all(aside);
    }

    void enlarge_volume() {
        base::ProcessSpec mount;
        mount.arguments = {"mount", "-o", "remount,size=1g", data_directory()};
        ASSERT_TRUE(base::run_process(mount)->ok());
    }

    void check(int64_t free_bytes) {
        begin(scene_named("Prepare"));
        ASSERT_NO_FATAL_FAILURE(move_to_volume(free_bytes));
        const AgentRun ran = run(request("prepare"));
        SCOPED_TRACE(std::to_string(free_bytes) + " bytes were free; the step: " + to_text(ran));
        EXPECT_EQ(ran.is_done() ? "InsufficientSpace" : ran.result.reason, "InsufficientSpace");
        must_run(request("rollback"));
        expect_old();
        ASSERT_NO_FATAL_FAILURE(enlarge_volume());
        restore_uid_ = "99999999-2222";
        run_from("prepare");
        expect_new();
        restore_uid_ = first_uid_;
        ASSERT_EQ(::umount2(data_directory().c_str(), MNT_DETACH), 0);
    }

    std::string first_uid_ = restore_uid_;
};

TEST_F(AgentOnSmallVolume, FilledWhileRestoringServesTheOldDataAndTakesTheNextRestore) {
    constexpr int64_t mib = 1 << 20;
    // From a volume that cannot hold the reserve to one where all but the last bytes of the dump find room.
    std::mt19937 random(faults_seed());
    const int sizes = all_faults() ? 40 : 3;
    for (int i = 0; i < sizes; ++i) {
        const int64_t free_mib = 60 + i * 36 / sizes + static_cast<int64_t>(random() % 2);
        check(free_mib * mib + static_cast<int64_t>(random() % 256) * 4096);
        if (HasFailure()) return;
    }
}

}  // namespace
}  // namespace dbrestore::tests
