#pragma once
// What is played: who wishes what, and what people do when a restore reaches a phase.

#include <map>
#include <string>
#include <vector>

#include "resources/database_restore.h"
#include "simulation/cluster.h"
#include "simulation/faults.h"

namespace dbrestore::simulation {

struct Cue {
    resources::Phase phase;
    Fault act;
};

struct Scenario {
    std::string name;
    resources::Phase ends = resources::Phase::succeeded;  // without faults
    Behaviour behaviour = {};
    std::vector<Cue> cues = {};
    int64_t retain_seconds = 3600, replicas = 1;
    std::vector<std::string> then = {};  // more restores of the same server
    bool owner_known = true;             // else a probe must find out
    bool dump_claim_is_late = false;
    bool pauses_cron_jobs = false;
    bool has_stores = false;               // and what is restored is the newest backup in one of them
    bool to_a_point = false;               // in time, and not from a dump
    std::string database = {};             // that all of them are about; empty: the server's own
    bool operator_is_away = false;         // for ten hours, from Preparing on
    std::vector<std::string> before = {};  // restores that have ended when it begins
    int64_t kept_seconds = 0;              // what those keep; 0: as long as all others
    std::map<std::string, std::string> undoes = {};  // by the name of an Undo, what it undoes
};

const std::vector<Scenario>& scenarios();
const Scenario* scenario_named(const std::string& name);

}  // namespace dbrestore::simulation
