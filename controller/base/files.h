#pragma once
// Files, as far as more than one folder needs them.

#include <cerrno>
#include <string>
#include <string_view>

#include "base/result.h"

namespace dbrestore::base {

// The whole file. Errors: not_found; io; invalid where it is larger than max_bytes.
Result<std::string> read_file(const std::string& path, size_t max_bytes = 16u << 20);

// Replaces the file so that after a crash at any point it holds the old or the new text, whole: temporary
// file, fsync, rename, fsync of the folder. Mode 0600. Errors: io.
Status write_file_durably(const std::string& path, const std::string& text);

// All of it. Errors: io.
Status write_all(int fd, std::string_view text);

// Makes a rename or an unlink in this folder last through a power cut. Errors: io.
Status sync_directory(const std::string& path);

// An error of kind io: what failed, and why as errno says it.
Error io_error(const std::string& what, int code = errno);

}  // namespace dbrestore::base
