#pragma once
// How much there is of disk, memory and CPUs.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace dbrestore::agent {

struct DiskSpace {
    int64_t total_bytes = 0, free_bytes = 0;  // free: for an ordinary user

    // Below 5 % free the database that comes back could not work.
    int64_t reserve_bytes() const { return total_bytes / 20; }
    bool is_nearly_full() const { return free_bytes < reserve_bytes(); }
};

// Of the file system that holds the path. Errors: io.
base::Result<DiskSpace> disk_space(const std::string& path);

// Of all files below the folder; what vanishes meanwhile is not counted.
int64_t bytes_below(const std::string& folder);

// Enough that a restore is not bound by checkpoints, and no more than a twentieth of what is free.
int64_t moderate_wal_size_mb(const std::string& path);

// For building indexes: a sixteenth of the memory, between 64 and 512 MiB.
int64_t moderate_maintenance_memory_mb();

// CPUs that this process may use: its affinity, and its cgroup's quota rounded up.
int64_t usable_cpus();

// Whether this is how the system or PostgreSQL (its messages are in English) tells that the disk is full.
bool tells_of_full_disk(std::string_view text);

}  // namespace dbrestore::agent
