#pragma once
// What can go wrong, each by a name that the command line knows, and at which point it does.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace dbrestore::simulation {

enum class Fault {
    // At a call of the operator.
    crash_before,
    crash_after,    // it was carried out
    response_lost,  // the same, and the caller lives
    timed_out,      // nothing was carried out
    error_401,
    error_403,
    error_409,
    error_410,
    error_429,
    error_500,
    error_503,
    error_504,
    second_leader,  // another operator works through all it has to do, just before
    clock_forward,
    clock_back,
    // At a call, for what the caches get from then on.
    stale_restores,
    stale_servers,
    stale_workloads,
    stale_pods,
    stale_jobs,
    stale_claims,
    stale_all,
    // At a watch.
    stream_broken,
    stream_torn,     // in the middle of a line
    stream_garbled,  // no JSON
    events_doubled,
    events_replayed,   // from some versions before
    events_compacted,  // 410 as the answer
    error_in_stream,   // 410 as an event
    // People, at a call of the operator.
    cancelled,
    restore_deleted,
    job_deleted,
    scaled_up,
    scaled_down,
    set_to_delete_claim,
    pod_mounts_claim,
    server_deleted,
    finalizers_removed,
    created_again,
    database_pod_deleted,
    namespace_deleted,
    dump_spoiled,
    dump_removed,
    cron_job_toggled,
    cron_job_deleted,
    store_toggled,
    // At a move of an agent.
    agent_killed,
    result_lost,
    job_pod_deleted,
};

inline constexpr Fault first_at_watch = Fault::stream_broken, first_of_people = Fault::cancelled,
                       first_at_agent = Fault::agent_killed, last_fault = Fault::job_pod_deleted;

enum class PointKind { call, watch, agent_move };

constexpr PointKind kind_of(Fault fault) {
    if (fault >= first_at_agent) return PointKind::agent_move;
    return fault >= first_at_watch && fault < first_of_people ? PointKind::watch : PointKind::call;
}

std::string to_text(Fault fault);
std::optional<Fault> fault_from_text(const std::string& text);
std::vector<Fault> all_faults();

// The n-th point of the fault's kind.
struct PlannedFault {
    uint64_t point = 0;
    Fault fault = Fault::crash_before;
};
std::string to_text(const PlannedFault& planned);  // 12:crash_before
std::optional<PlannedFault> planned_from_text(const std::string& text);

}  // namespace dbrestore::simulation
