#include "agent/server/open_files.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/statfs.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <filesystem>

#include "base/unique_fd.h"

namespace dbrestore::agent {

namespace {

// On others, such as NFS, a lease may be refused for reasons of their own.
bool gives_leases(const std::string& directory) {
    constexpr std::array<int64_t, 4> local{EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC, TMPFS_MAGIC};
    struct statfs volume {};
    return ::statfs(directory.c_str(), &volume) == 0 &&
           std::ranges::find(local, int64_t{volume.f_type}) != local.end();
}

// The kernel gives a lease for reading only where nobody can write. Its owner's user may ask for one.
bool has_writers(const std::string& path) {
    const base::UniqueFd fd{::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)};
    if (!fd) return false;
    // Who comes meanwhile lets the kernel send a signal, by default one that ends the process.
    if (::fcntl(fd.get(), F_SETSIG, SIGURG) != 0) return false;
    if (::fcntl(fd.get(), F_SETLEASE, F_RDLCK) != 0) return errno == EAGAIN;
    ::fcntl(fd.get(), F_SETLEASE, F_UNLCK);
    return false;
}

}  // namespace

bool is_open_for_writing(const std::string& data_directory) {
    if (!gives_leases(data_directory)) return false;
    std::error_code ignored;
    for (const char* folder : {"/pg_wal", "/global"}) {
        std::filesystem::directory_iterator at(data_directory + folder, ignored);
        for (; !ignored && at != std::filesystem::directory_iterator(); at.increment(ignored)) {
            std::error_code gone;
            if (at->is_regular_file(gone) && has_writers(at->path())) return true;
        }
    }
    return false;
}

}  // namespace dbrestore::agent
