#include "agent/point_in_time/clone.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/unique_fd.h"

namespace dbrestore::agent {

namespace {

namespace fs = std::filesystem;

// What may be large, and belongs to no link. WAL comes from the archive, and without pg_control no server
// starts on half a copy.
constexpr const char* cloned_folders[] = {"base", "pg_xact", "pg_multixact", "pg_commit_ts"};

// Leaves nothing of a file that cannot be cloned: it is fetched, as if today's server did not have it.
bool clone_file(const std::string& from, const std::string& to) {
    const base::UniqueFd source{::open(from.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)};
    if (!source) return false;
    const base::UniqueFd target{
        ::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)};
    if (!target) return false;
    if (::ioctl(target.get(), FICLONE, source.get()) == 0) return true;
    ::unlink(to.c_str());
    return false;
}

// pgBackRest follows links, so none may come into the copy.
void clone_folder(const fs::path& from, const fs::path& to) {
    std::error_code code;
    if (!fs::is_directory(fs::symlink_status(from, code)) || ::mkdir(to.c_str(), 0700) != 0) return;
    for (fs::directory_iterator at(from, code), end; !code && at != end; at.increment(code)) {
        std::error_code vanished;
        const auto status = at->symlink_status(vanished);
        const fs::path target = to / at->path().filename();
        if (fs::is_directory(status)) clone_folder(at->path(), target);
        if (fs::is_regular_file(status)) clone_file(at->path(), target);
    }
}

}  // namespace

bool clone_server(const std::string& data_directory, const std::string& copy) {
    // It shows whether the file system can, and to pgBackRest that the folder is a server's.
    if (!clone_file(data_directory + "/PG_VERSION", copy + "/PG_VERSION")) return false;
    for (const char* name : cloned_folders)
        clone_folder(std::string(data_directory).append("/").append(name),
                     std::string(copy).append("/").append(name));
    return true;
}

}  // namespace dbrestore::agent
