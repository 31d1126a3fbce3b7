#pragma once
// What all requests of one user share: the bearer token, the User-Agent, and that they are counted.

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "kube/backoff.h"
#include "kube/config.h"
#include "kube/transport.h"

namespace dbrestore::kube {

// Called once per exchange, on any thread; code 0: no answer came. Of a stream the seconds are those to the
// status line.
using RequestObserver = std::function<void(const std::string& method, int code, double seconds)>;

// A token, or the file that holds one and in which the kubelet replaces it. Safe from any thread.
class TokenSource {
public:
    explicit TokenSource(const Config& config, MonotonicNow now = std::chrono::steady_clock::now);

    // Empty: none is configured. The file is read again once a minute; while it cannot be read the last token
    // stays.
    std::string token();
    // The server refused this token (401). True where another one is to be had now.
    bool replace(const std::string& refused_token);

private:
    void read_again();

    std::mutex mutex_;
    const std::string file_;
    MonotonicNow now_;
    std::string token_;
    std::chrono::steady_clock::time_point read_time_;
};

// Sends each request with the current token. A 401 is answered once by reading the token again and, if it
// changed, repeating the request; nothing else is repeated.
class Session final : public Http {
public:
    Session(std::unique_ptr<Http> transport, const Config& config, RequestObserver observer = {},
            MonotonicNow now = std::chrono::steady_clock::now);

    base::Result<Response> send(const Request& request, std::stop_token stop = {}) override;
    base::Result<OpenedStream> open(const Request& request, std::stop_token stop = {}) override;

private:
    Request with_token(const Request& request, const std::string& token) const;
    void observe(const Request& request, int code, std::chrono::steady_clock::time_point start) const;

    std::unique_ptr<Http> transport_;
    TokenSource tokens_;
    RequestObserver observer_;
    MonotonicNow now_;
};

// make_transport inside a Session: what programs use. Errors: those of make_transport.
base::Result<std::unique_ptr<Http>> connect(const Config& config, RequestObserver observer = {});

}  // namespace dbrestore::kube
