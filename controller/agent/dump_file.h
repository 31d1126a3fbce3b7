#pragma once
// The dump as a file: opened once, beneath the source folder, so that it cannot be exchanged between check
// and use.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace dbrestore::agent {

// "" where a file that begins so is a dump in PostgreSQL's custom format; else what it is, for people: "a
// gzip file".
std::string foreign_format_of(std::string_view head);

class DumpFile {
public:
    // Follows no link, leaves the folder by no "..", takes regular files only. Errors: not_found; invalid;
    // io.
    static base::Result<DumpFile> open(const std::string& source_directory, const std::string& path);

    std::string foreign_format() const;  // see above

    int64_t size_bytes() const { return size_bytes_; }
    int fd() const { return fd_.get(); }
    // What pg_restore is given: works for its parallel workers too, which open it again.
    std::string path_in_child() const { return "/proc/self/fd/" + std::to_string(fd_.get()); }

private:
    base::UniqueFd fd_;
    int64_t size_bytes_ = 0;
};

}  // namespace dbrestore::agent
