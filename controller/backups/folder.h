#pragma once
// Files of a folder that others may write to: reached without links, and never outside of it.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backups/byte_source.h"
#include "base/unique_fd.h"
#include "resources/store.h"

namespace dbrestore::backups {

struct OpenFile {
    base::UniqueFd fd;
    bool is_folder = false;
    int64_t size_bytes = 0;
    std::string identity;
};

// A regular file, or a folder, at `path` beneath `folder`. Follows no link, leaves the folder by no "..".
// Errors: not_found; invalid; io.
base::Result<OpenFile> open_beneath(const std::string& folder, const std::string& path);
base::Result<OpenFile> open_beneath(int folder_fd, const std::string& path);

class FileSource final : public ByteSource {
public:
    explicit FileSource(base::UniqueFd fd) : fd_(std::move(fd)) {}
    base::Result<size_t> read(char* buffer, size_t size) override;

private:
    base::UniqueFd fd_;
};

// Names of what lies directly in it. Errors: io; invalid where they are more than at_most.
base::Result<std::vector<std::string>> names_in(int folder_fd, size_t at_most);

// Of the names, sizes and times of all that lies directly in it. Errors: as names_in.
base::Result<std::string> identity_of_folder(int folder_fd);

// The files beneath, and the folders that are a dump in directory format, which count as one. Not sorted.
// Errors: as open_beneath; invalid where they are too many.
base::Result<std::vector<resources::Backup>> backups_beneath(const std::string& folder,
                                                             const std::string& path);

}  // namespace dbrestore::backups
