#pragma once
// A real PostgreSQL for the agent's tests: a cluster is made and filled once, and each test gets a copy of
// it. Servers and the agent run as the user `postgres`, as they do in a pod; the agent is the built program,
// in a process of its own.

#include <gtest/gtest.h>
#include <sys/types.h>

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/server/postgres.h"
#include "base/process.h"
#include "integration/traced_process.h"
#include "resources/agent_protocol.h"

namespace dbrestore::tests {

inline constexpr const char* superuser = "boss";  // as POSTGRES_USER may have any name
inline constexpr const char* app_user = "app";    // owns the database, and is an ordinary role
inline constexpr const char* password = "s3cret'\\ word";

struct Output {
    int exit_code = -1;
    std::string out, err;
};

struct AgentRun {
    int exit_code = -1;
    resources::AgentResult result;
    bool has_result = false;
    std::string out, err, termination;
    std::vector<resources::Progress> progress;

    bool is_done() const {
        return has_result && result.outcome == resources::AgentResult::Outcome::done && exit_code == 0;
    }
    const resources::PreflightFinding* finding(const std::string& check) const;
};

// For messages of assertions.
std::string to_text(const AgentRun& run);

class AgentTest : public testing::Test {
protected:
    void SetUp() override;
    void TearDown() override;

    // The folder of the cluster that each test gets a copy of, `data`, and of a dump of it, shop.dump. Made
    // when it is asked for first.
    virtual std::string cluster();
    // Mounts what the data directory shall lie on; once the folder is there.
    virtual void make_volume() {}

    // The folder of this test; `data` in it is the data directory, `source` the dump's volume, `secret` the
    // Secret's.
    const std::string& folder() const { return folder_; }
    virtual std::string data_directory() const { return folder_ + "/data"; }
    int64_t port() const { return port_; }

    void start_server(const std::vector<std::string>& arguments = {});
    void stop_server();
    void kill_server();  // SIGKILL, as a pod's end may be

    // As a superuser on the running server. Fails the test where the server does.
    std::string sql(const std::string& statements, const std::string& database = "shop");
    // As \dump: the content of a database, as text. See tests/support/fingerprint.sql.
    std::string fingerprint(const std::string& database = "shop");
    // pg_dump -Fc into the source folder.
    void dump(const std::string& file, const std::string& database = "shop",
              const std::vector<std::string>& options = {});

    resources::AgentRequest request(const std::string& step) const;
    resources::AgentRequest request_to_server(const std::string& step) const;
    AgentRun run(const resources::AgentRequest& request);
    AgentRun run_step(const std::string& step) { return run(request(step)); }
    // Starts a step and leaves it; kill_agent ends it by SIGKILL.
    pid_t launch(const resources::AgentRequest& request);
    void kill_agent(pid_t pid);

    // Deletes, changes and adds, so that old and new content differ.
    void damage();
    // Runs the steps of a whole restore on the stopped server; fails the test where one of them does.
    void restore();

    std::map<std::string, std::string> environment_of(const resources::AgentRequest& request) const;
    // The step as it is run under faults.
    TracedSpec traced(const resources::AgentRequest& request) const;
    // What a step said, from its two streams and the termination message.
    AgentRun understand(const Output& output) const;
    // Puts the data directory of a cluster in the place of ours.
    virtual void replace_data(const std::string& cluster_folder);

    std::string restore_uid_ = "0a1b2c3d-1111-4222-8333-444455556666", pod_uid_ = "pod-1";
    int64_t attempt_ = 1;
    std::string pgbackrest_program_ = "/usr/bin/pgbackrest";
    std::vector<std::string> server_arguments_;  // of each server that is started

private:
    std::string folder_;
    int64_t port_ = 0;
    pid_t server_ = -1;
};

// The arguments that run a program as the database's user.
std::vector<std::string> as_postgres(const std::vector<std::string>& arguments);
Output run_as_postgres(const std::vector<std::string>& arguments,
                       const std::map<std::string, std::string>& environment = {});
// The major version of the PostgreSQL that is tested with: DBRESTORE_TEST_POSTGRES, or 15.
std::string postgres_version();
std::string program(const std::string& name);  // of PostgreSQL
std::string suite_folder();
std::string support_file(const std::string& name);
std::string agent_program();

// A new cluster in `folder`/data, filled by `statements` through psql, with a dump of the database `shop` in
// `folder`/shop.dump.
void make_cluster(const std::string& folder, const std::vector<std::string>& initdb_options,
                  const std::vector<std::string>& psql_arguments);

int64_t free_port();  // on the loopback; 0 where there is none

// The lines that only one of both texts has; empty where they are equal.
std::string difference(const std::string& left, const std::string& right);

bool wait_for(const std::function<bool()>& condition,
              std::chrono::milliseconds patience = std::chrono::seconds(30));

}  // namespace dbrestore::tests
