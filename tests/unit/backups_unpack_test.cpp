// From a backup to the dump in it, for what people have and for what nobody should.

#include <gtest/gtest.h>

#include <map>

#include "backups/unpack.h"
#include "support/archives.h"

namespace dbrestore::backups {
namespace {

using test::ArchiveMember;
using test::compressed;
using test::dump_like;
using test::MemberKind;
using test::tar_of;
using test::TextSource;

// toc.dat of a dump in directory format has the code of the tar format.
constexpr char custom = 1, directory = 3;

struct Unpacked {
    std::optional<Failure> failure;
    DumpFormat format = DumpFormat::sql;
    std::map<std::string, std::string> files;

    std::string reason() const { return failure ? failure->reason : ""; }
};

Unpacked unpacked(const std::string& backup, int64_t max_bytes = 1 << 20) {
    Unpacked result;
    TextSource source(backup);
    result.failure =
        unpack(source, {max_bytes}, [&](DumpFormat format, const std::string& name, ByteSource& content) {
            result.format = format;
            const auto read = pump(content, [&](std::string_view bytes) {
                result.files[name] += bytes;
                return base::success();
            });
            return read ? std::nullopt : std::optional(to_failure(read.error()));
        });
    return result;
}

const std::string& a_dump() {
    static const std::string dump = dump_like(custom);
    return dump;
}

TEST(Unpack, a_dump_comes_out_of_whatever_it_is_packed_in) {
    const std::string tar = tar_of({{"20261122.pgsql", a_dump()}});
    const std::vector<std::pair<const char*, std::string>> backups{
        {"bare", a_dump()},
        {"gzip", compressed(a_dump(), "gzip")},
        {"xz", compressed(a_dump(), "xz")},
        {"zstd", compressed(a_dump(), "zstd")},
        {"lz4", compressed(a_dump(), "lz4")},
        {"tar", tar},
        {"tar.gz", compressed(tar, "gzip")},
        {"tar.xz", compressed(tar, "xz")},
        {"tar.zst", compressed(tar, "zstd")},
        {"two gzip members",
         compressed(a_dump().substr(0, 1000), "gzip") + compressed(a_dump().substr(1000), "gzip")},
        {"gzip with padding", compressed(a_dump(), "gzip") + std::string(2000, '\0')},
        {"in a folder of the tar",
         tar_of({{"./", "", MemberKind::folder}, {"./out/", "", MemberKind::folder}, {"./out/x", a_dump()}})},
    };
    for (const auto& [what, backup] : backups) {
        const Unpacked result = unpacked(backup);
        EXPECT_EQ(result.reason(), "") << what << ": " << result.failure->message;
        EXPECT_EQ(result.format, DumpFormat::custom) << what;
        EXPECT_EQ(result.files, (std::map<std::string, std::string>{{"dump", a_dump()}})) << what;
    }
}

TEST(Unpack, a_dump_in_tar_format_stays_a_tar_file) {
    const std::string dump = test::tar_dump_like();
    for (const auto& backup :
         {dump, compressed(dump, "gzip"), compressed(tar_of({{"x.tar", dump}}), "zstd")}) {
        const Unpacked result = unpacked(backup);
        EXPECT_EQ(result.reason(), "") << result.failure->message;
        EXPECT_EQ(result.format, DumpFormat::tar);
        EXPECT_EQ(result.files, (std::map<std::string, std::string>{{"dump", dump}}));
    }
}

TEST(Unpack, a_dump_in_directory_format_keeps_its_files_names) {
    const std::string toc = dump_like(directory);
    const Unpacked result = unpacked(compressed(tar_of({{"shop/", "", MemberKind::folder},
                                                        {"shop/3012.dat.gz", "data"},
                                                        {"shop/blobs.toc", "1 blob_1.dat\n"},
                                                        {"shop/toc.dat", toc}}),
                                                "gzip"));
    EXPECT_EQ(result.reason(), "") << result.failure->message;
    EXPECT_EQ(result.format, DumpFormat::directory);
    EXPECT_EQ(result.files, (std::map<std::string, std::string>{
                                {"3012.dat.gz", "data"}, {"blobs.toc", "1 blob_1.dat\n"}, {"toc.dat", toc}}));
}

TEST(Unpack, a_directory_that_begins_with_toc_dat_is_no_tar_dump) {
    const Unpacked result = unpacked(tar_of({{"toc.dat", dump_like(directory)}, {"3012.dat.gz", "data"}}));
    EXPECT_EQ(result.reason(), "") << result.failure->message;
    EXPECT_EQ(result.format, DumpFormat::directory);
}

TEST(Unpack, text_is_a_plain_dump) {
    const Unpacked result = unpacked(compressed("--\n-- PostgreSQL database dump\n--\n", "gzip"));
    EXPECT_EQ(result.reason(), "");
    EXPECT_EQ(result.format, DumpFormat::sql);
}

TEST(Unpack, what_is_no_dump_is_called_by_its_name) {
    struct Row {
        const char* what;
        std::string backup;
        const char* reason;
        const char* word;
    };
    const std::string dump = a_dump(), gzip = compressed(dump, "gzip");
    const std::vector<Row> rows{
        {"nothing", "", "BackupEmpty", "no content"},
        {"nothing, compressed", compressed("", "gzip"), "BackupEmpty", "no content"},
        {"an empty tar", compressed(tar_of({}), "gzip"), "UnsupportedFormat", "no dump"},
        {"a tar of folders", tar_of({{"a/", "", MemberKind::folder}}), "BackupEmpty", "no file"},
        {"an empty file in a tar", tar_of({{"a", ""}}), "BackupEmpty", "no content"},
        {"an error page", "<!DOCTYPE html>\n<html><body>404</body></html>", "UnsupportedFormat", "HTML"},
        {"an S3 error", "<?xml version=\"1.0\"?>\n<Error><Code>NoSuchKey</Code></Error>", "UnsupportedFormat",
         "XML"},
        {"JSON", "{\"error\": \"expired\"}", "UnsupportedFormat", "JSON"},
        {"zip", std::string("PK\x03\x04", 4) + dump, "UnsupportedFormat", "zip"},
        {"bzip2", "BZh9" + dump, "UnsupportedFormat", "bzip2"},
        {"zeros", std::string(5000, '\0'), "UnsupportedFormat", "no dump that is known"},
        {"toc.dat alone", dump_like(directory), "UnsupportedFormat", "another archive format"},
        {"a member of a directory dump alone", tar_of({{"3012.dat", "x"}}), "UnsupportedFormat", "toc.dat"},
        {"compressed twice", compressed(gzip, "gzip"), "UnsupportedFormat", "gzip"},
        {"an archive in an archive", tar_of({{"a.tar.gz", compressed(tar_of({{"a", dump}}), "gzip")}}),
         "UnsupportedFormat", "gzip"},
        {"a tar in a tar", tar_of({{"a.tar", tar_of({{"a", dump}})}}), "UnsupportedFormat", "tar file"},
    };
    for (const auto& row : rows) {
        const Unpacked result = unpacked(row.backup);
        EXPECT_EQ(result.reason(), row.reason) << row.what;
        EXPECT_NE(result.failure ? result.failure->message.find(row.word) : 0, std::string::npos)
            << row.what << ": " << result.failure->message;
    }
}

TEST(Unpack, a_hostile_archive_gets_a_clear_no) {
    struct Row {
        std::vector<ArchiveMember> members;
        const char* reason;
        const char* word;
    };
    const std::string dump = a_dump(), toc = dump_like(directory);
    const std::vector<Row> rows{
        {{{"../../etc/cron.d/x", dump}}, "UnsafeArchive", "leaves it"},
        {{{"a/../../x", dump}}, "UnsafeArchive", "leaves it"},
        {{{"/etc/passwd", dump}}, "UnsafeArchive", "leaves it"},
        {{{"a", "/etc/passwd", MemberKind::symbolic_link}}, "UnsafeArchive", "symbolic link"},
        {{{"dump", dump}, {"a", "dump", MemberKind::hard_link}}, "UnsafeArchive", "hard link"},
        {{{"a", "", MemberKind::fifo}}, "UnsafeArchive", "FIFO"},
        {{{"a", "", MemberKind::device}}, "UnsafeArchive", "device"},
        {{{"a", std::string(100'000, 'x'), MemberKind::sparse_file}}, "UnsafeArchive", "sparse"},
        {{{"a", dump}, {"b", dump}}, "SeveralDumps", "\"b\""},
        {{{"toc.dat", toc}, {"b", dump}}, "SeveralDumps", "\"b\""},
        {{{"b", dump}, {"toc.dat", toc}}, "SeveralDumps", "toc.dat"},
        {{{"a/toc.dat", toc}, {"b/toc.dat", toc}}, "SeveralDumps", "b/toc.dat"},
        {{{"toc.dat", toc}, {"toc.dat", toc}}, "UnsafeArchive", "twice"},
    };
    for (const auto& row : rows) {
        const Unpacked result = unpacked(compressed(tar_of(row.members), "gzip"));
        EXPECT_EQ(result.reason(), row.reason) << row.members.back().name;
        EXPECT_NE(result.failure ? result.failure->message.find(row.word) : 0, std::string::npos)
            << row.members.back().name << ": " << result.failure->message;
    }
}

TEST(Unpack, a_members_name_is_of_no_matter) {
    for (const std::string& name :
         {std::string("a\nb"), std::string(4000, 'n'), std::string("\xff\xfe"), std::string("$(reboot)")}) {
        const Unpacked result = unpacked(tar_of({{name, a_dump()}}));
        EXPECT_EQ(result.reason(), "") << result.failure->message;
        EXPECT_EQ(result.files.count("dump"), 1u);
    }
    std::string with_nul = tar_of({{std::string(4000, 'n'), a_dump()}});
    with_nul[with_nul.find("path=nnn") + 7] = '\0';
    EXPECT_EQ(unpacked(with_nul).files.count("dump"), 1u);
}

TEST(Unpack, a_bomb_ends_at_what_the_volume_has_to_spare) {
    const std::string zeros = dump_like(custom) + std::string(50 << 20, '\0');
    for (const char* filter : {"gzip", "xz", "zstd"}) {
        const std::string bomb = compressed(zeros, filter);
        EXPECT_LT(bomb.size(), 200'000u);
        const Unpacked result = unpacked(bomb, 1 << 20);
        EXPECT_EQ(result.reason(), "BackupTooLarge") << filter;
        EXPECT_LE(result.files.at("dump").size(), (1u << 20) + block_bytes) << filter;
    }
    // Behind the end of an archive.
    const std::string trailing = compressed(tar_of({{"a", a_dump()}}) + std::string(50 << 20, '\0'), "gzip");
    EXPECT_EQ(unpacked(trailing, 1 << 20).reason(), "BackupTooLarge");
    EXPECT_EQ(unpacked(compressed(a_dump(), "gzip"), static_cast<int64_t>(a_dump().size())).reason(), "");
}

// A single byte may be text.
bool is_no_dump(const Unpacked& result) {
    return result.failure || result.format == DumpFormat::sql;
}

TEST(Unpack, an_end_too_early_is_seen_at_every_byte) {
    const std::string tar = tar_of({{"shop.dump", a_dump()}});
    for (const char* filter : {"gzip", "xz", "zstd", "lz4"}) {
        const std::string whole = compressed(tar, filter);
        ASSERT_EQ(unpacked(whole).reason(), "");
        for (size_t size = 1; size < whole.size(); ++size)
            ASSERT_TRUE(is_no_dump(unpacked(whole.substr(0, size)))) << filter << " cut after " << size;
    }
    // A tar file may lack its end, but nothing of its member.
    for (size_t size = 1; size < 512 + a_dump().size(); size += 7)
        ASSERT_TRUE(is_no_dump(unpacked(tar.substr(0, size)))) << "tar cut after " << size;
}

TEST(Unpack, a_flipped_bit_and_a_wrong_checksum_are_seen) {
    for (const char* filter : {"gzip", "xz", "zstd", "lz4"}) {
        const std::string whole = compressed(a_dump(), filter);
        for (size_t at = 20; at < whole.size(); at += 5) {
            std::string flipped = whole;
            flipped[at] = static_cast<char>(flipped[at] ^ 0x10);
            const Unpacked result = unpacked(flipped);
            EXPECT_TRUE(result.failure || result.files.at("dump") == a_dump()) << filter << " at " << at;
        }
    }
    std::string wrong_crc = compressed(a_dump(), "gzip");
    wrong_crc[wrong_crc.size() - 8] = static_cast<char>(wrong_crc[wrong_crc.size() - 8] ^ 1);
    EXPECT_EQ(unpacked(wrong_crc).reason(), "BackupDamaged");
}

TEST(Unpack, only_names_that_pg_dump_gives_are_files_of_a_directory_dump) {
    for (const char* name : {"toc.dat", "1.dat", "3012.dat.gz", "3012.dat.zst", "3012.dat.lz4", "blobs.toc",
                             "blobs_3.toc", "blob_16400.dat.gz"})
        EXPECT_TRUE(is_directory_member(name)) << name;
    for (const char* name : {"", "x.dat", ".dat", "1.dat/..", "12345678901.dat", "toc.dat.gz", "blob_.dat",
                             "1.sql", "1.dat.bz2"})
        EXPECT_FALSE(is_directory_member(name)) << name;
}

}  // namespace
}  // namespace dbrestore::backups
