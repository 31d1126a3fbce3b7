#pragma once
// What pg_dump writes at the head of a dump, and in its table of contents (pg_backup_archiver.c, archive
// versions 1.10 to 1.16). Only what pg_restore does not tell is read here; a layout that is not known is
// refused.

#include <functional>
#include <optional>
#include <string>

#include "backups/byte_source.h"
#include "backups/failure.h"

namespace dbrestore::backups {

// The version of the server that was dumped, as it is at the head of a dump in custom format, or of the
// toc.dat of another: "15.18". Empty where there is none.
std::string server_version_of(ByteSource& dump);

// Whether pg_restore, given a dump in directory format, would read files of that folder only: it opens
// whatever toc.dat and the lists of large objects name. Failures: UnsafeArchive; BackupDamaged.
std::optional<Failure> check_file_names(int folder_fd);

// The same of a toc.dat alone: each file that it names. Errors: those of `toc`; invalid.
base::Status for_each_file_name(ByteSource& toc, const std::function<base::Status(const std::string&)>& take);

}  // namespace dbrestore::backups
