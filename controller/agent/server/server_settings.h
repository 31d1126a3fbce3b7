#pragma once
// With which settings a private server runs: the pod's own, and over them a fixed list that keeps it from
// acting on anything outside. Pure, so that each entry can be tested.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace dbrestore::agent {

using Settings = std::vector<std::pair<std::string, std::string>>;

// The settings among the arguments that a pod gives to postgres: "-c name=value", "-cname=value",
// "--name=value", and the short options -N and -B. All else is left out, -D above all.
Settings settings_from_arguments(const std::vector<std::string>& arguments);

struct PrivatePlace {
    std::string tree, socket_directory, hba_file, ident_file;
    int64_t port = 5432;
    std::string only_database_for_jobs;  // where job schedulers may be installed: the new database
    int64_t max_wal_size_mb = 1024, maintenance_work_mem_mb = 64;
};

// The entries that must win, for this major version, in a fixed order.
Settings overrides(const PrivatePlace& place, int major_version);

// The arguments of postgres: theirs first, so that ours win.
std::vector<std::string> server_arguments(const Settings& theirs, const Settings& ours);

}  // namespace dbrestore::agent
