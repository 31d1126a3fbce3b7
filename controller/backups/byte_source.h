#pragma once
// A stream of bytes that is pulled: a file, a download, what comes out of a decompressor, a member of an
// archive.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace dbrestore::backups {

class ByteSource {
public:
    ByteSource() = default;
    ByteSource(const ByteSource&) = delete;
    ByteSource& operator=(const ByteSource&) = delete;
    virtual ~ByteSource() = default;

    // At most `size` bytes (more than 0) into `buffer`. 0 is the end, and says that all of it was there and
    // right, as far as the source can tell. Errors: those of failure.h; after one the source is of no more
    // use.
    virtual base::Result<size_t> read(char* buffer, size_t size) = 0;
};

// The same bytes, the first of which can be looked at before they are read.
class PeekedSource final : public ByteSource {
public:
    explicit PeekedSource(ByteSource& inner) : inner_(inner) {}

    // The first `size` bytes of what was not read yet; fewer only where the source ends before.
    base::Result<std::string_view> peek(size_t size);
    base::Result<size_t> read(char* buffer, size_t size) override;

private:
    ByteSource& inner_;
    std::string head_;
};

inline constexpr size_t block_bytes = 256 << 10;

// Reads to the end, and hands each piece to `on_bytes`, whose error ends it.
template <typename OnBytes>
base::Status pump(ByteSource& source, const OnBytes& on_bytes) {
    std::string buffer(block_bytes, '\0');
    while (true) {
        const auto count = source.read(buffer.data(), buffer.size());
        if (!count) return count.error();
        if (*count == 0) return base::success();
        if (auto taken = on_bytes(std::string_view(buffer.data(), *count)); !taken) return taken;
    }
}

// Reads to the end for its own sake: only then is known whether all of it was there and right.
base::Status drain(ByteSource& source);

}  // namespace dbrestore::backups
