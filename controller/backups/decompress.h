#pragma once
// gzip, xz, zstd and lz4, each checked to its own checksum at the end.

#include <memory>

#include "backups/byte_source.h"
#include "backups/dump_format.h"

namespace dbrestore::backups {

// What comes out of `packed`, which must outlive it and is read to its end. Errors: those of `packed`;
// invalid where it is damaged or ends too early.
std::unique_ptr<ByteSource> decompressed(ByteSource& packed, Compression compression);

}  // namespace dbrestore::backups
