#include "backups/describe.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>

#include "backups/archive_input.h"
#include "backups/decompress.h"
#include "backups/dump_contents.h"
#include "backups/unpack.h"

namespace dbrestore::backups {

namespace {

constexpr size_t max_version_bytes = 20;
// pg_dump -Ft begins with the header of toc.dat.
constexpr size_t tar_header_bytes = 512;

// "15.18 (Debian 15.18-0+deb12u1)" -> "15.18". The dump is untrusted, and this is shown as it is.
std::string short_version(const std::string& version) {
    const std::string word = version.substr(0, version.find(' '));
    const bool is_plain = std::ranges::all_of(
        word, [](unsigned char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '.'; });
    return is_plain && word.size() <= max_version_bytes ? word : "";
}

// Any text may be SQL; pg_dump and pg_dumpall say what they write.
void describe_text(std::string_view head, resources::Backup& facts) {
    constexpr std::string_view version_mark = "\n-- Dumped from database version ";
    if (head.find("-- PostgreSQL database ") == std::string_view::npos) return;
    facts.format = to_text(DumpFormat::sql);
    const size_t at = head.find(version_mark);
    if (at == std::string_view::npos) return;
    const std::string_view line = head.substr(at + version_mark.size());
    facts.server_version = short_version(std::string(line.substr(0, line.find('\n'))));
}

// Not an archive of anything else.
void describe_dump(PeekedSource& dump, resources::Backup& facts) {
    const auto head = dump.peek(head_bytes);
    const Content content = head ? content_of(*head) : Content::unknown;
    if (content == Content::sql) describe_text(*head, facts);
    if (content == Content::custom_dump) facts.format = to_text(DumpFormat::custom);
    if (content == Content::tar_dump) {
        facts.format = to_text(DumpFormat::tar);
        char header[tar_header_bytes];
        for (size_t done = 0; done < sizeof header;) {
            const auto count = dump.read(header, sizeof header - done);
            if (!count || *count == 0) return;
            done += *count;
        }
    }
    if (content == Content::custom_dump || content == Content::tar_dump)
        facts.server_version = short_version(server_version_of(dump));
}

void describe_archive(ByteSource& tar, resources::Backup& facts) {
    ArchiveInput input(tar);
    archive_read_support_format_tar(input.get());
    archive_read_support_filter_none(input.get());
    archive_entry* entry = nullptr;
    if (!input.open()) return;
    while (archive_read_next_header(input.get(), &entry) >= ARCHIVE_WARN) {
        if (archive_entry_filetype(entry) == AE_IFDIR) continue;
        const char* path = archive_entry_pathname(entry);
        std::string name = path == nullptr ? "" : path;
        name.erase(0, name.rfind('/') + 1);
        MemberSource member(input);
        if (!is_directory_member(name)) {
            PeekedSource content(member);
            if (facts.format.empty()) describe_dump(content, facts);
            return;
        }
        if (name == "toc.dat") return describe_directory(member, facts);
        facts.format = to_text(DumpFormat::directory);  // its toc.dat may come later
    }
}

}  // namespace

void describe_directory(ByteSource& toc, resources::Backup& facts) {
    facts.format = to_text(DumpFormat::directory);
    facts.server_version = short_version(server_version_of(toc));
}

void describe(ByteSource& backup, resources::Backup& facts) {
    PeekedSource packed(backup);
    auto head = packed.peek(head_bytes);
    if (!head) return;
    const Compression compression = compression_of(*head);
    const auto unpacked = compression == Compression::none ? nullptr : decompressed(packed, compression);
    PeekedSource plain(unpacked == nullptr ? static_cast<ByteSource&>(packed) : *unpacked);
    head = plain.peek(head_bytes);
    if (!head) return;
    if (content_of(*head) == Content::archive) return describe_archive(plain, facts);
    describe_dump(plain, facts);
}

}  // namespace dbrestore::backups
