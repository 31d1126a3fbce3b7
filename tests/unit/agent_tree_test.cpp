// The files behind the stub: whatever a crash leaves, hide() and show() go on from there.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "agent/volume/exchange.h"
#include "agent/volume/tree.h"

namespace dbrestore::agent {
namespace {

namespace fs = std::filesystem;

class TreeTest : public testing::Test {
protected:
    void SetUp() override {
        std::string pattern = (fs::temp_directory_path() / "dbrestore-tree-XXXXXX").string();
        root_ = ::mkdtemp(pattern.data());
        for (const char* folder : {"base", "global", "pg_wal", ".dbrestore", "lost+found"})
            fs::create_directory(root_ + "/" + folder);
        write("PG_VERSION", "15\n");
        write("global/pg_control", "control");
        write("postgresql.conf", "port = 1\n");
        ASSERT_EQ(::chmod(root_.c_str(), 0750), 0);
    }
    void TearDown() override { fs::remove_all(root_); }

    void write(const std::string& name, const std::string& text) const {
        std::ofstream(root_ + "/" + name) << text;
    }
    std::string read(const std::string& name) const {
        std::ifstream file(root_ + "/" + name);
        return {std::istreambuf_iterator<char>(file), {}};
    }
    bool is_there(const std::string& name) const { return fs::exists(root_ + "/" + name); }
    Tree tree() const { return {root_, root_ + "/.dbrestore/tree"}; }
    void expect_shown() const {
        EXPECT_EQ(read("PG_VERSION"), "15\n");
        EXPECT_EQ(read("global/pg_control"), "control");
        EXPECT_TRUE(is_there("pg_wal"));
        EXPECT_FALSE(is_there(".dbrestore/tree"));
        EXPECT_FALSE(tree().is_hidden());
    }
    void expect_hidden() const {
        EXPECT_TRUE(tree().is_hidden());
        EXPECT_EQ(read(".dbrestore/tree/PG_VERSION"), "15\n");
        EXPECT_EQ(read(".dbrestore/tree/global/pg_control"), "control");
        EXPECT_FALSE(is_there("global"));
        EXPECT_TRUE(is_there("lost+found"));
    }
    void move(const std::string& from, const std::string& to) const {
        fs::rename(root_ + "/" + from, root_ + "/" + to);
    }

    std::string root_;
};

TEST_F(TreeTest, HidesAndShowsAndBothMayBeCalledTwice) {
    for (int i = 0; i < 2; ++i) ASSERT_TRUE(tree().hide());
    expect_hidden();
    struct stat status {};
    ASSERT_EQ(::stat((root_ + "/.dbrestore/tree").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0750u);
    for (int i = 0; i < 2; ++i) ASSERT_TRUE(tree().show());
    expect_shown();
}

TEST_F(TreeTest, WhatAKilledServerLeftKeepsNoOtherOneFromStarting) {
    write("postmaster.pid", "1\n");
    ASSERT_TRUE(tree().hide());
    EXPECT_TRUE(is_there(".dbrestore/tree/postmaster.pid"));
    write("postmaster.pid", "2\n");
    ASSERT_TRUE(tree().show());
    EXPECT_FALSE(is_there("postmaster.pid"));
    expect_shown();
}

TEST_F(TreeTest, ACrashBeforeTheStubLeavesALiveDirectory) {
    fs::create_directory(root_ + "/.dbrestore/tree");
    write(".dbrestore/tree/PG_VERSION", "15\n");
    write(".dbrestore/tree/PG_VERSION.new", "1");
    write("PG_VERSION.new", "dbrestore: half");
    ASSERT_TRUE(tree().show());
    expect_shown();
    EXPECT_FALSE(is_there("PG_VERSION.new"));
    ASSERT_TRUE(tree().hide());
    expect_hidden();
}

TEST_F(TreeTest, ACrashAmongTheMovesIsFinishedInEitherDirection) {
    for (const bool forward : {true, false}) {
        ASSERT_TRUE(tree().hide());
        move(".dbrestore/tree/global", "global");
        move(".dbrestore/tree/postgresql.conf", "postgresql.conf");
        if (forward) {
            ASSERT_TRUE(tree().hide());
            expect_hidden();
        }
        ASSERT_TRUE(tree().show());
        expect_shown();
    }
}

TEST_F(TreeTest, TwoDatabasesAreNeverMixed) {
    fs::create_directories(root_ + "/.dbrestore/tree/base");
    EXPECT_FALSE(tree().hide());
    EXPECT_EQ(read("PG_VERSION"), "15\n");
    ASSERT_TRUE(fs::remove(root_ + "/.dbrestore/tree/base"));
    ASSERT_TRUE(tree().hide());
    write("postgresql.conf", "from elsewhere");
    EXPECT_FALSE(tree().show());
    EXPECT_TRUE(tree().is_hidden());
}

TEST_F(TreeTest, TwoFoldersChangePlacesAndAreKnownByWhatTheyAre) {
    const std::string work = root_ + "/.dbrestore";
    fs::create_directory(work + "/tree");
    fs::create_directory(work + "/beside");
    write(".dbrestore/tree/old", "");
    const auto tree = tree_id(work + "/tree"), beside = tree_id(work + "/beside");
    ASSERT_TRUE(tree && beside);
    EXPECT_FALSE(*tree == *beside);
    ASSERT_TRUE(exchange_trees(work, "tree", "beside"));
    EXPECT_TRUE(is_there(".dbrestore/beside/old"));
    EXPECT_TRUE(*tree_id(work + "/beside") == *tree);
    ASSERT_TRUE(exchange_trees(work, "tree", "beside"));
    EXPECT_TRUE(is_there(".dbrestore/tree/old")) << "it is its own inverse";
    EXPECT_EQ(exchange_trees(work, "tree", "nowhere").error().kind, base::ErrorKind::io);
    EXPECT_EQ(tree_id(work + "/nowhere").error().kind, base::ErrorKind::not_found);
}

TEST_F(TreeTest, WhetherFoldersCanChangePlacesIsProvenWithoutATrace) {
    fs::create_directory(root_ + "/.dbrestore/exchange-1");  // a crash left it
    EXPECT_TRUE(prove_exchange(root_ + "/.dbrestore"));
    EXPECT_TRUE(fs::is_empty(root_ + "/.dbrestore"));
    EXPECT_FALSE(prove_exchange(root_ + "/nowhere"));
}

}  // namespace
}  // namespace dbrestore::agent
