// usage: unsynced_disk IMAGE MOUNTPOINT
// A disk with a cache that forgets, as a FUSE file system of two files. MOUNTPOINT/disk is the block device:
// what is written to it stays in memory until it is synced, and only then reaches IMAGE. Whoever writes "off"
// to MOUNTPOINT/power takes the power away: what was not synced is gone, and from then on nothing is taken
// any more. "off SEED" lets some of the blocks survive, as real disks write what they like in the order that
// they like.
//
// Ends when it is unmounted, or when who started it ends.

#define FUSE_USE_VERSION 31
#include <fcntl.h>
#include <fuse.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>
#include <random>
#include <string>

namespace {

constexpr off_t block_bytes = 4096;  // what such a disk writes whole, or not at all

class Disk {
public:
    explicit Disk(const char* image) : image_(::open(image, O_RDWR | O_CLOEXEC)) {}
    ~Disk() { ::close(image_); }
    Disk(const Disk&) = delete;
    Disk& operator=(const Disk&) = delete;

    off_t size() const {
        struct stat status {};
        return ::fstat(image_, &status) == 0 ? status.st_size : 0;
    }

    int read(char* to, size_t count, off_t offset) const {
        const ssize_t got = ::pread(image_, to, count, offset);
        if (got < 0) return -errno;
        const off_t end = offset + got;
        for (auto found = unsynced_.lower_bound(offset / block_bytes);
             found != unsynced_.end() && found->first * block_bytes < end; ++found) {
            const off_t start = found->first * block_bytes, from = std::max(start, offset),
                        until = std::min(start + block_bytes, end);
            std::memcpy(to + (from - offset), found->second.data() + (from - start), size_t(until - from));
        }
        return static_cast<int>(got);
    }

    int write(const char* from, size_t count, off_t offset) {
        if (!has_power_) return -EIO;
        const off_t end = offset + static_cast<off_t>(count);
        for (off_t at = offset; at < end;) {
            const off_t number = at / block_bytes, start = number * block_bytes,
                        until = std::min(start + block_bytes, end);
            auto [found, is_new] = unsynced_.try_emplace(number);
            if (is_new && ::pread(image_, found->second.data(), block_bytes, start) < 0) return -errno;
            std::memcpy(found->second.data() + (at - start), from + (at - offset), size_t(until - at));
            at = until;
        }
        return static_cast<int>(count);
    }

    int sync() {
        if (!has_power_) return -EIO;
        for (const auto& [number, block] : unsynced_) {
            if (const int code = keep(number, block); code != 0) return code;
        }
        unsynced_.clear();
        return 0;
    }

    int cut_power(std::optional<uint32_t> seed_of_survivors) {
        has_power_ = false;
        int failed = 0;
        std::mt19937 random(seed_of_survivors.value_or(0));
        for (const auto& [number, block] : unsynced_) {
            if (seed_of_survivors && random() % 2 == 0) failed = std::min(failed, keep(number, block));
        }
        unsynced_.clear();
        return failed;
    }

private:
    using Block = std::array<char, block_bytes>;

    int keep(off_t number, const Block& block) const {
        const ssize_t written = ::pwrite(image_, block.data(), block.size(), number * block_bytes);
        return written == block_bytes ? 0 : -EIO;
    }

    int image_;
    bool has_power_ = true;
    std::map<off_t, Block> unsynced_;
};

Disk& disk() {
    return *static_cast<Disk*>(fuse_get_context()->private_data);
}

bool is_disk(const char* path) {
    return std::strcmp(path, "/disk") == 0;
}
bool is_power(const char* path) {
    return std::strcmp(path, "/power") == 0;
}

int get_attributes(const char* path, struct stat* status, fuse_file_info*) {
    *status = {};
    status->st_nlink = 1;
    status->st_mode = S_IFREG | 0600;
    if (std::strcmp(path, "/") == 0) {
        status->st_mode = S_IFDIR | 0700;
    } else if (is_disk(path)) {
        status->st_size = disk().size();
    } else if (!is_power(path)) {
        return -ENOENT;
    }
    return 0;
}

int open_file(const char* path, fuse_file_info* file) {
    if (!is_disk(path) && !is_power(path)) return -ENOENT;
    file->direct_io = 1;  // no cache but ours
    return 0;
}

int read_file(const char* path, char* to, size_t count, off_t offset, fuse_file_info*) {
    return is_disk(path) ? disk().read(to, count, offset) : 0;
}

int write_file(const char* path, const char* from, size_t count, off_t offset, fuse_file_info*) {
    if (is_disk(path)) return disk().write(from, count, offset);
    const std::string text(from, count);
    if (!text.starts_with("off")) return -EINVAL;
    std::optional<uint32_t> seed;
    if (text.size() > 4) seed = static_cast<uint32_t>(std::strtoul(text.c_str() + 4, nullptr, 10));
    const int failed = disk().cut_power(seed);
    return failed != 0 ? failed : static_cast<int>(count);
}

int sync_file(const char* path, int, fuse_file_info*) {
    return is_disk(path) ? disk().sync() : 0;
}

}  // namespace

int main(int count, char** words) {
    if (count != 3) {
        std::fputs("usage: unsynced_disk IMAGE MOUNTPOINT\n", stderr);
        return 2;
    }
    // Not by SIGKILL: the last process of a namespace unmounts what is in it while it ends, and would wait
    // for itself. This way it has closed the connection before.
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    Disk disk(words[1]);
    fuse_operations operations{};
    operations.getattr = get_attributes;
    operations.open = open_file;
    operations.read = read_file;
    operations.write = write_file;
    operations.fsync = sync_file;
    std::string name = words[0], foreground = "-f", one_thread = "-s", place = words[2];
    char* arguments[] = {name.data(), foreground.data(), one_thread.data(), place.data(), nullptr};
    return fuse_main(4, arguments, &operations, &disk);
}
