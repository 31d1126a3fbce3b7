#include "backups/decompress.h"

#include <archive.h>
#include <archive_entry.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "backups/archive_input.h"
#include "base/text.h"

namespace dbrestore::backups {

namespace {

using base::error;
using base::ErrorKind;

// libarchive's own gzip filter looks at no checksum.
class Gzip final : public ByteSource {
public:
    explicit Gzip(ByteSource& packed) : packed_(packed) {
        constexpr int with_gzip_head = 16 + MAX_WBITS;
        ready_ = ::inflateInit2(&stream_, with_gzip_head) == Z_OK;
    }
    ~Gzip() override { ::inflateEnd(&stream_); }

    base::Result<size_t> read(char* buffer, size_t size) override {
        if (!ready_) return error(ErrorKind::io, "zlib cannot be started");
        stream_.next_out = reinterpret_cast<Bytef*>(buffer);
        stream_.avail_out = static_cast<uInt>(std::min<size_t>(size, 1 << 30));
        const uInt wanted = stream_.avail_out;
        while (stream_.avail_out == wanted) {
            if (stream_.avail_in == 0) {
                if (auto more = refill(); !more) return more.error();
            }
            if (stream_.avail_in == 0) {
                if (between_members_) return size_t{0};
                return error(ErrorKind::invalid, "the gzip data ends too early");
            }
            if (between_members_ && !begin_member()) return size_t{0};
            const int code = ::inflate(&stream_, Z_NO_FLUSH);
            if (code == Z_STREAM_END) between_members_ = true;
            if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
                return error(ErrorKind::invalid,
                             std::string("the gzip data is damaged: ") +
                                 (stream_.msg != nullptr ? stream_.msg : "it needs a dictionary"));
        }
        return size_t{wanted - stream_.avail_out};
    }

private:
    base::Status refill() {
        const auto count = packed_.read(input_.data(), input_.size());
        if (!count) return count.error();
        stream_.next_in = reinterpret_cast<Bytef*>(input_.data());
        stream_.avail_in = static_cast<uInt>(*count);
        return base::success();
    }

    // Members may follow each other; what else follows is padding, which gzip itself ignores. False: nothing
    // follows that counts, and the rest of the input is read, for its own checks.
    bool begin_member() {
        if (*stream_.next_in == 0x1f) {
            ::inflateReset(&stream_);
            between_members_ = false;
            return true;
        }
        stream_.avail_in = 0;
        return false;
    }

    ByteSource& packed_;
    z_stream stream_{};
    std::string input_ = std::string(block_bytes, '\0');
    bool ready_ = false, between_members_ = false;
};

class Filtered final : public ByteSource {
public:
    Filtered(ByteSource& packed, Compression compression) : input_(packed) {
        if (compression == Compression::xz) archive_read_support_filter_xz(input_.get());
        if (compression == Compression::lz4) archive_read_support_filter_lz4(input_.get());
        if (compression == Compression::zstd) archive_read_support_filter_zstd(input_.get());
        archive_read_support_format_raw(input_.get());
        archive_read_support_format_empty(input_.get());
    }

    base::Result<size_t> read(char* buffer, size_t size) override {
        if (!begun_) {
            archive_entry* entry = nullptr;
            if (auto opened = input_.open(); !opened) return opened.error();
            const int code = archive_read_next_header(input_.get(), &entry);
            if (code == ARCHIVE_EOF) return end();
            if (code != ARCHIVE_OK) return input_.failure("the compressed data is damaged");
            begun_ = true;
        }
        const la_ssize_t count = archive_read_data(input_.get(), buffer, size);
        if (count < 0) return input_.failure("the compressed data is damaged or ends too early");
        if (count == 0) return end();
        return static_cast<size_t>(count);
    }

private:
    base::Result<size_t> end() const {
        if (auto whole = input_.whole(); !whole) return whole.error();
        return size_t{0};
    }

    ArchiveInput input_;
    bool begun_ = false;
};

}  // namespace

std::unique_ptr<ByteSource> decompressed(ByteSource& packed, Compression compression) {
    if (compression == Compression::gzip) return std::make_unique<Gzip>(packed);
    return std::make_unique<Filtered>(packed, compression);
}

}  // namespace dbrestore::backups
