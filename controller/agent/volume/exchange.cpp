#include "agent/volume/exchange.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/files.h"

namespace dbrestore::agent {

base::Result<TreeId> tree_id(const std::string& path) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) {
        const auto kind = errno == ENOENT ? base::ErrorKind::not_found : base::ErrorKind::io;
        return base::error(kind, "cannot stat " + path + ": " + std::strerror(errno));
    }
    return TreeId{status.st_ino};
}

base::Status exchange_trees(const std::string& folder, const std::string& one, const std::string& other) {
    const std::string first = folder + "/" + one, second = folder + "/" + other;
    if (::renameat2(AT_FDCWD, first.c_str(), AT_FDCWD, second.c_str(), RENAME_EXCHANGE) != 0) {
        auto failure = base::io_error("cannot exchange " + first + " and " + second);
        if (errno == EINVAL || errno == ENOSYS) failure.kind = base::ErrorKind::failed;
        return failure;
    }
    return base::sync_directory(folder);
}

base::Status prove_exchange(const std::string& folder) {
    const char* const names[] = {"exchange-1", "exchange-2"};
    for (const char* name : names) {
        if (::mkdir((folder + "/" + name).c_str(), 0700) != 0 && errno != EEXIST)
            return base::io_error("cannot make a folder in " + folder);
    }
    auto exchanged = exchange_trees(folder, names[0], names[1]);
    for (const char* name : names) ::rmdir((folder + "/" + name).c_str());
    return exchanged;
}

}  // namespace dbrestore::agent
