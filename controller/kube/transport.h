#pragma once
// The one door to the Kubernetes API: HTTP requests and streams. What lies behind it (a library, a test's
// script) is nobody's business but cpprest_transport.cpp's.

#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "kube/config.h"

namespace dbrestore::kube {

struct Request {
    std::string method;  // GET, POST, PATCH, DELETE
    std::string target;  // path and query, percent-encoded: /api/v1/pods?limit=100
    std::vector<std::pair<std::string, std::string>> headers;
    std::string body;
    std::chrono::milliseconds timeout{30'000};       // the whole exchange; of a stream: to the status line
    std::chrono::milliseconds idle_timeout{90'000};  // of a stream: longest silence before it counts as dead
    size_t max_response_bytes = 64u << 20;           // of a stream: most that may wait to be read
};

struct Response {
    int status = 0;               // whatever the server said, errors too
    int retry_after_seconds = 0;  // header Retry-After; 0: none
    std::string body;
    bool ok() const { return status >= 200 && status < 300; }
};

// The body of a response that may never end. Used by one thread.
class Stream {
public:
    // Cancels what still runs; no thread touches the stream afterwards.
    virtual ~Stream() = default;

    // Waits for the next piece of the body. No piece: the server ended it in good order. Errors: unavailable
    // where the connection broke, was silent for idle_timeout or was stopped; invalid where more than
    // max_response_bytes wait to be read.
    virtual base::Result<std::optional<std::string>> read() = 0;
};

struct OpenedStream {
    Response response;               // the whole of it where the status is not 2xx
    std::unique_ptr<Stream> stream;  // only where it is
};

// May be used by several threads at once. No exception leaves it. A stop request ends a waiting call (and a
// waiting read) within a second with the error kind unavailable. Redirects are not followed: they would carry
// the token away.
class Http {
public:
    virtual ~Http() = default;

    // Errors: unavailable where no answer came; invalid where the answer is larger than max_response_bytes.
    virtual base::Result<Response> send(const Request& request, std::stop_token stop = {}) = 0;

    // As send, until the status line; then the body as it comes. The stop token holds for the stream, too.
    virtual base::Result<OpenedStream> open(const Request& request, std::stop_token stop = {}) = 0;
};

// The real one: TLS 1.2 or newer; trusts the configuration's authorities and not the system's; presents its
// client certificate. It adds no token: see session.h. Errors: invalid where the certificates cannot be read.
base::Result<std::unique_ptr<Http>> make_transport(const Config& config);

}  // namespace dbrestore::kube
