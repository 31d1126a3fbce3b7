#include "integration/xfs_volume.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "agent/space.h"
#include "base/unique_fd.h"
#include "integration/agent_fixture.h"

namespace dbrestore::tests {

namespace {

constexpr int64_t volume_bytes = int64_t{2} << 30;  // of which only what is written takes room

void must_run(const std::vector<std::string>& arguments) {
    base::ProcessSpec spec;
    std::string said;
    spec.arguments = arguments;
    spec.on_stdout = spec.on_stderr = [&said](std::string_view text) { said += text; };
    const auto end = base::run_process(spec);
    ASSERT_TRUE(end && end->ok()) << arguments.front() << ": " << said << "; these tests need root";
}

}  // namespace

XfsVolume::XfsVolume(const std::string& folder) : image_(folder + "/volume.img"), path_(folder + "/volume") {
    std::ofstream(image_).flush();
    std::filesystem::resize_file(image_, static_cast<uintmax_t>(volume_bytes));
    std::filesystem::create_directory(path_);
    must_run({"mkfs.xfs", "-q", "-m", "reflink=1", image_});
    // The loop device goes with the mount.
    must_run({"mount", "-o", "loop", image_, path_});
    must_run({"chown", "postgres:", path_});
}

XfsVolume::~XfsVolume() {
    if (::umount2(path_.c_str(), 0) != 0) ::umount2(path_.c_str(), MNT_DETACH);
    ::unlink(image_.c_str());
}

int64_t XfsVolume::used_bytes() const {
    const base::UniqueFd fd{::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    EXPECT_EQ(::syncfs(fd.get()), 0);
    const auto space = agent::disk_space(path_);
    EXPECT_TRUE(space);
    return space ? space->total_bytes - space->free_bytes : 0;
}

}  // namespace dbrestore::tests
