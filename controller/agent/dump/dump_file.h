#pragma once
// A dump as pg_restore is given it: a file or folder that was opened once, so that it cannot be exchanged
// between check and use.

#include <fcntl.h>

#include <cstdint>
#include <string>
#include <utility>

#include "backups/unpack.h"
#include "base/unique_fd.h"

namespace dbrestore::agent {

using backups::DumpFormat;

class DumpFile {
public:
    DumpFile() = default;
    DumpFile(base::UniqueFd fd, DumpFormat format, int64_t size_bytes)
        : fd_(std::move(fd)), format_(format), size_bytes_(size_bytes) {}

    DumpFormat format() const { return format_; }
    int64_t size_bytes() const { return size_bytes_; }
    int fd() const { return fd_.get(); }
    // Read from its beginning, whoever read it before.
    base::UniqueFd reopened() const {
        return base::UniqueFd{::open(path_in_child().c_str(), O_RDONLY | O_CLOEXEC)};
    }
    // What pg_restore is given: works for its parallel workers too, which open it again.
    std::string path_in_child() const { return "/proc/self/fd/" + std::to_string(fd_.get()); }
    // Several workers cannot read one tar file, nor run one script.
    bool suits_workers() const { return format_ == DumpFormat::custom || format_ == DumpFormat::directory; }

private:
    base::UniqueFd fd_;
    DumpFormat format_ = DumpFormat::custom;
    int64_t size_bytes_ = 0;
};

}  // namespace dbrestore::agent
