#pragma once
// Users, administrators and GitOps: what they have, what they wish, and what they do at the wrong moment.

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "simulation/cluster.h"
#include "simulation/scenarios.h"

namespace dbrestore::simulation {

inline const Key the_restore{"shop", "bring-it-back"}, the_second_restore{"shop", "bring-it-back-too"},
    the_fresh_restore{"shop", "afterwards"}, the_first_restore{"shop", "at-first"},
    the_server{"shop", "shop"}, the_workload{"shop", "shop"}, the_claim{"shop", "data-shop-0"},
    the_dump_claim{"shop", "dumps"}, the_backup{"shop", "backup"}, the_report{"shop", "report"};

class People {
public:
    People(Store& store, Cluster& cluster, const SimulatedClock& clock, Invariants& invariants,
           std::map<Key, Volume>& volumes)
        : store_(store), cluster_(cluster), clock_(clock), invariants_(invariants), volumes_(volumes) {}

    void set_up(const Scenario& scenario);
    void wish(const Key& restore, int64_t retain_seconds);
    void act(Fault what);
    // What they come back for: a mistake is mended, a deleted object applied again. False: nothing is due.
    bool mend();
    bool has_plans() const { return !plans_.empty(); }
    void bring_dump_claim();
    void bring_stores();

private:
    void later(double seconds, std::function<void()> what);
    void remove_by_force(const Key& restore);
    void delete_a_job();
    void mount_claim();
    void make_server();
    json server_spec() const;
    void make_cron_job(const std::string& name, bool suspended);
    void toggle_cron_job();
    void delete_cron_job();
    void toggle_store();

    Store& store_;
    Cluster& cluster_;
    const SimulatedClock& clock_;
    Invariants& invariants_;
    std::map<Key, Volume>& volumes_;
    struct Plan {
        std::chrono::steady_clock::time_point due;
        std::function<void()> what;
    };
    std::vector<Plan> plans_;
    bool owner_known_ = true, dump_is_good_ = true;
    bool pauses_cron_jobs_ = false, to_a_point_ = false, has_stores_ = false, has_second_store_ = false;
    int64_t retain_seconds_ = 3600;
    std::map<std::string, std::string> undoes_;
    std::string database_;
    uint64_t cron_jobs_touched_ = 0;
};

}  // namespace dbrestore::simulation
