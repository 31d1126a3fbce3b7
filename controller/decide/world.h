#pragma once
// All that was observed before a decision, the time included. Decisions are functions of this and of nothing
// else.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "resources/agent_protocol.h"
#include "resources/database_restore.h"
#include "resources/kubernetes.h"
#include "resources/postgres_server.h"

namespace dbrestore::decide {

struct Settings {
    std::string agent_image;
};

// What concerns one DatabaseRestore.
struct World {
    base::Time now{};
    // True: every object was read from the API server for this decision. Destructive actions are decided on
    // nothing less.
    bool fresh = false;
    bool namespace_terminating = false;
    Settings settings;

    resources::DatabaseRestore restore;
    std::optional<resources::PostgresServer> server;
    std::optional<resources::Workload> workload;
    std::map<std::string, resources::Claim> claims;       // by name, those that exist
    std::map<std::string, resources::CronJob> cron_jobs;  // by name, those to be paused that exist
    std::vector<resources::Pod> pods;  // of the workload, of our Jobs, and others that mount its claim
    std::vector<resources::Job> jobs;  // of this restore
    std::vector<resources::DatabaseRestore> rivals;  // other unfinished restores of the same server
    std::vector<resources::EventNote>
        notes;  // warnings about the current step's Job and pod, once it is late
    std::optional<resources::AgentReport> report;  // of the current step's pod
    bool vanished = false;  // the restore's object is gone, and what is known of it comes from the lock
};

// What concerns one PostgresServer.
struct ServerWorld {
    base::Time now{};
    bool fresh = false;  // as in World
    bool namespace_terminating = false;
    Settings settings;
    resources::PostgresServer server;
    std::optional<resources::DatabaseRestore> holder;  // of the lock
    std::optional<World> vanished;                     // where that does not exist any more: what it left
    std::optional<resources::Workload> workload;
    std::vector<resources::PostgresServer> others;          // in the same namespace
    std::vector<resources::DatabaseRestore> ended;          // of this server, where its history is empty
    std::vector<resources::Pod> pods;                       // of the workload, and of cleanup Jobs
    std::vector<resources::Job> jobs;                       // cleanup Jobs of this server
    std::map<std::string, resources::AgentReport> reports;  // of cleanup Jobs that ended, by Job name
};

}  // namespace dbrestore::decide
