#pragma once
// What a backup is, as far as its first bytes tell it.

#include "backups/byte_source.h"
#include "resources/store.h"

namespace dbrestore::backups {

// As much as is worth reading: a whole block of each compression but the largest of lz4.
inline constexpr size_t describing_bytes = 256 << 10;

// Sets the backup's format and server_version; what cannot be told from what comes stays empty. Nothing that
// is wrong with it is a failure here.
void describe(ByteSource& backup, resources::Backup& facts);
// The same by the toc.dat of a dump in directory format.
void describe_directory(ByteSource& toc, resources::Backup& facts);

}  // namespace dbrestore::backups
