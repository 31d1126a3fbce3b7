#include "agent/volume/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "agent/volume/journal.h"
#include "base/files.h"

namespace dbrestore::agent {

namespace {

using base::error;
using base::ErrorKind;

constexpr const char* stub_text =
    "dbrestore: this database is being restored; its files are in .dbrestore/tree and come back by "
    "themselves\n";

// What never moves: our own folder, the file whose exchange decides, and what belongs to the file system.
bool stays(const std::string& name) {
    return name == "." || name == ".." || name == work_folder_name || name == "PG_VERSION" ||
           name == "PG_VERSION.new" || name == "lost+found";
}

base::Result<std::vector<std::string>> entries_to_move(const std::string& folder) {
    const std::unique_ptr<DIR, int (*)(DIR*)> directory{::opendir(folder.c_str()), ::closedir};
    if (!directory) return base::io_error("cannot list " + folder);
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = ::readdir(directory.get())) {
        if (!stays(entry->d_name)) names.emplace_back(entry->d_name);
    }
    if (errno != 0) return base::io_error("cannot list " + folder);
    return names;
}

// Overwrites nothing: two databases must never be mixed.
base::Status move_one(const std::string& from_folder, const std::string& to_folder, const std::string& name) {
    const std::string from = from_folder + "/" + name, to = to_folder + "/" + name;
    if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0)
        return base::success();
    struct stat status {};
    // Some file systems know no flags.
    const bool may_try_without = errno == EINVAL && ::lstat(to.c_str(), &status) != 0;
    if (may_try_without && ::rename(from.c_str(), to.c_str()) == 0) return base::success();
    return base::io_error("cannot move " + from + " to " + to);
}

}  // namespace

bool Tree::is_hidden() const {
    const auto text = base::read_file(data_directory_ + "/PG_VERSION", 4096);
    return text && text->starts_with("dbrestore:");
}

base::Status Tree::hide() const {
    if (!is_hidden()) {
        struct stat status {};
        if (::stat(data_directory_.c_str(), &status) != 0)
            return base::io_error("cannot stat " + data_directory_);
        const auto version = base::read_file(data_directory_ + "/PG_VERSION", 1000);
        if (!version) return version.error();
        if (::mkdir(tree_.c_str(), 0700) != 0 && errno != EEXIST)
            return base::io_error("cannot make " + tree_);
        const auto leftover = entries_to_move(tree_);
        if (!leftover) return leftover.error();
        if (!leftover->empty())
            return error(ErrorKind::conflict,
                         "both " + data_directory_ + " and " + tree_ + " hold a database");
        // PostgreSQL takes 0700 and 0750 only.
        if (::chmod(tree_.c_str(), status.st_mode & 0750) != 0)
            return base::io_error("cannot change the mode of " + tree_);
        if (auto written = base::write_file_durably(tree_ + "/PG_VERSION", *version); !written)
            return written;
        // From here on no server starts in the data directory. A crash before leaves a copy in the tree,
        // nothing else.
        if (auto written = base::write_file_durably(data_directory_ + "/PG_VERSION", stub_text); !written)
            return written;
    }
    return move_all(data_directory_, tree_);
}

base::Status Tree::show() const {
    if (!is_hidden()) {
        // All of these are there only after a crash.
        for (const std::string& left :
             {data_directory_ + "/PG_VERSION.new", tree_ + "/PG_VERSION.new", tree_ + "/PG_VERSION"})
            ::unlink(left.c_str());
        ::rmdir(tree_.c_str());
        return base::success();
    }
    // Left by a server that was killed: where it starts again, another process may have its number.
    for (const std::string& folder : {tree_, data_directory_}) ::unlink((folder + "/postmaster.pid").c_str());
    if (auto moved = move_all(tree_, data_directory_); !moved) return moved;
    // Last of all: a crash before leaves the stub, and the rest is moved when the step runs again.
    if (::rename((tree_ + "/PG_VERSION").c_str(), (data_directory_ + "/PG_VERSION").c_str()) != 0) {
        return base::io_error("cannot put back " + data_directory_ + "/PG_VERSION");
    }
    if (auto synced = base::sync_directory(data_directory_); !synced) return synced;
    ::rmdir(tree_.c_str());
    return base::success();
}

base::Status Tree::move_all(const std::string& from, const std::string& to) const {
    const auto names = entries_to_move(from);
    if (!names) return names.error();
    for (const auto& name : *names) {
        if (auto moved = move_one(from, to, name); !moved) return moved;
    }
    if (auto synced = base::sync_directory(to); !synced) return synced;
    return base::sync_directory(from);
}

}  // namespace dbrestore::agent
