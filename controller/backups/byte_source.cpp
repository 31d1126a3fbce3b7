#include "backups/byte_source.h"

#include <algorithm>
#include <cstring>

namespace dbrestore::backups {

base::Result<std::string_view> PeekedSource::peek(size_t size) {
    while (head_.size() < size) {
        const size_t had = head_.size();
        head_.resize(size);
        const auto count = inner_.read(head_.data() + had, size - had);
        head_.resize(had + (count ? *count : 0));
        if (!count) return count.error();
        if (*count == 0) break;
    }
    return std::string_view(head_).substr(0, size);
}

base::Result<size_t> PeekedSource::read(char* buffer, size_t size) {
    if (head_.empty()) return inner_.read(buffer, size);
    const size_t count = std::min(size, head_.size());
    std::memcpy(buffer, head_.data(), count);
    head_.erase(0, count);
    return count;
}

base::Status drain(ByteSource& source) {
    return pump(source, [](std::string_view) { return base::success(); });
}

}  // namespace dbrestore::backups
