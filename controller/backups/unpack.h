#pragma once
// From a backup as it lies in a store to the one dump in it: through compression, and out of a tar archive.
// Everything is told by content; no name of an archive's member is ever used as a path.

#include <functional>
#include <optional>
#include <string>

#include "backups/byte_source.h"
#include "backups/dump_format.h"
#include "backups/failure.h"
#include "backups/store_reader.h"

namespace dbrestore::backups {

enum class DumpFormat { custom, tar, directory, sql };
std::string to_text(DumpFormat format);  // "custom"

// A dump of one file has the name "dump"; one in directory format has pg_dump's own: toc.dat, 3012.dat.gz,
// blobs.toc.
inline constexpr const char* single_name = "dump";

// What a file of the dump is given to, in the order in which they come; reads it to its end. A failure ends
// it all.
using TakeFile =
    std::function<std::optional<Failure>(DumpFormat format, const std::string& name, ByteSource& content)>;

struct UnpackLimits {
    int64_t max_bytes = 0;  // of what comes out
};

// Reads the backup to its last byte. Failures: BackupEmpty; UnsupportedFormat (what it is instead);
// UnsafeArchive (a link, a device, a path that leaves the archive, …); SeveralDumps; BackupTooLarge (more
// than max_bytes); BackupDamaged; those of the source, and of take_file.
std::optional<Failure> unpack(ByteSource& backup, const UnpackLimits& limits, const TakeFile& take_file);

// The same of a folder that is a dump in directory format.
std::optional<Failure> unpack_folder(int folder_fd, const UnpackLimits& limits, const TakeFile& take_file);

// An absolute path, or one with "..".
bool leaves_folder(std::string_view path);

// Whether it is the name of a file that pg_dump writes into a directory.
bool is_directory_member(std::string_view name);

}  // namespace dbrestore::backups
