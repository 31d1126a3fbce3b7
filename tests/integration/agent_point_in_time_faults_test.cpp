// The steps that exchange the old files and the copy, killed or failing at each call by which they change
// files or steer a server, or without power from there on: the server is completely the old or completely the
// new one afterwards.
#include <algorithm>
#include <filesystem>

#include "base/files.h"
#include "integration/agent_faults.h"
#include "integration/on_unsynced_disk.h"
#include "integration/point_in_time_fixture.h"
#include "integration/xfs_volume.h"

namespace dbrestore::tests {
namespace {

namespace fs = std::filesystem;

constexpr int64_t old_row = 12, new_row = 6;
constexpr const char* undone_uid = "undone-1";

// What runs before the step, each to its end; `served`: a server has run on the copy, and archived; `undo`:
// of a restore that did.
struct Exchange {
    const char* name;
    std::vector<const char*> before;
    bool served;
    const char* step;
    bool undo = false;
    bool on_xfs = false;  // the copy begins as a clone

    int64_t row_before() const { return undo ? new_row : old_row; }
    int64_t row_afterwards() const { return undo ? old_row : new_row; }
};

const std::vector<Exchange>& exchanges() {
    static const std::vector<Exchange> all{
        {"Prepare", {}, false, "prepare"},
        {"Commit", {"prepare"}, false, "commit"},
        {"RollbackOfPrepared", {"prepare"}, false, "rollback"},
        {"RollbackOfCommitted", {"prepare", "commit"}, false, "rollback"},
        {"RollbackOfServed", {"prepare", "commit"}, true, "rollback"},
        {"PrepareOfUndo", {}, false, "prepare", true},
        {"CommitOfUndo", {"prepare"}, false, "commit", true},
        {"RollbackOfPreparedUndo", {"prepare"}, false, "rollback", true},
        {"RollbackOfServedUndo", {"prepare", "commit"}, true, "rollback", true},
        {"PrepareOnXfs", {}, false, "prepare", false, true},
        {"RollbackOfPreparedOnXfs", {"prepare"}, false, "rollback", false, true},
    };
    return all;
}

// A fault at a call.
struct Point {
    Fault fault = Fault::none;
    size_t number = 0;
    std::string call;
};

constexpr Fault faults[] = {Fault::kill, Fault::kill_steering, Fault::no_space, Fault::io_error};

class AgentPointInTimeFaults : public PointInTimeTest, public testing::WithParamInterface<Exchange> {
protected:
    void SetUp() override {
        PointInTimeTest::SetUp();
        write_rows(old_row);
        target_ = at_time(committed_at(new_row), 1);
        stop_server();
        if (GetParam().undo) {
            restore_to(target_, undone_uid);
            start_server();
            archive_all();
            stop_server();
            restore_uid_ = "a-1";
        }
        ASSERT_EQ(run_as_postgres({"mkdir", folder() + "/kept"}).exit_code, 0);
        keep(data_directory(), folder() + "/kept/data");
        keep(repository(), folder() + "/kept-repository");
    }

    void make_volume() override {
        if (GetParam().on_xfs) volume_.emplace(folder());
    }
    std::string data_directory() const override {
        return volume_ ? volume_->path() + "/data" : PointInTimeTest::data_directory();
    }
    void TearDown() override {
        stop_server();
        volume_.reset();
        PointInTimeTest::TearDown();
    }

    static void keep(const std::string& from, const std::string& to) {
        fs::remove_all(to);
        ASSERT_EQ(run_as_postgres({"cp", "-a", from, to}).exit_code, 0);
    }

    resources::AgentRequest asked(const std::string& step) const {
        return GetParam().undo ? request_to_undo(step, undone_uid) : request_for(step, target_);
    }

    void must(const std::string& step) {
        const AgentRun ran = run(asked(step));
        ASSERT_TRUE(ran.is_done()) << step << ": " << to_text(ran);
    }

    void begin(const Exchange& exchange) {
        stop_server();
        pod_uid_ = "pod-1";
        attempt_ = 1;
        replace_data(folder() + "/kept");
        keep(folder() + "/kept-repository", repository());
        for (const char* step : exchange.before) must(step);
        if (!exchange.served) return;
        start_server();
        archive_all();
        stop_server();
    }

    TracedEnd run_faulty(const Exchange& exchange, Fault fault, size_t number,
                         const std::function<void()>& at_fault = {}) {
        TracedSpec spec = traced(asked(exchange.step));
        spec.at_fault = at_fault;
        return run_traced(spec, fault, number);
    }

    // All points where the step can be hit, or a sample. Of the thousand files that are removed, or cloned,
    // one after the other, the first stands for all.
    std::vector<Point> choose(const Exchange& exchange) {
        begin(exchange);
        const TracedEnd whole = run_faulty(exchange, Fault::none, 0);
        EXPECT_EQ(whole.exit_code, 0);
        std::vector<Point> points;
        for (const Fault fault : faults) {
            std::string before;
            for (size_t i = 0; i < whole.calls_of(fault).size(); ++i) {
                const std::string& call = whole.calls_of(fault)[i];
                const std::string kind = call.substr(0, call.find(' '));
                if (kind != before || (kind != "unlink" && kind != "open"))
                    points.push_back({fault, i + 1, call});
                before = kind;
            }
        }
        EXPECT_GT(points.size(), 10u);
        std::mt19937 random(faults_seed());
        std::ranges::shuffle(points, random);
        if (!all_faults()) points.resize(std::min<size_t>(points.size(), 2));
        return points;
    }

    void expect_served(int64_t row, bool keeps_old_files) {
        if (HasFatalFailure()) return;
        const std::string work = data_directory() + "/.dbrestore";
        EXPECT_FALSE(fs::exists(work + "/ballast"));
        EXPECT_TRUE(!fs::exists(work + "/tree") || fs::is_empty(work + "/tree"));
        EXPECT_EQ(fs::exists(work + "/beside-" + restore_uid_), keeps_old_files);
        EXPECT_EQ(keeps_files(undone_uid), GetParam().undo && !keeps_old_files);
        start_server();
        EXPECT_EQ(last_row(), row);
        EXPECT_EQ(sql("SELECT count(*) FROM rows"), std::to_string(row));
        stop_server();
    }

    void finish(const Exchange& exchange, bool go_on) {
        pod_uid_ = "pod-2";
        attempt_ = 2;
        const std::string step = exchange.step;
        if (step != "rollback" && go_on) {
            if (step == "prepare") must("prepare");
            must("commit");
            return expect_served(exchange.row_afterwards(), true);
        }
        must("rollback");
        expect_served(exchange.row_before(), false);
    }

    resources::PointInTime target_;
    std::optional<XfsVolume> volume_;
};

TEST_P(AgentPointInTimeFaults, LeaveOldOrNewDataWhole) {
    const Exchange& exchange = GetParam();
    for (const auto& [fault, number, call] : choose(exchange)) {
        const bool go_on = (number + faults_seed()) % 2 == 0;
        SCOPED_TRACE(std::string(to_text(fault)) + " at call " + std::to_string(number) + ", " + call +
                     ", then " + (go_on ? "on" : "back"));
        begin(exchange);
        const TracedEnd end = run_faulty(exchange, fault, number);
        const bool kills = fault == Fault::kill || fault == Fault::kill_steering;
        EXPECT_EQ(end.signal, kills && end.injected ? SIGKILL : 0);
        finish(exchange, go_on);
        if (HasFailure()) return;
    }
}

INSTANTIATE_TEST_SUITE_P(Steps, AgentPointInTimeFaults, testing::ValuesIn(exchanges()),
                         [](const auto& test) { return std::string(test.param.name); });

class AgentPointInTimePowerCut : public OnUnsyncedDisk<AgentPointInTimeFaults> {
protected:
    void SetUp() override {
        AgentPointInTimeFaults::SetUp();
        use_disk();
    }

    // As the operator does, which does not know about the power.
    void cut_inside(const Exchange& exchange, const Point& point, const PowerCut& cut) {
        const bool go_on = (point.number + faults_seed()) % 2 == 0;
        SCOPED_TRACE("no power from call " + std::to_string(point.number) + " on, " + point.call + ", " +
                     cut.name + ", then " + (go_on ? "on" : "back"));
        cut_ = cut;
        begin(exchange);
        const TracedEnd end = run_faulty(exchange, point.fault, point.number,
                                         [&] { cut_power(static_cast<uint32_t>(point.number)); });
        if (!end.injected) cut_power(faults_seed());
        ASSERT_NO_FATAL_FAILURE(power_on());
        finish(exchange, go_on);
    }

    // What was said is so: no step runs again.
    void cut_after(const Exchange& exchange, const PowerCut& cut) {
        SCOPED_TRACE(std::string("no power after the step, ") + cut.name);
        cut_ = cut;
        begin(exchange);
        must(exchange.step);
        cut_power(faults_seed());
        ASSERT_NO_FATAL_FAILURE(power_on());
        pod_uid_ = "pod-2";
        const std::string step = exchange.step;
        if (step != "prepare") expect_ended(step == "commit");
        if (step == "rollback") return expect_served(exchange.row_before(), false);
        if (step == "prepare") must("commit");
        const auto timelines = agent::WorkFolder(data_directory()).timelines();
        ASSERT_TRUE(timelines && !timelines->empty());
        start_server();
        EXPECT_EQ(timelines->back().id, timeline());
        stop_server();
        expect_served(exchange.row_afterwards(), true);
    }
};

TEST_P(AgentPointInTimePowerCut, LeavesOldOrNewDataWholeAndTakesNothingBack) {
    const Exchange& exchange = GetParam();
    auto points = choose(exchange);
    if (!all_faults()) points.resize(1);
    for (Point& point : points) {
        // The other faults are at the same calls.
        if (all_faults() && point.fault != Fault::kill && point.fault != Fault::kill_steering) continue;
        if (point.fault != Fault::kill_steering) point.fault = Fault::kill;
        for (const PowerCut& cut : power_cuts_at(point.number)) cut_inside(exchange, point, cut);
        if (HasFailure()) return;
    }
    for (const PowerCut& cut : power_cuts_at(0)) cut_after(exchange, cut);
}

// In a sample only those that exchange the most.
std::vector<Exchange> exchanges_to_cut() {
    std::vector<Exchange> chosen;
    for (const Exchange& exchange : exchanges()) {
        const std::string name = exchange.name;
        if (all_faults() || name == "Commit" || name == "RollbackOfServed") chosen.push_back(exchange);
    }
    return chosen;
}

INSTANTIATE_TEST_SUITE_P(Steps, AgentPointInTimePowerCut, testing::ValuesIn(exchanges_to_cut()),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace dbrestore::tests
