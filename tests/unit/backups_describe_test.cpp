// What is told of a backup by its first bytes, and which files a table of contents names.

#include <gtest/gtest.h>

#include "backups/describe.h"
#include "backups/dump_contents.h"
#include "support/archives.h"

namespace dbrestore::backups {
namespace {

using test::compressed;
using test::tar_of;
using test::TextSource;

constexpr char custom_code = 1, tar_code = 3;

std::string integer(int32_t number) {
    std::string bytes(1, number < 0 ? '\1' : '\0');
    const uint32_t size = number < 0 ? 0u - static_cast<uint32_t>(number) : static_cast<uint32_t>(number);
    for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(size >> shift);
    return bytes;
}
std::string text(const std::string& content) {
    return integer(static_cast<int32_t>(content.size())) + content;
}
const std::string no_text = integer(-1);

// As pg_dump of this archive version (1.minor) begins a dump.
std::string head_of(char format, char minor, const std::string& version) {
    std::string bytes = std::string("PGDMP\1", 6) + minor + std::string("\0\4\10", 3) + format;
    bytes += minor >= 15 ? std::string(1, '\1') : integer(-1);
    for (int i = 0; i < 7; ++i) bytes += integer(i);
    return bytes + text("shop") + text(version) + text("15.18");
}

// One that has data, in a file of that name.
std::string entry(char minor, const std::string& file) {
    std::string bytes = integer(1) + integer(1) + text("1259") + text("16400") + text("t") +
                        text("TABLE DATA") + integer(3) + text("") + text("") + text("COPY t FROM stdin;\n") +
                        text("public") + no_text;
    if (minor >= 14) bytes += text("heap");
    if (minor >= 16) bytes += integer('r');
    return bytes + text("boss") + text("false") + text("7") + text("8") + no_text + text(file);
}

struct Told {
    std::string format, version;
    bool operator==(const Told&) const = default;
};
void PrintTo(const Told& told, std::ostream* out) {
    *out << told.format << " of " << told.version;
}

Told told(const std::string& backup) {
    resources::Backup facts;
    TextSource source(backup);
    describe(source, facts);
    return {facts.format, facts.server_version};
}

TEST(Describe, a_dump_is_told_by_its_first_bytes_whatever_it_is_packed_in) {
    const std::string custom =
                          head_of(custom_code, 14, "15.18 (Debian 15.18-0+deb12u1)") + std::string(3000, 'x'),
                      toc = head_of(tar_code, 16, "17.11") + std::string(3000, 'x');
    EXPECT_EQ(told(custom), (Told{"custom", "15.18"}));
    EXPECT_EQ(told(head_of(custom_code, 16, "18beta1")), (Told{"custom", "18beta1"}));
    EXPECT_EQ(told(tar_of({{"a/", "", test::MemberKind::folder}, {"a/shop.dump", custom}})),
              (Told{"custom", "15.18"}));
    for (const char* filter : {"gzip", "xz", "zstd", "lz4"}) {
        EXPECT_EQ(told(compressed(custom, filter)), (Told{"custom", "15.18"})) << filter;
        EXPECT_EQ(told(compressed(tar_of({{"d/3012.dat", "1\n"}, {"d/toc.dat", toc}}), filter)),
                  (Told{"directory", "17.11"}))
            << filter;
    }
    std::vector<test::ArchiveMember> members{{"toc.dat", toc}, {"3012.dat", "1\n"}};
    for (auto& member : members) member.owner = {2048, 1024};
    EXPECT_EQ(told(tar_of(members)), (Told{"tar", "17.11"}));
    EXPECT_EQ(told(tar_of({{"x", tar_of(members)}})), (Told{"tar", "17.11"}));
    EXPECT_EQ(told("--\n-- PostgreSQL database cluster dump\n--\n"), (Told{"plain", ""}));
    EXPECT_EQ(told("--\n-- PostgreSQL database dump\n--\n\n-- Dumped from database version 15.18 (Debian)\n"),
              (Told{"plain", "15.18"}));
    EXPECT_EQ(told("notes on our backups\n"), (Told{"", ""}));
}

TEST(Describe, what_is_cut_off_still_tells_what_came) {
    const std::string custom = head_of(custom_code, 14, "15.18") + test::dump_like(custom_code, 500'000);
    for (const char* filter : {"gzip", "xz", "zstd"})
        EXPECT_EQ(told(compressed(custom, filter).substr(0, describing_bytes)), (Told{"custom", "15.18"}))
            << filter;
    EXPECT_EQ(told(tar_of({{"d/3012.dat", std::string(5000, 'x')}, {"d/toc.dat", custom}}).substr(0, 3000)),
              (Told{"directory", ""}));
}

TEST(Describe, a_hostile_head_tells_nothing_and_breaks_nothing) {
    const std::string whole = head_of(custom_code, 14, "15.18");
    for (size_t size = 0; size < whole.size(); ++size) (void)told(whole.substr(0, size));
    for (const std::string& version : {std::string("<b>15</b>"), std::string("15\n16"),
                                       std::string(5000, '1'), std::string("\xff\xfe"), std::string("")})
        EXPECT_EQ(told(head_of(custom_code, 14, version)).version, "") << version.substr(0, 20);
    EXPECT_EQ(told(head_of(custom_code, 99, "15.18")), (Told{"custom", ""}));
    std::string endless = whole;
    endless.replace(endless.find("shop") - 4, 4, "\xff\xff\xff\x7f");
    EXPECT_EQ(told(endless), (Told{"custom", ""}));
    EXPECT_EQ(told(compressed(std::string(1 << 20, '\0'), "gzip")), (Told{"", ""}));
    EXPECT_EQ(told(tar_of({{"a", "/etc/passwd", test::MemberKind::symbolic_link}})), (Told{"", ""}));
    EXPECT_EQ(told(""), (Told{"", ""}));
}

std::vector<std::string> names_in_toc(const std::string& toc, bool good = true) {
    std::vector<std::string> names;
    TextSource source(toc, 7);
    const auto read = for_each_file_name(source, [&](const std::string& name) {
        names.push_back(name);
        return base::success();
    });
    EXPECT_EQ(read.ok(), good);
    return names;
}

TEST(Contents, the_files_that_a_toc_names_are_found_in_each_version) {
    for (const char minor : {char{14}, char{15}, char{16}}) {
        const std::string toc = head_of(tar_code, minor, "15.18") + integer(2) + entry(minor, "3012.dat");
        EXPECT_EQ(names_in_toc(toc + entry(minor, "")), std::vector<std::string>{"3012.dat"});
        EXPECT_EQ(names_in_toc(toc + entry(minor, "../x")), (std::vector<std::string>{"3012.dat", "../x"}));
        names_in_toc(toc, false);
        names_in_toc(toc + entry(minor, "3013.dat").substr(0, 50), false);
    }
    names_in_toc(head_of(tar_code, 17, "19") + integer(0), false);
}

// A length that overflows to less than 0 is no text for pg_restore, and must be none here.
TEST(Contents, lengths_are_read_as_pg_restore_reads_them) {
    const std::string overflown("\0\xff\xff\xff\xff", 5);
    std::string hidden = entry(14, "../x");
    const std::string owner = text("boss");
    hidden.replace(hidden.find(owner), owner.size(), overflown);
    const std::string toc = head_of(tar_code, 14, "15.18") + integer(1) + hidden;
    EXPECT_EQ(names_in_toc(toc), std::vector<std::string>{"../x"});
}

}  // namespace
}  // namespace dbrestore::backups
