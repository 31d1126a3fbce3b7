#pragma once
// Archives and compressed files for tests, good ones and hostile ones.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "backups/byte_source.h"

namespace dbrestore::test {

enum class MemberKind { file, folder, symbolic_link, hard_link, fifo, device, sparse_file };

struct ArchiveMember {
    std::string name, content;
    MemberKind kind = MemberKind::file;
    std::pair<int, int> owner{0, 0};  // user, group
};

std::string tar_of(const std::vector<ArchiveMember>& members);

// `filter`: gzip, xz, zstd or lz4.
std::string compressed(const std::string& text, const std::string& filter);

// As pg_dump begins a file in that format (1: custom, 3: tar, 5: directory), with `size` bytes behind it.
std::string dump_like(char format, size_t size = 3000);

// As pg_dump -Ft writes it.
std::string tar_dump_like();

// A stream of this text, in pieces of at most piece_bytes.
class TextSource final : public backups::ByteSource {
public:
    explicit TextSource(std::string text, size_t piece_bytes = 1000)
        : text_(std::move(text)), piece_bytes_(piece_bytes) {}
    base::Result<size_t> read(char* buffer, size_t size) override;

private:
    std::string text_;
    size_t piece_bytes_, at_ = 0;
};

}  // namespace dbrestore::test
