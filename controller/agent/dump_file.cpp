#include "agent/dump_file.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "agent/text.h"

namespace dbrestore::agent {

namespace {

using base::error;
using base::ErrorKind;

constexpr size_t head_bytes = 512;
constexpr char custom_format_code = 1;
constexpr size_t tar_mark_offset = 257;

struct Magic {
    std::string_view bytes;
    const char* what;
};

constexpr std::array magics{
    Magic{"\x1f\x8b", "a gzip file (unpack it first)"},
    Magic{"\x28\xb5\x2f\xfd", "a zstd file (unpack it first)"},
    Magic{"\xfd"
          "7zXZ",
          "an xz file (unpack it first)"},
    Magic{"BZh", "a bzip2 file (unpack it first)"},
    Magic{"\x04\x22\x4d\x18", "an lz4 file (unpack it first)"},
    Magic{"PK\x03\x04", "a zip file (unpack it first)"},
};

bool looks_like_text(std::string_view head) {
    for (const char c : head) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 && c != '\n' && c != '\r' && c != '\t') return false;
    }
    return true;
}

base::Error open_failure(const std::string& path) {
    const std::string name = "the dump \"" + one_line(path, 300) + "\"";
    if (errno == ENOENT) return error(ErrorKind::not_found, name + " does not exist on the volume");
    if (errno == ELOOP || errno == EXDEV || errno == ENOTDIR)
        return error(ErrorKind::invalid, name + " must be reached without links and lie on the volume");
    return error(errno == EACCES ? ErrorKind::invalid : ErrorKind::io,
                 name + " cannot be opened: " + std::strerror(errno));
}

}  // namespace

base::Result<DumpFile> DumpFile::open(const std::string& source_directory, const std::string& path) {
    const base::UniqueFd folder{::open(source_directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
    if (!folder) return open_failure(path);
    struct open_how how {};
    how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;  // a FIFO must not hold us
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    const std::string relative = path.substr(std::min(path.find_first_not_of('/'), path.size()));
    DumpFile dump;
    dump.fd_.reset(
        static_cast<int>(::syscall(SYS_openat2, folder.get(), relative.c_str(), &how, sizeof how)));
    if (!dump.fd_) return open_failure(path);
    struct stat status {};
    if (::fstat(dump.fd(), &status) != 0) return open_failure(path);
    if (S_ISDIR(status.st_mode))
        return error(ErrorKind::invalid,
                     "\"" + one_line(path, 300) +
                         "\" is a folder and must be one file in PostgreSQL's custom format (pg_dump -Fc)");
    if (!S_ISREG(status.st_mode))
        return error(ErrorKind::invalid, "\"" + one_line(path, 300) + "\" must be a regular file");
    dump.size_bytes_ = status.st_size;
    return dump;
}

std::string DumpFile::foreign_format() const {
    std::array<char, head_bytes> buffer{};
    const ssize_t count = ::pread(fd(), buffer.data(), buffer.size(), 0);
    return foreign_format_of({buffer.data(), count > 0 ? static_cast<size_t>(count) : 0});
}

std::string foreign_format_of(std::string_view head) {
    if (head.starts_with("PGDMP")) {
        // Magic, three bytes of version, sizes of integers and offsets, format.
        return head.size() > 10 && head[10] == custom_format_code
                   ? ""
                   : "a part of a dump in another archive format";
    }
    for (const auto& magic : magics) {
        if (head.starts_with(magic.bytes)) return magic.what;
    }
    if (head.size() > tar_mark_offset + 5 && head.substr(tar_mark_offset, 5) == "ustar") return "a tar file";
    return looks_like_text(head) ? "plain text, such as SQL" : "no dump that is known";
}

}  // namespace dbrestore::agent
