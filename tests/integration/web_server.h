#pragma once
// nginx, a real HTTP server, on the loopback. It serves a folder to whoever sends the right header.

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace dbrestore::tests {

class WebServer {
public:
    static constexpr const char* header = "X-Api-Key";
    static constexpr const char* key = "the-key-of-the-web-server";

    // Its own files lie in `folder`. Without ranges it sends all or nothing. Fails the test where it does not
    // start.
    WebServer(const std::string& folder, const std::string& served, bool with_ranges);
    ~WebServer();
    WebServer(const WebServer&) = delete;
    WebServer& operator=(const WebServer&) = delete;

    std::string url() const;  // http://127.0.0.1:PORT/backups

private:
    int64_t port_;
    pid_t pid_ = -1;
};

}  // namespace dbrestore::tests
