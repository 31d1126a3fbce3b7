#include "integration/agent_faults.h"

#include <array>
#include <filesystem>
#include <fstream>

#include "base/files.h"

namespace dbrestore::tests {

namespace {

namespace fs = std::filesystem;

constexpr uint32_t default_seed = 20260101;
constexpr const char* the_life[] = {"prepare", "verify", "commit"};

// The dump's content; `old_data` makes of it what the database holds before the restore.
constexpr const char* new_data = R"sql(
CREATE SCHEMA stock AUTHORIZATION app;
SET ROLE app;
CREATE SEQUENCE stock.numbers START 7;
CREATE TABLE stock.items (id integer PRIMARY KEY DEFAULT nextval('stock.numbers'), word text NOT NULL UNIQUE);
CREATE TABLE stock.moves (item integer REFERENCES stock.items, amount numeric CHECK (amount <> 0), at timestamptz);
INSERT INTO stock.items (word) SELECT 'word ' || i FROM generate_series(1, 200) AS i;
INSERT INTO stock.moves SELECT id, id + 0.5, timestamptz '2024-01-01 UTC' + id * interval '1 hour' FROM stock.items;
CREATE INDEX moves_at ON stock.moves (at);
CREATE VIEW stock.totals AS SELECT item, sum(amount) AS total FROM stock.moves GROUP BY item;
CREATE FUNCTION stock.total(wanted integer) RETURNS numeric LANGUAGE sql AS 'SELECT total FROM stock.totals WHERE item = wanted';
GRANT SELECT ON stock.totals TO public;
SELECT lo_from_bytea(500001, 'a large object');
)sql";
constexpr const char* old_data =
    "DELETE FROM stock.moves WHERE item % 2 = 0; UPDATE stock.items SET word = 'old ' || word; "
    "CREATE TABLE stock.only_old AS SELECT 1 AS one; SELECT lo_unlink(500001)";

std::string& content(const std::string& which) {
    static std::map<std::string, std::string> contents;
    return contents[which];
}

std::string snapshot(const std::string& name) {
    return suite_folder() + "/faults-" + name;
}

}  // namespace

const std::vector<Scene>& scenes() {
    static const std::vector<Scene> all{
        {"Probe", "probe", Start::old_stopped},
        {"Catalog", "catalog", Start::old_stopped},
        {"Preflight", "preflight", Start::old_running},
        {"Quiesce", "quiesce", Start::old_running},
        {"Prepare", "prepare", Start::old_stopped},
        {"Verify", "verify", Start::prepared},
        {"Commit", "commit", Start::prepared},
        {"VerifyAsClient", "verify", Start::committed_running},
        {"RollbackOfPrepared", "rollback", Start::prepared},
        {"RollbackOfCommitted", "rollback", Start::committed_stopped},
        {"Cleanup", "cleanup", Start::committed_running},
    };
    return all;
}

const char* to_text(Next next) {
    return next == Next::go_on ? "go_on" : "turn_back";
}

bool all_faults() {
    const char* said = std::getenv("DBRESTORE_FAULTS");
    return said != nullptr && std::string(said) == "all";
}

uint32_t faults_seed() {
    const char* said = std::getenv("DBRESTORE_FAULTS_SEED");
    return said != nullptr ? static_cast<uint32_t>(std::strtoul(said, nullptr, 10)) : default_seed;
}

const std::string& AgentFaults::old_content() {
    return content("old");
}
const std::string& AgentFaults::new_content() {
    return content("new");
}

// Makes the cluster, and from it the volumes at the later starts, since what comes before need not run again
// for each case.
std::string AgentFaults::cluster() {
    const std::string folder = snapshot("old");
    if (fs::exists(folder)) return folder;
    // Segments of 1 MB: copying the cluster is most of what a case costs.
    make_cluster(folder, {"--wal-segsize=1"}, {"-c", new_data});
    replace_data(folder);
    fs::copy_file(folder + "/shop.dump", this->folder() + "/source/shop.dump");
    start_server();
    content("new") = fingerprint();
    sql(old_data);
    content("old") = fingerprint();
    stop_server();
    const auto keep = [&](const std::string& name) {
        fs::create_directories(snapshot(name));
        fs::remove_all(snapshot(name) + "/data");
        EXPECT_EQ(run_as_postgres({"true"}).exit_code, 0);
        base::ProcessSpec copy;
        copy.arguments = {"cp", "-a", data_directory(), snapshot(name) + "/data"};
        EXPECT_TRUE(base::run_process(copy)->ok());
    };
    keep("old");
    must_run(request("prepare"));
    keep("prepared");
    must_run(request("verify"));
    must_run(request("commit"));
    keep("committed");
    fs::remove(this->folder() + "/source/shop.dump");
    return folder;
}

std::string AgentFaults::begins_with(const Scene& scene) {
    if (scene.start == Start::prepared) return snapshot("prepared");
    return snapshot(scene.start == Start::old_stopped || scene.start == Start::old_running ? "old"
                                                                                           : "committed");
}

void AgentFaults::begin(const Scene& scene) {
    stop_server();
    pod_uid_ = "pod-1";
    attempt_ = 1;
    const bool running = scene.start == Start::old_running || scene.start == Start::committed_running;
    fs::remove_all(folder() + "/tmp");
    ASSERT_EQ(run_as_postgres({"mkdir", folder() + "/tmp"}).exit_code, 0);
    replace_data(begins_with(scene));
    if (running) start_server();
}

resources::AgentRequest AgentFaults::request_of(const Scene& scene) const {
    const bool running = scene.start == Start::old_running || scene.start == Start::committed_running;
    return running ? request_to_server(scene.step) : request(scene.step);
}

TracedEnd AgentFaults::run_faulty(const Scene& scene, Fault fault, size_t number, AgentRun& ran) {
    const auto asked = request_of(scene);
    const TracedSpec spec = traced(asked);
    TracedEnd end = run_traced(spec, fault, number);
    const auto out = base::read_file(spec.out_path), err = base::read_file(spec.err_path);
    ran = understand({end.exit_code, out ? *out : "", err ? *err : ""});
    return end;
}

void AgentFaults::must_run(const resources::AgentRequest& request) {
    const AgentRun ran = run(request);
    ASSERT_TRUE(ran.is_done()) << request.step << ": " << to_text(ran);
}

void AgentFaults::run_from(const std::string& step) {
    bool begun = false;
    for (const char* next : the_life) {
        begun = begun || step == next;
        if (begun) must_run(request(next));
    }
}

void AgentFaults::finish(const Scene& scene, Next next) {
    pod_uid_ = "pod-2";
    attempt_ = 2;
    const std::string step = scene.step;
    switch (scene.start) {
        case Start::old_running:
            must_run(request_of(scene));
            stop_server();
            [[fallthrough]];
        case Start::old_stopped:
        case Start::prepared:
            if (step == "rollback") break;
            if (next == Next::turn_back) {
                must_run(request("rollback"));
                return expect_old();
            }
            run_from(step == "verify" || step == "commit" ? step : "prepare");
            return expect_new();
        case Start::committed_running:
            must_run(request_of(scene));
            stop_server();
            if (step != "cleanup" && next == Next::turn_back) {
                must_run(request("rollback"));
                return expect_old();
            }
            return expect_served(new_content(), step == "cleanup" ? 0 : 1);
        case Start::committed_stopped:
            break;
    }
    // A rollback: again, or, where a human gave up on it, the next restore.
    if (next == Next::go_on) {
        must_run(request("rollback"));
        return expect_old();
    }
    for (const char* name : the_life) {
        auto asked = request(name);
        asked.restore_uid = "99999999-2222";
        asked.restore_name = "second";
        asked.new_database = "dbrestore_new_99999999";
        asked.old_database = "dbrestore_old_99999999";
        asked.role = "dbrestore_99999999";
        must_run(asked);
    }
    expect_new();
}

void AgentFaults::expect_served(const std::string& content, size_t kept_at_most) {
    if (testing::Test::HasFatalFailure()) return;
    const std::string work = data_directory() + "/.dbrestore";
    for (const std::string& left : {work + "/ballast", data_directory() + "/PG_VERSION.new"})
        EXPECT_FALSE(fs::exists(left)) << left << " is left";
    // Where only removing the empty folder failed, the database is back; the next restore takes the folder as
    // it is.
    EXPECT_TRUE(!fs::exists(work + "/tree") || fs::is_empty(work + "/tree"))
        << "files are left behind the stub";
    const auto version = base::read_file(data_directory() + "/PG_VERSION");
    EXPECT_EQ(version ? *version : version.error().message, postgres_version() + "\n");
    start_server();
    EXPECT_EQ(difference(content, fingerprint()), "");
    EXPECT_EQ(
        sql("SELECT count(*) FROM pg_database WHERE datname LIKE 'dbrestore%' AND (datallowconn OR datname "
            "NOT LIKE 'dbrestore_old_%')"),
        "0");
    EXPECT_EQ(sql("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'dbrestore%'"), "0");
    EXPECT_LE(std::stoul("0" + sql("SELECT count(*) FROM pg_database WHERE datname LIKE 'dbrestore_old_%'")),
              kept_at_most);
    stop_server();
}

}  // namespace dbrestore::tests
