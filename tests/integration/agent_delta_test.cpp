// Restores of a server to a point in time where the copy begins as a clone of today's files.
#include <algorithm>
#include <filesystem>
#include <fstream>

#include "agent/volume/journal.h"
#include "base/files.h"
#include "integration/point_in_time_fixture.h"
#include "integration/xfs_volume.h"

namespace dbrestore::tests {
namespace {

namespace fs = std::filesystem;

constexpr int64_t mib = 1 << 20;

class AgentDelta : public PointInTimeTest {
protected:
    void SetUp() override {
        PointInTimeTest::SetUp();
        // 78 MB that nobody changes once it is backed up.
        sql("CREATE TABLE large AS SELECT i, repeat(md5(i::text), 30) AS text FROM generate_series(1, 70000) "
            "AS i");
        sql("VACUUM (FREEZE, ANALYZE) large");
        sql("CHECKPOINT");
        back_up();
        large_ = sql("SELECT pg_relation_filepath('large')");
        content_ = sql(content_of_large);
        write_rows(30);
        time_ = committed_at(20);
    }
    void make_volume() override { volume_.emplace(folder()); }
    std::string data_directory() const override { return volume_->path() + "/data"; }
    void TearDown() override {
        kill_server();
        volume_.reset();
        PointInTimeTest::TearDown();
    }

    // What the newest backup holds of the large table is gone: whoever asks for it fails.
    void take_large_table_from_repository() const {
        const fs::path backups = repository() + "/backup/shop";
        std::string newest;
        for (const auto& entry : fs::directory_iterator(backups)) {
            const std::string name = entry.path().filename();
            if (entry.is_directory() && name.ends_with("F")) newest = std::max(newest, name);
        }
        ASSERT_TRUE(fs::remove(backups / newest / "pg_data" / large_)) << newest;
    }

    // Each file of a server with its digest, what is ours left out.
    static std::string files_of(const std::string& directory) {
        const Output output = run_as_postgres(
            {"sh", "-c",
             "cd \"$1\" && find . -path ./.dbrestore -prune -o -type f -exec sha256sum {} + | sort", "sh",
             directory});
        EXPECT_EQ(output.exit_code, 0) << output.err;
        EXPECT_GT(output.out.size(), 10000u);
        return output.out;
    }

    void expect_restored() {
        start_server();
        EXPECT_EQ(last_row(), 20);
        EXPECT_EQ(sql("SELECT count(*) FROM rows"), "20");
        EXPECT_EQ(sql(content_of_large), content_);
    }

    static constexpr const char* content_of_large =
        "SELECT count(*) || ' ' || md5(string_agg(text, ',' ORDER BY i)) FROM large";
    std::string large_, content_, time_;
    std::optional<XfsVolume> volume_;
};

TEST_F(AgentDelta, WhatIsAsItWasIsNotFetchedAndTheOldFilesStayAsTheyAre) {
    stop_server();
    const std::string old_files = files_of(data_directory());
    take_large_table_from_repository();
    const int64_t before = volume_->used_bytes();
    const AgentRun prepared = run_for("prepare", at_time(time_));
    ASSERT_TRUE(prepared.is_done()) << to_text(prepared);
    const int64_t taken = volume_->used_bytes() - before - agent::WorkFolder::ballast_bytes;
    EXPECT_LT(taken, 40 * mib) << "the large table has 78 MB";
    EXPECT_EQ(difference(old_files, files_of(data_directory())), "");
    for (const auto& progress : prepared.progress) EXPECT_LE(progress.percent, 100);
    EXPECT_TRUE(std::ranges::any_of(prepared.progress, [](const auto& progress) {
        return progress.summary.starts_with("comparing today's files with the ");
    }));
    for (const char* step : {"verify", "commit"}) {
        const AgentRun ran = run_for(step, at_time(time_));
        ASSERT_TRUE(ran.is_done()) << step << ": " << to_text(ran);
    }
    expect_restored();
    EXPECT_EQ(difference(old_files, files_of(data_directory() + "/.dbrestore/beside-" + restore_uid_)), "")
        << "a server that writes its files leaves those that share their blocks alone";
}

TEST_F(AgentDelta, WhatHasChangedIsFetched) {
    sql("UPDATE large SET text = 'changed' WHERE i % 1000 = 0");
    stop_server();
    restore_to(at_time(time_), "a-1");
    expect_restored();
    sql("UPDATE large SET text = 'changed' WHERE i = 1");
    stop_server();
    take_large_table_from_repository();
    EXPECT_TRUE(refusal(at_time(time_, 1)).starts_with("RepositoryUnreadable: "))
        << "nothing but the backup has it";
}

// Whatever a crash, a bad disk or somebody made of today's files: the copy is the backup's.
TEST_F(AgentDelta, TodaysFilesMayBeBroken) {
    const std::string base = data_directory() + "/base",
                      database = base + "/" + sql("SELECT oid FROM pg_database WHERE datname = 'shop'"),
                      rows = data_directory() + "/" + sql("SELECT pg_relation_filepath('rows')"),
                      catalog = data_directory() + "/" + sql("SELECT pg_relation_filepath('pg_class')"),
                      index = data_directory() + "/" + sql("SELECT pg_relation_filepath('rows_pkey')"),
                      large = data_directory() + "/" + large_, precious = folder() + "/precious";
    kill_server();
    fs::create_directory(precious);
    std::ofstream(precious + "/file") << "nobody's business";
    fs::remove(rows);
    fs::create_symlink(precious + "/file", rows);
    fs::create_directory_symlink(precious, base + "/99999");
    fs::remove(catalog);
    fs::create_directory(catalog);
    fs::remove(index);
    std::ofstream(large, std::ios::app) << "longer than it was";
    fs::remove_all(base + "/1");
    std::ofstream(base + "/1") << "no folder";
    ASSERT_EQ(run_as_postgres({"mkfifo", database + "/pipe"}).exit_code, 0);
    for (const char* name : {"/PG_VERSION", "/pg_filenode.map"})
        fs::permissions(database + name, fs::perms::none);
    std::ofstream(data_directory() + "/recovery.signal") << "";
    restore_to(at_time(time_));
    expect_restored();
    const auto text = base::read_file(precious + "/file");
    EXPECT_EQ(text ? *text : "", "nobody's business");
    EXPECT_EQ(std::distance(fs::directory_iterator(precious), fs::directory_iterator()), 1);
    EXPECT_FALSE(fs::exists(fs::symlink_status(base + "/99999")));
}

TEST_F(AgentDelta, WhereItCannotCompareItRestoresInFull) {
    stop_server();
    pgbackrest_program_ = folder() + "/pgbackrest";
    std::ofstream(pgbackrest_program_)
        << "#!/bin/sh\n"
           "case \"$*\" in *--delta*) echo 'ERROR: [042]: bad block' >&2; exit 42;; esac\n"
           "exec /usr/bin/pgbackrest \"$@\"\n";
    fs::permissions(pgbackrest_program_, fs::perms(0755));
    restore_to(at_time(time_));
    expect_restored();
    stop_server();
    take_large_table_from_repository();
    EXPECT_TRUE(refusal(at_time(time_, 1)).starts_with("RepositoryUnreadable: "));
}

}  // namespace
}  // namespace dbrestore::tests
