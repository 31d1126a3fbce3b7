#include "base/files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/unique_fd.h"

namespace dbrestore::base {

namespace {

Error file_error(const std::string& what, const std::string& path) {
    const int code = errno;
    return error(code == ENOENT ? ErrorKind::not_found : ErrorKind::io,
                 what + " " + path + ": " + std::strerror(code));
}

std::string parent_of(const std::string& path) {
    const size_t slash = path.find_last_of('/');
    if (slash == std::string::npos) return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

Status write_and_sync(const std::string& path, const std::string& text) {
    const UniqueFd fd{::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600)};
    if (!fd) return file_error("cannot create", path);
    if (!write_all(fd.get(), text)) return file_error("cannot write", path);
    // A failed fsync is final: the kernel may have dropped the pages, so trying again would prove nothing.
    if (::fsync(fd.get()) != 0) return file_error("cannot sync", path);
    return success();
}

}  // namespace

Result<std::string> read_file(const std::string& path, size_t max_bytes) {
    const UniqueFd fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    if (!fd) return file_error("cannot open", path);
    std::string text;
    char buffer[65536];
    while (true) {
        const ssize_t count = ::read(fd.get(), buffer, sizeof buffer);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return file_error("cannot read", path);
        if (count == 0) return text;
        text.append(buffer, static_cast<size_t>(count));
        if (text.size() > max_bytes) {
            return error(ErrorKind::invalid,
                         path + " must be at most " + std::to_string(max_bytes) + " bytes long");
        }
    }
}

Status write_file_durably(const std::string& path, const std::string& text) {
    const std::string temporary = path + ".new";
    if (Status written = write_and_sync(temporary, text); !written) {
        ::unlink(temporary.c_str());
        return written;
    }
    if (::rename(temporary.c_str(), path.c_str()) != 0) {
        const Error failure = file_error("cannot rename to", path);
        ::unlink(temporary.c_str());
        return failure;
    }
    return sync_directory(parent_of(path));
}

Status write_all(int fd, std::string_view text) {
    while (!text.empty()) {
        const ssize_t count = ::write(fd, text.data(), text.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return io_error("cannot write");
        text = text.substr(static_cast<size_t>(count));
    }
    return success();
}

Status sync_directory(const std::string& path) {
    const UniqueFd fd{::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!fd) return file_error("cannot open", path);
    if (::fsync(fd.get()) != 0) return file_error("cannot sync", path);
    return success();
}

Error io_error(const std::string& what, int code) {
    return error(ErrorKind::io, what + ": " + std::strerror(code));
}

}  // namespace dbrestore::base
