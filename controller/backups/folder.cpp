#include "backups/folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/digest.h"
#include "base/files.h"
#include "base/text.h"

namespace dbrestore::backups {

namespace {

using base::error;
using base::ErrorKind;

constexpr size_t max_backups = 100'000, max_folder_files = 1'000'000;
constexpr int max_depth = 8;

base::Error open_failure(const std::string& path) {
    const std::string name = "the backup \"" + base::one_line(path, 300) + "\"";
    if (errno == ENOENT) return error(ErrorKind::not_found, name + " does not exist on the volume");
    if (errno == ELOOP || errno == EXDEV || errno == ENOTDIR)
        return error(ErrorKind::invalid, name + " must be reached without links and lie on the volume");
    return error(errno == EACCES ? ErrorKind::invalid : ErrorKind::io,
                 name + " cannot be opened: " + std::strerror(errno));
}

base::Time time_of(const struct stat& status) {
    return base::Time{std::chrono::seconds(status.st_mtim.tv_sec) +
                      std::chrono::milliseconds(status.st_mtim.tv_nsec / 1'000'000)};
}

std::string identity_of(const struct stat& status) {
    return std::to_string(status.st_size) + " " + std::to_string(status.st_mtim.tv_sec) + "." +
           std::to_string(status.st_mtim.tv_nsec);
}

struct DirectoryCloser {
    void operator()(DIR* directory) const { ::closedir(directory); }
};

class Walk {
public:
    // Into `folder`, whose path beneath the store is `path`.
    base::Status visit(int folder, const std::string& path, int depth) {
        const auto names = names_in(folder, max_backups);
        if (!names) return names.error();
        for (const auto& name : *names) {
            const std::string inner = path.empty() ? name : std::string(path).append("/").append(name);
            struct stat status {};
            if (::fstatat(folder, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0)
                continue;  // gone meanwhile
            if (S_ISREG(status.st_mode)) {
                if (auto added = add(inner, status); !added) return added;
            }
            if (!S_ISDIR(status.st_mode) || depth == max_depth) continue;
            const auto opened = open_beneath(folder, name);
            if (!opened) continue;
            struct stat toc {};
            if (::fstatat(opened->fd.get(), "toc.dat", &toc, AT_SYMLINK_NOFOLLOW) == 0) {
                if (auto added = add(inner, toc); !added) return added;
            } else if (auto visited = visit(opened->fd.get(), inner, depth + 1); !visited) {
                return visited;
            }
        }
        return base::success();
    }

    std::vector<resources::Backup> found;

private:
    base::Status add(const std::string& path, const struct stat& status) {
        if (found.size() == max_backups)
            return error(ErrorKind::invalid,
                         "the folder must hold at most " + std::to_string(max_backups) + " backups");
        found.push_back({path, time_of(status), status.st_size, identity_of(status)});
        return base::success();
    }
};

}  // namespace

base::Result<OpenFile> open_beneath(int folder_fd, const std::string& path) {
    struct open_how how {};
    how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;  // a FIFO must not hold us
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    const std::string relative = path.substr(std::min(path.find_first_not_of('/'), path.size()));
    OpenFile file;
    file.fd.reset(static_cast<int>(
        ::syscall(SYS_openat2, folder_fd, relative.empty() ? "." : relative.c_str(), &how, sizeof how)));
    struct stat status {};
    if (!file.fd || ::fstat(file.fd.get(), &status) != 0) return open_failure(path);
    file.is_folder = S_ISDIR(status.st_mode);
    if (!file.is_folder && !S_ISREG(status.st_mode))
        return error(ErrorKind::invalid,
                     "\"" + base::one_line(path, 300) + "\" must be a regular file or a folder");
    file.size_bytes = file.is_folder ? 0 : status.st_size;
    file.identity = identity_of(status);
    return file;
}

base::Result<OpenFile> open_beneath(const std::string& folder, const std::string& path) {
    const base::UniqueFd fd{::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
    if (!fd) return open_failure(path);
    return open_beneath(fd.get(), path);
}

base::Result<size_t> FileSource::read(char* buffer, size_t size) {
    const ssize_t count = ::read(fd_.get(), buffer, size);
    if (count < 0) return base::io_error("cannot read the backup");
    return static_cast<size_t>(count);
}

base::Result<std::vector<std::string>> names_in(int folder_fd, size_t at_most) {
    base::UniqueFd again{::openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    const std::unique_ptr<DIR, DirectoryCloser> directory{again ? ::fdopendir(again.get()) : nullptr};
    if (directory == nullptr) return base::io_error("cannot list the folder");
    (void)again.release();
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(directory.get())) {  // NOLINT(concurrency-mt-unsafe)
        const std::string name = entry->d_name;
        if (name == "." || name == "..") continue;
        if (names.size() == at_most)
            return error(ErrorKind::invalid,
                         "the folder must hold at most " + std::to_string(at_most) + " files");
        names.push_back(name);
    }
    std::ranges::sort(names);
    return names;
}

base::Result<std::string> identity_of_folder(int folder_fd) {
    const auto names = names_in(folder_fd, max_folder_files);
    if (!names) return names.error();
    std::string all;
    for (const auto& name : *names) {
        struct stat status {};
        if (::fstatat(folder_fd, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
        all += name + " " + identity_of(status) + "\n";
    }
    return base::sha256_hex(all);
}

base::Result<std::vector<resources::Backup>> backups_beneath(const std::string& folder,
                                                             const std::string& path) {
    const auto root = open_beneath(folder, path);
    if (!root) return root.error();
    if (!root->is_folder)
        return error(ErrorKind::invalid,
                     "the store's `path` \"" + base::one_line(path, 300) + "\" must be a folder");
    Walk walk;
    if (auto visited = walk.visit(root->fd.get(), "", 0); !visited) return visited.error();
    return std::move(walk.found);
}

}  // namespace dbrestore::backups
