#pragma once
// libarchive reading from a ByteSource. Which formats and filters it takes is the caller's to say, before
// open().

#include <archive.h>

#include <memory>
#include <optional>
#include <string>

#include "backups/byte_source.h"
#include "base/text.h"

namespace dbrestore::backups {

class ArchiveInput {
public:
    explicit ArchiveInput(ByteSource& source) : source_(source), archive_(archive_read_new()) {}
    ArchiveInput(const ArchiveInput&) = delete;
    ArchiveInput& operator=(const ArchiveInput&) = delete;

    archive* get() { return archive_.get(); }

    base::Status open() {
        const int code = archive_read_open(archive_.get(), this, nullptr, &ArchiveInput::on_read, nullptr);
        if (code != ARCHIVE_OK) return failure("it cannot be read");
        return base::success();
    }

    // Where the source failed, libarchive may still see an end.
    base::Status whole() const {
        if (source_error_) return *source_error_;
        return base::success();
    }

    // The source's own error where it had one; else invalid, with what libarchive says.
    base::Error failure(const std::string& what) {
        if (source_error_) return *source_error_;
        const char* said = archive_error_string(archive_.get());
        return base::error(base::ErrorKind::invalid,
                           what + (said == nullptr ? "" : ": " + base::one_line(said, 200)));
    }

private:
    static la_ssize_t on_read(archive* reader, void* self, const void** bytes) {
        auto& input = *static_cast<ArchiveInput*>(self);
        const auto count = input.source_.read(input.buffer_.data(), input.buffer_.size());
        if (!count) {
            input.source_error_ = count.error();
            archive_set_error(reader, EIO, "the source failed");
            return -1;
        }
        *bytes = input.buffer_.data();
        return static_cast<la_ssize_t>(*count);
    }

    struct Closer {
        void operator()(archive* reader) const { archive_read_free(reader); }
    };
    ByteSource& source_;
    std::string buffer_ = std::string(block_bytes, '\0');
    std::optional<base::Error> source_error_;
    std::unique_ptr<archive, Closer> archive_;  // last: it may read while it is freed
};

// The member of a tar archive whose header was read last.
class MemberSource final : public ByteSource {
public:
    explicit MemberSource(ArchiveInput& input) : input_(input) {}
    base::Result<size_t> read(char* buffer, size_t size) override {
        const la_ssize_t count = archive_read_data(input_.get(), buffer, size);
        if (count < 0) return input_.failure("the tar archive is damaged or ends too early");
        if (auto whole = input_.whole(); !whole) return whole.error();
        return static_cast<size_t>(count);
    }

private:
    ArchiveInput& input_;
};

}  // namespace dbrestore::backups
