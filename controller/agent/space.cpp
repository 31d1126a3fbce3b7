#include "agent/space.h"

#include <sched.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "base/files.h"

namespace dbrestore::agent {

namespace {

constexpr int64_t mib = 1 << 20;

// The first number of a cgroup's file; 0 for "max" and for none.
int64_t number_in(const std::string& path) {
    const auto text = base::read_file(path, 4096);
    return text ? std::strtoll(text->c_str(), nullptr, 10) : 0;
}

int64_t memory_bytes() {
    int64_t bytes = static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGE_SIZE);
    for (const char* file : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
        if (const int64_t limit = number_in(file); limit > 0) bytes = std::min(bytes, limit);
    }
    return bytes;
}

// Quota in CPUs, 0: none.
int64_t cpu_quota() {
    if (const auto text = base::read_file("/sys/fs/cgroup/cpu.max", 4096)) {
        long long quota = 0, period = 0;
        if (std::sscanf(text->c_str(), "%lld %lld", &quota, &period) == 2 && period > 0)
            return (quota + period - 1) / period;
        return 0;
    }
    const int64_t quota = number_in("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
    const int64_t period = number_in("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
    return quota > 0 && period > 0 ? (quota + period - 1) / period : 0;
}

}  // namespace

base::Result<DiskSpace> disk_space(const std::string& path) {
    struct statvfs status {};
    if (::statvfs(path.c_str(), &status) != 0) return base::io_error("cannot ask for the space at " + path);
    const auto block = static_cast<int64_t>(status.f_frsize);
    return DiskSpace{static_cast<int64_t>(status.f_blocks) * block,
                     static_cast<int64_t>(status.f_bavail) * block};
}

int64_t bytes_below(const std::string& folder) {
    namespace fs = std::filesystem;
    int64_t bytes = 0;
    std::error_code ignored;
    for (fs::recursive_directory_iterator at(folder, ignored), end; at != end; at.increment(ignored)) {
        const auto size = at->is_regular_file(ignored) ? at->file_size(ignored) : 0;
        if (size != static_cast<uintmax_t>(-1)) bytes += static_cast<int64_t>(size);
    }
    return bytes;
}

int64_t moderate_wal_size_mb(const std::string& path) {
    const auto space = disk_space(path);
    return std::clamp<int64_t>(space ? space->free_bytes / 20 / mib : 0, 128, 4096);
}

int64_t moderate_maintenance_memory_mb() {
    return std::clamp<int64_t>(memory_bytes() / 16 / mib, 64, 512);
}

int64_t usable_cpus() {
    cpu_set_t set;
    CPU_ZERO(&set);
    const int64_t allowed = ::sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    const int64_t quota = cpu_quota();
    return std::max<int64_t>(1, quota > 0 ? std::min(quota, allowed) : allowed);
}

bool tells_of_full_disk(std::string_view text) {
    return text.find("No space left on device") != std::string_view::npos ||
           text.find("could not extend file") != std::string_view::npos ||
           text.find("Check free disk space") != std::string_view::npos;
}

}  // namespace dbrestore::agent
