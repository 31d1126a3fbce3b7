#include "backups/dump_format.h"

#include <algorithm>
#include <array>

namespace dbrestore::backups {

namespace {

constexpr std::string_view dump_magic = "PGDMP";
// Behind the magic: three bytes of version, sizes of integers and offsets, the format.
constexpr size_t format_offset = 10;
// In a dump in directory format toc.dat has the code of the tar format.
constexpr char custom_code = 1, tar_code = 3;
constexpr size_t tar_block_bytes = 512, tar_user_offset = 108, tar_group_offset = 116, tar_number_bytes = 8,
                 tar_mark_offset = 257;

struct Magic {
    std::string_view bytes;
    const char* what;
};

constexpr std::array magics{
    Magic{"\x1f\x8b", "a gzip file"},
    Magic{"\x28\xb5\x2f\xfd", "a zstd file"},
    Magic{"\xfd"
          "7zXZ",
          "an xz file"},
    Magic{"BZh", "a bzip2 file"},
    Magic{"\x04\x22\x4d\x18", "an lz4 file"},
    Magic{"PK\x03\x04", "a zip file"},
    Magic{"7z\xbc\xaf\x27\x1c", "a 7-Zip file"},
    Magic{"\x1f\x9d", "a compress file"},
};

char format_code(std::string_view dump) {
    return dump.size() > format_offset && dump.starts_with(dump_magic) ? dump[format_offset] : '\0';
}

bool is_tar(std::string_view head) {
    return head.size() > tar_mark_offset + 5 && head.substr(tar_mark_offset, 5) == "ustar";
}

int octal_at(std::string_view head, size_t offset) {
    int number = 0;
    for (const char c : head.substr(offset, tar_number_bytes)) {
        if (c < '0' || c > '7') break;
        number = number * 8 + (c - '0');
    }
    return number;
}

// pg_dump -Ft writes toc.dat first, and each member as that of the user 2048 and the group 1024; a tar file
// that somebody made of a dump in directory format may begin with toc.dat as well.
bool is_written_by_pg_dump(std::string_view head) {
    return head.size() > tar_block_bytes && head.starts_with(std::string_view("toc.dat\0", 8)) &&
           octal_at(head, tar_user_offset) == 2048 && octal_at(head, tar_group_offset) == 1024 &&
           format_code(head.substr(tar_block_bytes)) == tar_code;
}

bool is_text(std::string_view head) {
    return std::ranges::none_of(head, [](char c) {
        return static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\r' && c != '\t';
    });
}

// The first word of a text, in lower case: "<!doctype", "<html", "<?xml".
std::string first_word(std::string_view text) {
    const size_t begin = std::min(text.find_first_not_of(" \t\r\n\xef\xbb\xbf"), text.size());
    const size_t end = std::min(text.find_first_of(" \t\r\n>", begin), text.size());
    std::string word(text.substr(begin, std::min<size_t>(end - begin, 16)));
    for (char& c : word) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return word;
}

}  // namespace

Compression compression_of(std::string_view head) {
    if (head.starts_with("\x1f\x8b")) return Compression::gzip;
    if (head.starts_with("\xfd"
                         "7zXZ"))
        return Compression::xz;
    if (head.starts_with("\x04\x22\x4d\x18")) return Compression::lz4;
    return head.starts_with("\x28\xb5\x2f\xfd") ? Compression::zstd : Compression::none;
}

Content content_of(std::string_view head) {
    if (format_code(head) == custom_code) return Content::custom_dump;
    if (is_tar(head)) return is_written_by_pg_dump(head) ? Content::tar_dump : Content::archive;
    const bool markup = first_word(head).starts_with('<') || first_word(head).starts_with('{');
    return !head.empty() && is_text(head) && !markup ? Content::sql : Content::unknown;
}

std::string foreign_format_of(std::string_view head) {
    for (const auto& magic : magics) {
        if (head.starts_with(magic.bytes)) return magic.what;
    }
    if (head.starts_with(dump_magic)) return "a part of a dump in another archive format";
    if (is_tar(head)) return "a tar file";
    if (!is_text(head)) return "no dump that is known";
    const std::string word = first_word(head);
    if (word == "<!doctype" || word == "<html") return "an HTML page, such as a server's error";
    if (word.starts_with("<?xml") || word == "<error") return "an XML document, such as a server's error";
    if (word.starts_with('{')) return "a JSON document, such as a server's error";
    return "plain text, such as SQL";
}

}  // namespace dbrestore::backups
