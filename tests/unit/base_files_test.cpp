#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/digest.h"
#include "base/files.h"

namespace dbrestore::base {
namespace {

class Files : public ::testing::Test {
protected:
    Files() {
        std::string pattern = ::testing::TempDir() + "dbrestore-files-XXXXXX";
        folder_ = ::mkdtemp(pattern.data());
    }
    ~Files() override { std::filesystem::remove_all(folder_); }
    std::string folder_;
};

TEST_F(Files, what_is_written_is_read_again_and_is_nobody_elses) {
    const std::string path = folder_ + "/state";
    const std::string text("zero \0 and \xff", 12);
    ASSERT_TRUE(write_file_durably(path, text));
    EXPECT_EQ(*read_file(path), text);
    struct stat about {};
    ASSERT_EQ(::stat(path.c_str(), &about), 0);
    EXPECT_EQ(about.st_mode & 0777, 0600u);
    ASSERT_TRUE(write_file_durably(path, ""));
    EXPECT_EQ(*read_file(path), "");
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1)
        << "no temporary file is left";
}

TEST_F(Files, a_write_follows_no_link_that_somebody_laid_for_its_temporary_file) {
    const std::string path = folder_ + "/state", victim = folder_ + "/victim";
    ASSERT_TRUE(write_file_durably(victim, "precious"));
    ASSERT_EQ(::symlink(victim.c_str(), (path + ".new").c_str()), 0);
    EXPECT_FALSE(write_file_durably(path, "text"));
    EXPECT_EQ(*read_file(victim), "precious");
}

TEST_F(Files, a_write_that_fails_leaves_no_temporary_file) {
    const std::string path = folder_ + "/state";
    std::filesystem::create_directory(path);
    EXPECT_FALSE(write_file_durably(path, "text"));
    EXPECT_FALSE(std::filesystem::exists(path + ".new"));
}

TEST_F(Files, errors_say_what_and_where) {
    const auto missing = read_file(folder_ + "/none");
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().kind, ErrorKind::not_found);
    EXPECT_NE(missing.error().message.find(folder_ + "/none"), std::string::npos);
    const auto directory = read_file(folder_);
    ASSERT_FALSE(directory);
    EXPECT_EQ(directory.error().kind, ErrorKind::io);
    ASSERT_TRUE(write_file_durably(folder_ + "/long", std::string(1001, 'x')));
    const auto large = read_file(folder_ + "/long", 1000);
    ASSERT_FALSE(large);
    EXPECT_EQ(large.error().kind, ErrorKind::invalid);
    EXPECT_TRUE(read_file(folder_ + "/long", 1001));
    EXPECT_FALSE(write_file_durably(folder_ + "/no/such/folder", "x"));
    EXPECT_FALSE(sync_directory(folder_ + "/none"));
    EXPECT_TRUE(sync_directory(folder_));
}

TEST(Digest, is_SHA_256) {
    EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace dbrestore::base
