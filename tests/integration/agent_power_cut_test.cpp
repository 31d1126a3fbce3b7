// The power goes, and with it all that was not synced: in the middle of a step, at each of the calls of
// agent_faults_test.cpp, and right after a step has said that it is done. The file system comes back as
// another device, and the operator goes on as after any other death of its Job.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/files.h"
#include "integration/agent_faults.h"
#include "integration/on_unsynced_disk.h"

namespace dbrestore::tests {
namespace {

const std::vector<Fault> cuts_at{Fault::kill, Fault::kill_steering};

std::string read_or_error(const std::string& path) {
    const auto text = base::read_file(path);
    return text ? *text : text.error().message;
}

// That the others prove something.
class UnsyncedDisks : public OnUnsyncedDisk<AgentTest> {
protected:
    void SetUp() override {
        AgentTest::SetUp();
        use_disk();
        const std::string content = folder() + "/content";
        std::filesystem::create_directories(content + "/data");
        replace_data(content);
    }

    void write(const std::string& name, const std::string& text, bool synced) {
        const std::string path = data_directory() + "/" + name;
        const base::UniqueFd fd{::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)};
        ASSERT_TRUE(base::write_all(fd.get(), text));
        if (synced) ASSERT_EQ(::fsync(fd.get()), 0);
    }
    std::string read(const std::string& name) { return read_or_error(data_directory() + "/" + name); }
};

TEST_F(UnsyncedDisks, KeepWhatWasSyncedAndNothingElse) {
    const std::string text(100'000, 'x');
    write("synced", text, true);
    write("not-synced", text, false);
    EXPECT_EQ(read("not-synced"), text);
    cut_power(0);
    ASSERT_NO_FATAL_FAILURE(power_on());
    EXPECT_EQ(read("synced"), text);
    EXPECT_FALSE(std::filesystem::exists(data_directory() + "/not-synced"));
}

TEST_F(UnsyncedDisks, LoseARenameThatWasNotSynced) {
    write("a", "old", true);
    write("b", "new", true);
    const std::string a = data_directory() + "/a", b = data_directory() + "/b";
    std::filesystem::rename(b, a);
    EXPECT_EQ(read("a"), "new");
    cut_power(0);
    ASSERT_NO_FATAL_FAILURE(power_on());
    EXPECT_EQ(read("a"), "old");
    std::filesystem::rename(b, a);
    ASSERT_TRUE(base::sync_directory(data_directory()));
    cut_power(0);
    ASSERT_NO_FATAL_FAILURE(power_on());
    EXPECT_EQ(read("a"), "new");
}

TEST_F(UnsyncedDisks, WriteSomeBlocksInAnyOrder) {
    cut_ = power_cuts[1];
    const std::string path = data_directory() + "/blocks", old(1 << 20, 'o'), changed(1 << 20, 'n');
    write("blocks", old, true);
    // Past the page cache, but not past the disk's own.
    base::UniqueFd fd{::open(path.c_str(), O_WRONLY | O_DIRECT | O_CLOEXEC)};
    const std::unique_ptr<void, void (*)(void*)> aligned{std::aligned_alloc(4096, changed.size()), std::free};
    std::ranges::copy(changed, static_cast<char*>(aligned.get()));
    ASSERT_EQ(::pwrite(fd.get(), aligned.get(), changed.size(), 0), static_cast<ssize_t>(changed.size()));
    fd.reset();
    cut_power(7);
    ASSERT_NO_FATAL_FAILURE(power_on());
    const std::string found = read("blocks");
    ASSERT_EQ(found.size(), old.size());
    EXPECT_GT(std::ranges::count(found, 'n'), 0);
    EXPECT_GT(std::ranges::count(found, 'o'), 0);
}

class AgentPowerCut : public OnUnsyncedDisk<AgentFaults>, public testing::WithParamInterface<Scene> {
protected:
    void SetUp() override {
        AgentFaults::SetUp();
        use_disk();
    }

    std::vector<std::pair<Fault, size_t>> choose(const Scene& scene) {
        begin(scene);
        AgentRun ran;
        const TracedEnd whole = run_faulty(scene, Fault::none, 0, ran);
        EXPECT_TRUE(ran.is_done()) << to_text(ran);
        std::vector<std::pair<Fault, size_t>> points;
        for (const Fault fault : cuts_at) {
            for (size_t i = 1; i <= whole.calls_of(fault).size(); ++i) points.emplace_back(fault, i);
        }
        EXPECT_GT(points.size(), 5u);
        std::mt19937 random(faults_seed());
        std::ranges::shuffle(points, random);
        if (!all_faults()) points.resize(std::min(points.size(), size_t{1}));
        return points;
    }

    // As the operator does, which does not know about the power.
    void cut_inside(const Scene& scene, Fault fault, size_t number, const PowerCut& cut) {
        const Next next = (number + faults_seed()) % 2 == 0 ? Next::go_on : Next::turn_back;
        cut_ = cut;
        begin(scene);
        TracedSpec spec = traced(request_of(scene));
        spec.at_fault = [&] { cut_power(static_cast<uint32_t>(number)); };
        const TracedEnd end = run_traced(spec, fault, number);
        const auto& calls = end.calls_of(fault);
        SCOPED_TRACE("no power from call " + std::to_string(number) + " on, " +
                     (calls.empty() ? "" : calls.back()) + ", " + cut.name + ", then " + to_text(next));
        if (!end.injected) cut_power(faults_seed());
        ASSERT_NO_FATAL_FAILURE(power_on());
        finish(scene, next);
    }

    void cut_after(const Scene& scene, Next next, const PowerCut& cut) {
        SCOPED_TRACE(std::string("no power after the step, ") + cut.name + ", then " + to_text(next));
        cut_ = cut;
        begin(scene);
        must_run(request_of(scene));
        cut_power(faults_seed());
        ASSERT_NO_FATAL_FAILURE(power_on());
        expect_done(scene, next);
    }

    // What was said is so: nothing runs the step again.
    void expect_done(const Scene& scene, Next next) {
        const std::string step = scene.step;
        if (step == "rollback") {
            expect_ended(false);
            return expect_old();
        }
        pod_uid_ = "pod-2";
        if (step == "commit") {
            expect_ended(true);
            expect_served(new_content(), 1);
        }
        if (next == Next::turn_back) {
            must_run(request("rollback"));
            return expect_old();
        }
        if (step == "prepare") must_run(request("verify"));
        must_run(request("commit"));
        expect_new();
    }
};

TEST_P(AgentPowerCut, LeavesOldOrNewDataWholeAndTakesNothingBack) {
    const Scene& scene = GetParam();
    for (const auto& [fault, number] : choose(scene)) {
        for (const PowerCut& cut : power_cuts_at(number)) cut_inside(scene, fault, number, cut);
        if (HasFailure()) return;
    }
    std::vector<Next> ways{Next::go_on};
    if (all_faults() && scene.step != std::string("rollback")) ways.push_back(Next::turn_back);
    for (const Next next : ways) {
        for (const PowerCut& cut : power_cuts_at(0)) cut_after(scene, next, cut);
    }
}

// With the server stopped: what it has not synced when it is killed is a matter of PostgreSQL. In a sample
// only those that rename.
std::vector<Scene> scenes_without_server() {
    std::vector<Scene> chosen;
    for (const Scene& scene : scenes()) {
        const std::string step = scene.step;
        const bool is_prepared = scene.start == Start::prepared || scene.start == Start::committed_stopped;
        const bool renames = step == "commit" || scene.start == Start::committed_stopped;
        if (all_faults() ? is_prepared || step == "prepare" : renames) chosen.push_back(scene);
    }
    return chosen;
}

INSTANTIATE_TEST_SUITE_P(Steps, AgentPowerCut, testing::ValuesIn(scenes_without_server()),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace dbrestore::tests
