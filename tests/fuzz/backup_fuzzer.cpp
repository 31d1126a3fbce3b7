// A backup: compression, tar archive, dump, and the dump's own head and table of contents. What comes out of
// whatever bytes has a name of ours and a bound.

#include <cctype>
#include <set>

#include "backups/describe.h"
#include "backups/dump_contents.h"
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

// The same bytes as the head of a backup, and as a table of contents.
void check_head(std::string_view input) {
    const std::string bytes(input.substr(std::min<size_t>(1, input.size())));
    resources::Backup facts;
    test::TextSource head(bytes);
    backups::describe(head, facts);
    const std::set<std::string> formats{"", "custom", "tar", "directory", "plain"};
    require(formats.contains(facts.format), "a format has a name of pg_dump's", facts.format);
    require(facts.server_version.size() <= 20, "a version is short", facts.server_version);
    for (const char c : facts.server_version)
        require(std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.', "a version can be shown",
                facts.server_version);
    test::TextSource toc(bytes, 3);
    const auto read = backups::for_each_file_name(toc, [](const std::string& name) {
        require(!name.empty(), "a file that is named has a name");
        return base::success();
    });
    if (!read) require(!read.error().message.empty(), "what cannot be read says so");
}

}  // namespace
}  // namespace dbrestore::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    dbrestore::fuzz::check(dbrestore::fuzz::text_of(data, size));
    dbrestore::fuzz::check_head(dbrestore::fuzz::text_of(data, size));
    return 0;
}
