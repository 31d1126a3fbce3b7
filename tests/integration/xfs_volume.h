#pragma once
// A file system whose files can share blocks, on a loop device. Needs root.

#include <cstdint>
#include <string>

namespace dbrestore::tests {

class XfsVolume {
public:
    // Mounted at `folder`/volume, and the database's own. Fails the test where it cannot be made.
    explicit XfsVolume(const std::string& folder);
    ~XfsVolume();
    XfsVolume(const XfsVolume&) = delete;
    XfsVolume& operator=(const XfsVolume&) = delete;

    const std::string& path() const { return path_; }
    // Once all that was written has its blocks.
    int64_t used_bytes() const;

private:
    std::string image_, path_;
};

}  // namespace dbrestore::tests
