#include "integration/unsynced_disk.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "base/files.h"
#include "base/process.h"
#include "base/unique_fd.h"
#include "integration/agent_fixture.h"

namespace dbrestore::tests {

namespace {

namespace fs = std::filesystem;

constexpr off_t image_bytes = off_t{512} << 20;
constexpr std::chrono::seconds disk_patience{30};

void run_as_root(const std::vector<std::string>& arguments, std::string* said = nullptr) {
    std::string text;
    base::ProcessSpec spec;
    spec.arguments = arguments;
    spec.on_stdout = spec.on_stderr = [&](std::string_view more) { text += more; };
    const auto end = base::run_process(spec);
    ASSERT_TRUE(end && end->ok()) << arguments.front() << ": " << (end ? text : end.error().message);
    if (said != nullptr) *said = text.substr(0, text.find('\n'));
}

// Once for the whole process. What others unmount goes here too.
void have_own_mounts() {
    static const bool has =
        ::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_SLAVE, nullptr) == 0;
    ASSERT_TRUE(has) << "these tests need root";
}

bool unmount(const std::string& path) {
    // Who used it may still be ending, and a loop device is let go a little later than its file system.
    const bool gone =
        wait_for([&] { return ::umount2(path.c_str(), 0) == 0 || errno == EINVAL; }, disk_patience);
    return gone || ::umount2(path.c_str(), MNT_DETACH) != 0;
}

}  // namespace

void make_disk_image(const std::string& content, const std::string& image) {
    { const base::UniqueFd fd{::open(image.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)}; }
    ASSERT_EQ(::truncate(image.c_str(), image_bytes), 0);
    run_as_root({"mkfs.ext4", "-q", "-F", "-m", "0", "-b", "4096", "-E",
                 "nodiscard,lazy_itable_init=0,lazy_journal_init=0", "-d", content, image});
}

UnsyncedDisk::UnsyncedDisk(std::string folder, std::string mountpoint)
    : folder_(std::move(folder)), mountpoint_(std::move(mountpoint)) {}

UnsyncedDisk::~UnsyncedDisk() {
    remove();
}

void UnsyncedDisk::insert(const std::string& image, const std::string& mount_options) {
    remove();
    ASSERT_NO_FATAL_FAILURE(have_own_mounts());
    fs::create_directories(fuse());
    mount_options_ = mount_options;
    struct stat owner {};
    ASSERT_EQ(::stat(mountpoint_.c_str(), &owner), 0);
    ASSERT_NO_FATAL_FAILURE(run_as_root({"cp", "--sparse=always", image, folder_ + "/image"}));
    ASSERT_NO_FATAL_FAILURE(attach());
    const base::UniqueFd root{::open(mountpoint_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    ASSERT_EQ(::fchown(root.get(), owner.st_uid, owner.st_gid), 0);
    ASSERT_EQ(::fchmod(root.get(), owner.st_mode & 07777), 0);
    ASSERT_EQ(::syncfs(root.get()), 0);
}

void UnsyncedDisk::attach() {
    const base::UniqueFd log{
        ::open((folder_ + "/log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)};
    base::ProcessSpec spec;
    spec.arguments = {DBRESTORE_UNSYNCED_DISK, folder_ + "/image", fuse()};
    const auto started = base::start_process(spec, log.get());
    ASSERT_TRUE(started) << started.error().message;
    pid_ = *started;
    const bool is_there = wait_for([&] { return fs::exists(fuse() + "/disk"); }, disk_patience);
    const auto said = base::read_file(folder_ + "/log");
    ASSERT_TRUE(is_there) << "no FUSE: " << (said ? *said : "");
    ASSERT_NO_FATAL_FAILURE(
        run_as_root({"mount", "-t", "ext4", "-o", "loop," + mount_options_, fuse() + "/disk", mountpoint_}));
    is_mounted_ = true;
}

void UnsyncedDisk::cut_power(std::optional<uint32_t> seed_of_survivors) {
    const std::string text = "off" + (seed_of_survivors ? " " + std::to_string(*seed_of_survivors) : "");
    const base::UniqueFd fd{::open((fuse() + "/power").c_str(), O_WRONLY | O_CLOEXEC)};
    ASSERT_TRUE(base::write_all(fd.get(), text));
}

void UnsyncedDisk::power_on() {
    remove();
    // The number of the old device is taken, so that the new one gets another.
    { const base::UniqueFd fd{::open((folder_ + "/other").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)}; }
    ASSERT_EQ(::truncate((folder_ + "/other").c_str(), 1 << 20), 0);
    std::string other;
    ASSERT_NO_FATAL_FAILURE(run_as_root({"losetup", "--find", "--show", folder_ + "/other"}, &other));
    attach();
    run_as_root({"losetup", "--detach", other});
}

void UnsyncedDisk::remove() {
    if (is_mounted_) {
        EXPECT_TRUE(unmount(mountpoint_)) << "somebody holds " << mountpoint_;
        is_mounted_ = false;
    }
    if (pid_ <= 0) return;
    EXPECT_TRUE(unmount(fuse())) << "somebody holds " << fuse();
    const bool ended = wait_for([&] { return ::waitpid(pid_, nullptr, WNOHANG) == pid_; }, disk_patience);
    EXPECT_TRUE(ended) << "unsynced_disk does not end";
    if (!ended) {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }
    pid_ = -1;
}

}  // namespace dbrestore::tests
