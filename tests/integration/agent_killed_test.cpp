// The agent is killed by SIGKILL, wherever it is; run again or rolled back, the database is entirely the old
// or the new one.
#include <filesystem>
#include <thread>

#include "agent/steps/steps.h"
#include "agent/volume/journal.h"
#include "integration/agent_fixture.h"

namespace dbrestore::tests {
namespace {

namespace fs = std::filesystem;
using State = agent::Journal::State;

class AgentKilled : public AgentTest {
protected:
    void SetUp() override {
        AgentTest::SetUp();
        start_server();
        // A crash of any server empties unlogged tables, those of the new database too: preflight says so.
        sql("ALTER TABLE shop.sessions SET LOGGED");
        dump("shop.dump");
        new_content_ = fingerprint();
        sql("DELETE FROM shop.events; UPDATE shop.products SET title = 'old'; CREATE TABLE shop.only_old ()");
        old_content_ = fingerprint();
        stop_server();
    }

    std::optional<State> state() const {
        const auto journal = agent::WorkFolder(data_directory()).load();
        if (!journal || !*journal) return std::nullopt;
        return (**journal).state;
    }
    bool is_there(const std::string& name) const {
        return fs::exists(data_directory() + "/.dbrestore/" + name);
    }
    // Runs the step until `moment`, and kills it there.
    void kill_at(const std::string& step, const std::function<bool()>& moment) {
        const pid_t pid = launch(request(step));
        const bool came = wait_for(moment, std::chrono::seconds(60));
        kill_agent(pid);
        ASSERT_TRUE(came) << "the moment did not come";
    }
    void expect_old_after_rollback() {
        const AgentRun undone = run_step("rollback");
        ASSERT_TRUE(undone.is_done()) << to_text(undone);
        start_server();
        EXPECT_EQ(difference(old_content_, fingerprint()), "");
        EXPECT_EQ(sql("SELECT count(*) FROM pg_database WHERE datname LIKE 'dbrestore%'"), "0");
        EXPECT_EQ(sql("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'dbrestore%'"), "0");
        stop_server();
    }
    void expect_new_after_going_on() {
        pod_uid_ = "pod-2";
        restore();
        start_server();
        EXPECT_EQ(difference(new_content_, fingerprint()), "");
        EXPECT_EQ(sql("SELECT count(*) FROM pg_database WHERE datname LIKE 'dbrestore%'"), "1");
        stop_server();
    }

    std::string old_content_, new_content_;
};

// The moments of `prepare`, in the order in which they come.
struct Moment {
    const char* name;
    std::function<bool(const std::string& data, const std::string& temporary)> has_come;
};

const std::vector<Moment>& moments() {
    const auto tree = [](const std::string& data) { return data + "/.dbrestore/tree"; };
    static const std::vector<Moment> list{
        {"BallastWritten", [](const std::string& data,
                              const std::string&) { return fs::exists(data + "/.dbrestore/ballast"); }},
        {"StubInPlace",
         [=](const std::string& data, const std::string&) { return fs::exists(tree(data) + "/PG_VERSION"); }},
        {"FilesBehindStub",
         [=](const std::string& data, const std::string&) {
             return fs::exists(tree(data) + "/global/pg_control");
         }},
        {"ServerStarted", [=](const std::string& data,
                              const std::string&) { return fs::exists(tree(data) + "/postmaster.pid"); }},
        {"PgRestoreRuns",
         [](const std::string&, const std::string& temporary) {
             return fs::exists(temporary + "/dbrestore-dbrestore_0a1b2c3d.list");
         }},
    };
    return list;
}

class AgentKilledPreparing : public AgentKilled, public testing::WithParamInterface<size_t> {};

TEST_P(AgentKilledPreparing, RollsBackToTheOldDatabase) {
    const Moment& moment = moments().at(GetParam());
    kill_at("prepare", [&] { return moment.has_come(data_directory(), folder() + "/tmp"); });
    expect_old_after_rollback();
}

INSTANTIATE_TEST_SUITE_P(Moments, AgentKilledPreparing, testing::Range<size_t>(0, 5),
                         [](const auto& moment) { return std::string(moments().at(moment.param).name); });

TEST_F(AgentKilled, WhilePreparingItGoesOnWithTheNextAttempt) {
    kill_at("prepare", [&] { return fs::exists(folder() + "/tmp/dbrestore-dbrestore_0a1b2c3d.list"); });
    expect_new_after_going_on();
}

TEST_F(AgentKilled, AfterPreparingWithItsResultLostItGoesOn) {
    kill_at("prepare", [&] { return state() == State::prepared; });
    expect_new_after_going_on();
}

TEST_F(AgentKilled, WhileCommittingItEndsOldOrNewAndNeverBetween) {
    ASSERT_TRUE(run_step("prepare").is_done());
    // Again and again at later moments, as far as a whole commit takes; each kill may leave a recovery for
    // the next.
    for (int wait_ms = 20; wait_ms <= 1500 && state() != State::committed; wait_ms = wait_ms * 3 / 2) {
        const pid_t pid = launch(request("commit"));
        std::this_thread::sleep_for(std::chrono::milliseconds(wait_ms));
        kill_agent(pid);
    }
    const AgentRun committed = run_step("commit");
    ASSERT_TRUE(committed.is_done()) << to_text(committed);
    start_server();
    EXPECT_EQ(difference(new_content_, fingerprint()), "");
    EXPECT_EQ(sql("SELECT count(*) FROM pg_database WHERE datname LIKE 'dbrestore%'"), "1");
}

TEST_F(AgentKilled, WhileCommittingItCanBeRolledBack) {
    ASSERT_TRUE(run_step("prepare").is_done());
    kill_at("commit", [&] {
        return state() == State::committing &&
               fs::exists(data_directory() + "/.dbrestore/tree/postmaster.pid");
    });
    expect_old_after_rollback();
}

TEST_F(AgentKilled, BetweenCommitAndTheFilesReturnItCanBeFinished) {
    ASSERT_TRUE(run_step("prepare").is_done());
    kill_at("commit", [&] { return state() == State::committed; });
    ASSERT_TRUE(run_step("commit").is_done());
    start_server();
    EXPECT_EQ(difference(new_content_, fingerprint()), "");
}

TEST_F(AgentKilled, WhileRollingBackItRollsBackAgain) {
    ASSERT_TRUE(run_step("prepare").is_done());
    for (const int wait_ms : {30, 120, 400}) {
        const pid_t pid = launch(request("rollback"));
        std::this_thread::sleep_for(std::chrono::milliseconds(wait_ms));
        kill_agent(pid);
    }
    expect_old_after_rollback();
}

TEST_F(AgentKilled, ADeadRestoreDoesNotStandInTheWayOfTheNext) {
    kill_at("prepare", [&] { return fs::exists(folder() + "/tmp/dbrestore-dbrestore_0a1b2c3d.list"); });
    auto next = request("prepare");
    next.restore_uid = "99999999-2222";
    next.restore_name = "second";
    next.new_database = "dbrestore_new_99999999";
    next.old_database = "dbrestore_old_99999999";
    next.role = "dbrestore_99999999";
    const AgentRun prepared = run(next);
    ASSERT_TRUE(prepared.is_done()) << to_text(prepared);
    next.step = "commit";
    ASSERT_TRUE(run(next).is_done());
    // The dead one's rollback finds nothing of its own any more.
    ASSERT_TRUE(run_step("rollback").is_done());
    start_server();
    EXPECT_EQ(difference(new_content_, fingerprint()), "");
    EXPECT_EQ(sql("SELECT string_agg(datname, ',') FROM pg_database WHERE datname LIKE 'dbrestore%'"),
              "dbrestore_old_99999999");
}

TEST_F(AgentKilled, AnotherPodThatTookOverIsNotDisturbed) {
    ASSERT_TRUE(run_step("prepare").is_done());
    const agent::WorkFolder folder_of_work(data_directory());
    const auto journal = folder_of_work.load();
    ASSERT_TRUE(journal && *journal);
    agent::Journal other = **journal;
    other.pod_uid = "somebody else";
    EXPECT_TRUE(folder_of_work.still_ours(**journal));
    ASSERT_TRUE(folder_of_work.save(other));
    EXPECT_FALSE(folder_of_work.still_ours(**journal));
}

}  // namespace
}  // namespace dbrestore::tests
