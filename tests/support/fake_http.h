#pragma once
// An API server that is a script: answers in the order in which they were written down, and a record of what
// was asked.

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "kube/transport.h"

namespace dbrestore::test {

class FakeHttp final : public kube::Http {
public:
    FakeHttp& respond(int status, std::string body = {}, int retry_after_seconds = 0);
    FakeHttp& fail(base::ErrorKind kind);  // no answer
    // A 200 whose body comes in these pieces; it ends in good order, or with the error.
    FakeHttp& stream(std::vector<std::string> pieces, std::optional<base::ErrorKind> end = std::nullopt);

    base::Result<kube::Response> send(const kube::Request& request, std::stop_token stop = {}) override;
    base::Result<kube::OpenedStream> open(const kube::Request& request, std::stop_token stop = {}) override;

    std::vector<kube::Request> requests;  // read it when nobody sends
    std::string target(size_t index) const {
        return index < requests.size() ? requests[index].target : "(none)";
    }
    std::string header(size_t index, const std::string& name) const;
    bool script_is_over() const { return script_.empty(); }

private:
    struct StreamScript {
        std::vector<std::string> pieces;
        std::optional<base::ErrorKind> end;
    };
    using Answer = std::variant<kube::Response, base::ErrorKind, StreamScript>;

    Answer next(const kube::Request& request);

    std::mutex mutex_;
    std::deque<Answer> script_;
};

}  // namespace dbrestore::test
