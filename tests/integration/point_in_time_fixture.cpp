#include "integration/point_in_time_fixture.h"

#include <filesystem>
#include <fstream>
#include <thread>

#include "agent/timelines.h"

namespace dbrestore::tests {

namespace {

namespace fs = std::filesystem;

constexpr const char* program_path = "/usr/bin/pgbackrest";
// Between two commits, so that each has a time of its own.
constexpr std::chrono::milliseconds between_rows{3};

}  // namespace

resources::PointInTime at_time(const std::string& time, int64_t timeline) {
    resources::PointInTime target;
    target.time = time;
    target.timeline = timeline;
    return target;
}

std::string PointInTimeTest::cluster() {
    const std::string folder = suite_folder() + "/point-in-time";
    if (!fs::exists(folder)) {
        make_cluster(folder, {"--wal-segsize=1", "--data-checksums"},
                     {"-c", "CREATE TABLE rows (number bigint PRIMARY KEY); GRANT SELECT ON rows TO app"});
    }
    return folder;
}

void PointInTimeTest::SetUp() {
    AgentTest::SetUp();
    ASSERT_TRUE(fs::exists(program_path)) << "hack/install";
    const std::string secret = folder() + "/repository-secret";
    ASSERT_EQ(run_as_postgres({"mkdir", "-m", "0755", repository(), secret}).exit_code, 0);
    std::ofstream(secret + "/pgbackrest.conf")
        << "[global]\nrepo1-path=" << repository() << "\nrepo1-retention-full=9\nlog-level-file=off\n"
        << "log-level-console=error\nstart-fast=y\ncompress-type=none\nlock-path=" << folder()
        << "/tmp/lock\n"
        << "[shop]\npg1-path=" << data_directory() << "\npg1-port=" << port()
        << "\npg1-socket-path=" << fs::path(data_directory()).parent_path().string()
        << "\npg1-user=" << superuser << "\n";
    std::ofstream(data_directory() + "/postgresql.conf", std::ios::app)
        << "archive_mode = on\ntrack_commit_timestamp = on\narchive_command = '" << program_path
        << " --config=" << secret << "/pgbackrest.conf --stanza=shop archive-push %p'\n";
    start_server();
    pgbackrest({"stanza-create"});
    back_up();
}

void PointInTimeTest::pgbackrest(const std::vector<std::string>& arguments) {
    std::vector<std::string> all{program_path, "--config=" + folder() + "/repository-secret/pgbackrest.conf",
                                 "--stanza=shop"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    const Output output = run_as_postgres(all);
    ASSERT_EQ(output.exit_code, 0) << output.out << output.err;
}

void PointInTimeTest::back_up() {
    pgbackrest({"backup", "--type=full"});
    // Only from the next second on is it certain that it had ended.
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));
}

int64_t PointInTimeTest::write_rows(int64_t count) {
    auto session = agent::Session::open({"127.0.0.1", port(), superuser, password, "shop"});
    EXPECT_TRUE(session);
    for (int64_t i = 0; session && i < count; ++i) {
        EXPECT_TRUE(
            session->run("INSERT INTO public.rows SELECT coalesce(max(number), 0) + 1 FROM public.rows"));
        std::this_thread::sleep_for(between_rows);
    }
    return last_row();
}

int64_t PointInTimeTest::last_row() {
    return std::stoll("0" + sql("SELECT max(number) FROM rows"));
}

std::string PointInTimeTest::committed_at(int64_t number) {
    return sql(
        "SELECT to_char(pg_xact_commit_timestamp(xmin) AT TIME ZONE 'UTC', "
        "'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') FROM rows WHERE number = " +
        std::to_string(number));
}

int64_t PointInTimeTest::timeline() {
    return std::stoll("0" + sql("SELECT timeline_id FROM pg_control_checkpoint()"));
}

void PointInTimeTest::archive_all() {
    const std::string last = sql("SELECT pg_walfile_name(pg_switch_wal())");
    EXPECT_TRUE(wait_for([&] {
        return sql("SELECT coalesce(last_archived_wal >= '" + last + "', false) FROM pg_stat_archiver") ==
               "t";
    })) << last;
}

std::set<std::string> PointInTimeTest::archived(int64_t timeline) const {
    const std::string prefix = agent::history_file(timeline).substr(0, 8);
    std::set<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(repository() + "/archive")) {
        const std::string name = entry.path().filename();
        if (entry.is_regular_file() && name.starts_with(prefix)) names.insert(name);
    }
    return names;
}

resources::AgentRequest PointInTimeTest::request_for(const std::string& step,
                                                     const resources::PointInTime& target) const {
    auto made = request(step);
    made.point_in_time = target;
    made.stanza = "shop";
    made.backup_name.clear();
    return made;
}

void PointInTimeTest::restore_to(const resources::PointInTime& target, const std::string& uid) {
    restore_uid_ = uid;
    for (const char* step : {"prepare", "verify", "commit"}) {
        const AgentRun ran = run_for(step, target);
        ASSERT_TRUE(ran.is_done()) << step << ": " << to_text(ran);
    }
}

void PointInTimeTest::restore_running_to(const resources::PointInTime& target, const std::string& uid) {
    stop_server();
    restore_to(target, uid);
    start_server();
}

resources::AgentRequest PointInTimeTest::request_to_undo(const std::string& step,
                                                         const std::string& undone_uid) const {
    resources::PointInTime end;
    end.latest = true;
    auto asked = request_for(step, end);
    asked.undo = true;
    asked.undone_uid = undone_uid;
    asked.restore_name = restore_uid_;
    return asked;
}

void PointInTimeTest::undo(const std::string& undone_uid, const std::string& uid) {
    restore_uid_ = uid;
    for (const char* step : {"preflight", "prepare", "verify", "commit"}) {
        const AgentRun ran = run_undo(step, undone_uid);
        ASSERT_TRUE(ran.is_done()) << step << ": " << to_text(ran);
    }
}

void PointInTimeTest::undo_running(const std::string& undone_uid, const std::string& uid) {
    stop_server();
    undo(undone_uid, uid);
    start_server();
}

bool PointInTimeTest::keeps_files(const std::string& uid) const {
    return fs::exists(data_directory() + "/.dbrestore/beside-" + uid + "/PG_VERSION");
}

std::string PointInTimeTest::refusal(const resources::PointInTime& target) {
    restore_uid_ += "x";
    const AgentRun prepared = run_for("prepare", target);
    EXPECT_FALSE(prepared.is_done()) << to_text(prepared);
    const AgentRun undone = run_for("rollback", target);
    EXPECT_TRUE(undone.is_done()) << to_text(undone);
    EXPECT_FALSE(fs::exists(data_directory() + "/.dbrestore/beside-" + restore_uid_));
    return prepared.result.reason + ": " + prepared.result.message;
}

}  // namespace dbrestore::tests
