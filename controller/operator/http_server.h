#pragma once
// A listening socket that answers GET requests on a few fixed paths. Slow and silent clients are dropped.

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/result.h"

namespace dbrestore::op {

struct HttpReply {
    int status = 200;
    std::string body;
    std::string content_type = "text/plain; charset=utf-8";
};

class HttpServer {
public:
    using Handlers = std::map<std::string, std::function<HttpReply()>>;

    // "address:port"; port 0 takes a free one. Errors: invalid address; io where it cannot listen.
    static base::Result<std::unique_ptr<HttpServer>> start(const std::string& address, Handlers handlers);
    ~HttpServer();
    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;

    int port() const;

private:
    struct Implementation;
    explicit HttpServer(std::unique_ptr<Implementation> implementation);
    std::unique_ptr<Implementation> implementation_;
};

}  // namespace dbrestore::op
