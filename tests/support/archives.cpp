#include "support/archives.h"

#include <archive.h>
#include <archive_entry.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <stdexcept>

namespace dbrestore::test {

namespace {

struct Closer {
    void operator()(archive* a) const { archive_write_free(a); }
    void operator()(archive_entry* e) const { archive_entry_free(e); }
};

la_ssize_t keep(archive*, void* out, const void* bytes, size_t size) {
    static_cast<std::string*>(out)->append(static_cast<const char*>(bytes), size);
    return static_cast<la_ssize_t>(size);
}

void require(int code, archive* a) {
    if (code != ARCHIVE_OK) throw std::runtime_error(archive_error_string(a));
}

// By name they would all be linked.
void add_filter(archive* a, const std::string& name) {
    require(name == "gzip" ? archive_write_add_filter_gzip(a)
            : name == "xz" ? archive_write_add_filter_xz(a)
                           : archive_write_add_filter_lz4(a),
            a);
}

// libarchive leaves out the checksum that the program zstd writes.
std::string zstd_of(const std::string& text) {
    ZSTD_CCtx* const context = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    std::string out(ZSTD_compressBound(text.size()), '\0');
    out.resize(ZSTD_compress2(context, out.data(), out.size(), text.data(), text.size()));
    ZSTD_freeCCtx(context);
    return out;
}

void describe(archive_entry* entry, const ArchiveMember& member) {
    archive_entry_set_pathname(entry, member.name.c_str());
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_uid(entry, member.owner.first);
    archive_entry_set_gid(entry, member.owner.second);
    archive_entry_set_size(entry, member.kind == MemberKind::file || member.kind == MemberKind::sparse_file
                                      ? static_cast<la_int64_t>(member.content.size())
                                      : 0);
    archive_entry_set_filetype(entry, AE_IFREG);
    switch (member.kind) {
        case MemberKind::file:
            break;
        case MemberKind::folder:
            archive_entry_set_filetype(entry, AE_IFDIR);
            break;
        case MemberKind::symbolic_link:
            archive_entry_set_filetype(entry, AE_IFLNK);
            archive_entry_set_symlink(entry, member.content.c_str());
            break;
        case MemberKind::hard_link:
            archive_entry_set_hardlink(entry, member.content.c_str());
            break;
        case MemberKind::fifo:
            archive_entry_set_filetype(entry, AE_IFIFO);
            break;
        case MemberKind::device:
            archive_entry_set_filetype(entry, AE_IFCHR);
            break;
        case MemberKind::sparse_file:
            archive_entry_sparse_add_entry(entry, 0, 512);
            archive_entry_sparse_add_entry(entry, static_cast<la_int64_t>(member.content.size()) - 512, 512);
            break;
    }
}

}  // namespace

std::string tar_of(const std::vector<ArchiveMember>& members) {
    std::string out;
    const std::unique_ptr<archive, Closer> tar(archive_write_new());
    require(archive_write_set_format_pax_restricted(tar.get()), tar.get());
    archive_write_set_bytes_in_last_block(tar.get(), 1);
    require(archive_write_open(tar.get(), &out, nullptr, keep, nullptr), tar.get());
    for (const auto& member : members) {
        const std::unique_ptr<archive_entry, Closer> entry(archive_entry_new());
        describe(entry.get(), member);
        // A warning is about a name in no known encoding.
        if (archive_write_header(tar.get(), entry.get()) < ARCHIVE_WARN)
            throw std::runtime_error(archive_error_string(tar.get()));
        if (archive_entry_size(entry.get()) > 0)
            archive_write_data(tar.get(), member.content.data(), member.content.size());
    }
    require(archive_write_close(tar.get()), tar.get());
    return out;
}

std::string compressed(const std::string& text, const std::string& filter) {
    if (filter == "zstd") return zstd_of(text);
    std::string out;
    const std::unique_ptr<archive, Closer> raw(archive_write_new());
    require(archive_write_set_format_raw(raw.get()), raw.get());
    add_filter(raw.get(), filter);
    archive_write_set_bytes_in_last_block(raw.get(), 1);
    require(archive_write_open(raw.get(), &out, nullptr, keep, nullptr), raw.get());
    const std::unique_ptr<archive_entry, Closer> entry(archive_entry_new());
    archive_entry_set_filetype(entry.get(), AE_IFREG);
    require(archive_write_header(raw.get(), entry.get()), raw.get());
    archive_write_data(raw.get(), text.data(), text.size());
    require(archive_write_close(raw.get()), raw.get());
    return out;
}

std::string dump_like(char format, size_t size) {
    std::string text = std::string("PGDMP\x01\x0e\x00\x04\x08", 10) + format;
    unsigned state = 1;
    while (text.size() < size) {
        state = state * 1103515245 + 12345;
        text += static_cast<char>(state >> 16);
    }
    return text;
}

std::string tar_dump_like() {
    std::vector<ArchiveMember> members{
        {"toc.dat", dump_like(3)}, {"3012.dat", "1\t2\n\\.\n\n\n"}, {"restore.sql", "--\n"}};
    for (auto& member : members) member.owner = {2048, 1024};
    return tar_of(members);
}

base::Result<size_t> TextSource::read(char* buffer, size_t size) {
    const size_t count = std::min({size, piece_bytes_, text_.size() - at_});
    std::memcpy(buffer, text_.data() + at_, count);
    at_ += count;
    return count;
}

}  // namespace dbrestore::test
