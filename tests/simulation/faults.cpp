#include "simulation/faults.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace dbrestore::simulation {

namespace {

constexpr std::array fault_names{
    "crash_before",      "crash_after",     "response_lost",      "timed_out",        "error_401",
    "error_403",         "error_409",       "error_410",          "error_429",        "error_500",
    "error_503",         "error_504",       "second_leader",      "clock_forward",    "clock_back",
    "stale_restores",    "stale_servers",   "stale_workloads",    "stale_pods",       "stale_jobs",
    "stale_claims",      "stale_all",       "stream_broken",      "stream_torn",      "stream_garbled",
    "events_doubled",    "events_replayed", "events_compacted",   "error_in_stream",  "cancelled",
    "restore_deleted",   "job_deleted",     "scaled_up",          "scaled_down",      "set_to_delete_claim",
    "pod_mounts_claim",  "server_deleted",  "finalizers_removed", "created_again",    "database_pod_deleted",
    "namespace_deleted", "dump_spoiled",    "dump_removed",       "cron_job_toggled", "cron_job_deleted",
    "store_toggled",     "agent_killed",    "result_lost",        "job_pod_deleted",
};
static_assert(fault_names.size() == static_cast<size_t>(last_fault) + 1);

}  // namespace

std::string to_text(Fault fault) {
    return fault_names.at(static_cast<size_t>(fault));
}

std::optional<Fault> fault_from_text(const std::string& text) {
    const auto at = std::ranges::find(fault_names, text);
    if (at == fault_names.end()) return std::nullopt;
    return static_cast<Fault>(at - fault_names.begin());
}

std::vector<Fault> all_faults() {
    std::vector<Fault> all;
    for (size_t i = 0; i < fault_names.size(); ++i) all.push_back(static_cast<Fault>(i));
    return all;
}

std::string to_text(const PlannedFault& planned) {
    return std::to_string(planned.point) + ":" + to_text(planned.fault);
}

std::optional<PlannedFault> planned_from_text(const std::string& text) {
    PlannedFault planned;
    const size_t colon = text.find(':');
    if (colon == std::string::npos) return std::nullopt;
    const auto read = std::from_chars(text.data(), text.data() + colon, planned.point);
    const auto fault = fault_from_text(text.substr(colon + 1));
    if (read.ptr != text.data() + colon || !fault) return std::nullopt;
    planned.fault = *fault;
    return planned;
}

}  // namespace dbrestore::simulation
