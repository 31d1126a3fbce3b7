#include "kube/cache.h"

#include <charconv>

namespace dbrestore::kube {

std::optional<uint64_t> parse_resource_version(std::string_view text) {
    uint64_t number = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return number;
}

}  // namespace dbrestore::kube
