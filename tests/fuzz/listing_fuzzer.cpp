// What an S3 service says lies in a bucket.

#include "backups/s3.h"
#include "fuzz/properties.h"

namespace dbrestore::fuzz {
namespace {

void check(const std::string& input) {
    const resources::S3Location location{"https://s3.example.com", "shop", "nightly", "", "", ""};
    auto page = backups::s3_page(location, input);
    if (!page) return;
    resources::sort_newest_first(page->backups);
    for (const auto& backup : page->backups) {
        require(!backup.name.empty() && !backup.name.ends_with('/'), "a backup has a name", backup.name);
        const std::string url = backups::s3_object_url(location, backup.name);
        require(url.starts_with("https://s3.example.com/shop/nightly/"), "it lies in the bucket", url);
        require(url.find_first_of(" ?#\r\n") == std::string::npos, "its name stays in the path", url);
    }
    require(backups::s3_list_url(location, page->continuation).find_first_of(" \r\n") == std::string::npos,
            "what follows can be asked for");
}

}  // namespace
}  // namespace dbrestore::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    dbrestore::fuzz::check(std::string(dbrestore::fuzz::text_of(data, size)));
    return 0;
}
