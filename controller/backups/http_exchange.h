#pragma once
// One HTTP request and its answer, by libcurl; nothing outside this file's source knows it.

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace dbrestore::backups {

// Signature version 4 of Amazon's services, computed by libcurl.
struct Signature {
    std::string access_key, secret_key, session_token, region;
};

struct HttpLimits {
    std::chrono::milliseconds connect{30000};
    // A server that sends nothing for so long has stalled; the same for less than min_bytes in such a time.
    std::chrono::milliseconds stall{60000};
    int64_t min_bytes = 60 << 10;
    int attempts = 5;                       // in a row without a single byte
    std::chrono::milliseconds pause{1000};  // before the second, doubled before each further one
};

struct HttpRequest {
    std::string url;
    std::vector<std::string> headers;    // "Name: value"; secrets
    std::optional<Signature> signature;  // secrets
    std::string ca_file;                 // empty: libcurl's own
    HttpLimits limits;
};

class HttpExchange {
public:
    // Sends the request and waits for the answer's head. Redirects are not followed. Errors, none of which
    // holds the query of the URL or a header: unavailable (no host, no connection, no answer in time);
    // refused (the certificate).
    static base::Result<std::unique_ptr<HttpExchange>> start(
        const HttpRequest& request, const std::vector<std::string>& more_headers = {});
    ~HttpExchange();
    HttpExchange(const HttpExchange&) = delete;
    HttpExchange& operator=(const HttpExchange&) = delete;

    long status() const;
    std::string header(const std::string& lower_case_name) const;  // empty where there is none
    std::string redirect_url() const;                              // empty where there is none
    // Of what is left to be sent, as the answer says.
    std::optional<int64_t> length_bytes() const;

    // As ByteSource::read; a body shorter than the answer said is unavailable.
    base::Result<size_t> read(char* buffer, size_t size);

private:
    struct Handles;
    explicit HttpExchange(std::unique_ptr<Handles> handles);

    std::unique_ptr<Handles> handles_;
};

// Scheme, host, port and path: what of a URL may be shown. A query may be a secret.
std::string shown_url(const std::string& url);

// "scheme://host:port", with the scheme's own port where the URL names none. Whoever differs in it is another
// server.
std::string origin_of(const std::string& url);

}  // namespace dbrestore::backups
