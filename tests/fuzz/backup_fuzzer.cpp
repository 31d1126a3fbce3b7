// A backup: compression, tar archive, dump. What comes out of whatever bytes has a name of ours and a bound.

#include <set>

#include "backups/unpack.h"
#include "fuzz/properties.h"
#include "support/archives.h"

namespace dbrestore::fuzz {
namespace {

constexpr int64_t max_bytes = 1 << 20;

void check(std::string_view input) {
    // The first byte says in how large pieces the rest comes.
    const size_t piece_bytes = input.empty() ? 1 : static_cast<unsigned char>(input[0]) + size_t{1};
    test::TextSource source(std::string(input.substr(std::min<size_t>(1, input.size()))), piece_bytes);
    int64_t bytes = 0;
    std::set<std::string> names;
    const auto failure = backups::unpack(
        source, {max_bytes},
        [&](backups::DumpFormat format, const std::string& name,
            backups::ByteSource& content) -> std::optional<backups::Failure> {
            require(names.insert(name).second, "no file comes twice", name);
            if (format == backups::DumpFormat::directory)
                require(backups::is_directory_member(name), "a file has a name that pg_dump gives", name);
            else
                require(name == backups::single_name && names.size() == 1, "one file has our own name", name);
            const auto read = backups::pump(content, [&](std::string_view piece) {
                bytes += static_cast<int64_t>(piece.size());
                return base::success();
            });
            require(bytes <= max_bytes, "no more comes out than there is space for");
            return read ? std::nullopt : std::optional(backups::to_failure(read.error()));
        });
    if (failure) require(!failure->reason.empty() && !failure->message.empty(), "a failure says what it is");
    if (!failure) require(!names.empty(), "success is a dump");
}

}  // namespace
}  // namespace dbrestore::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    dbrestore::fuzz::check(dbrestore::fuzz::text_of(data, size));
    return 0;
}
