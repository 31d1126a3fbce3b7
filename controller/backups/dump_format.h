#pragma once
// What a file is, told by how it begins and never by its name.

#include <string>
#include <string_view>

namespace dbrestore::backups {

// As much of the beginning as content_of() and compression_of() look at.
inline constexpr size_t head_bytes = 1024;

enum class Compression { none, gzip, xz, zstd, lz4 };

Compression compression_of(std::string_view head);

enum class Content {
    custom_dump,  // pg_dump -Fc
    tar_dump,     // pg_dump -Ft
    archive,      // a tar file of anything else
    sql,          // text that may be a plain dump
    unknown
};

Content content_of(std::string_view head);

// What it is, for people: "a gzip file", "an HTML page". For what the two functions above do not take.
std::string foreign_format_of(std::string_view head);

}  // namespace dbrestore::backups
