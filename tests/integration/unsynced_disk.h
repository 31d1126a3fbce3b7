#pragma once
// An ext4 on a disk that loses what was not synced when the power goes. SIGKILL leaves the page cache as it
// is, so only this tells whether what a step has reported as done is on the disk.
//
// The layers: unsynced_disk (FUSE, see unsynced_disk_main.cpp) -> loop device -> ext4. All mounts are in a
// namespace of this process alone, so that they go with it whatever happens.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace dbrestore::tests {

// A file with an ext4 that holds the files of `content`. Fails the test where it cannot be made.
void make_disk_image(const std::string& content, const std::string& image);

class UnsyncedDisk {
public:
    // `folder` is for its own files, and is not there yet.
    UnsyncedDisk(std::string folder, std::string mountpoint);
    ~UnsyncedDisk();
    UnsyncedDisk(const UnsyncedDisk&) = delete;
    UnsyncedDisk& operator=(const UnsyncedDisk&) = delete;

    // A copy of the image is mounted, for the owner of `mountpoint`. All fail the test where they cannot.
    void insert(const std::string& image, const std::string& mount_options);
    // From now on nothing reaches the disk any more, and what was not synced is gone; with a seed, only some
    // of the blocks.
    void cut_power(std::optional<uint32_t> seed_of_survivors);
    // What the disk still holds is mounted again, as another device, as on another node. Whoever used the
    // file system must have ended, or be about to.
    void power_on();

private:
    std::string fuse() const { return folder_ + "/fuse"; }
    void attach();
    void remove();

    std::string folder_, mountpoint_, mount_options_;
    pid_t pid_ = -1;
    bool is_mounted_ = false;
};

}  // namespace dbrestore::tests
