#pragma once
// A download that survives what happens to downloads: it goes on where the connection broke, and ends only
// when all of the one object has come.

#include <memory>
#include <optional>
#include <string>

#include "backups/byte_source.h"
#include "backups/http_exchange.h"
#include "resources/store.h"

namespace dbrestore::backups {

class HttpSource final : public ByteSource {
public:
    // `identity`: empty, or what the object must still be. Follows redirects; headers and signature go to no
    // other server. Errors: as HttpExchange, and not_found, refused, conflict (another identity),
    // unavailable, by status.
    static base::Result<std::unique_ptr<HttpSource>> open(HttpRequest request, const std::string& identity);
    ~HttpSource() override;

    // What the server said of it; without a name.
    const resources::Backup& facts() const { return facts_; }
    // Errors besides those of open(): invalid where the content does not have the checksum that the server
    // named.
    base::Result<size_t> read(char* buffer, size_t size) override;

private:
    class Checksum;
    explicit HttpSource(HttpRequest request);

    base::Status send();
    base::Status accept_first();
    base::Status accept_rest();
    base::Result<size_t> read_once(char* buffer, size_t size);

    HttpRequest request_;
    std::unique_ptr<HttpExchange> exchange_;
    resources::Backup facts_;
    std::optional<int64_t> total_bytes_;
    std::string etag_, last_modified_, identity_;
    std::unique_ptr<Checksum> checksum_;
    int64_t offset_bytes_ = 0, to_skip_bytes_ = 0;
};

// One answer that is small: a listing, an error. Errors: as HttpSource::open; invalid where it is larger than
// max_bytes.
base::Result<std::string> fetch_text(const HttpRequest& request, size_t max_bytes);

}  // namespace dbrestore::backups
