#include "support/fake_http.h"

#include <utility>

namespace dbrestore::test {

using base::ErrorKind;
using base::Result;
using kube::OpenedStream;
using kube::Request;
using kube::Response;

namespace {

base::Error scripted(ErrorKind kind) {
    return base::error(kind, "the script says so");
}

class ScriptedStream final : public kube::Stream {
public:
    ScriptedStream(std::vector<std::string> pieces, std::optional<ErrorKind> end)
        : pieces_(std::move(pieces)), end_(end) {}

    Result<std::optional<std::string>> read() override {
        if (next_ < pieces_.size()) return std::optional(pieces_[next_++]);
        if (end_) return scripted(*end_);
        return std::optional<std::string>();
    }

private:
    std::vector<std::string> pieces_;
    std::optional<ErrorKind> end_;
    size_t next_ = 0;
};

}  // namespace

FakeHttp& FakeHttp::respond(int status, std::string body, int retry_after_seconds) {
    script_.emplace_back(Response{status, retry_after_seconds, std::move(body)});
    return *this;
}

FakeHttp& FakeHttp::fail(ErrorKind kind) {
    script_.emplace_back(kind);
    return *this;
}

FakeHttp& FakeHttp::stream(std::vector<std::string> pieces, std::optional<ErrorKind> end) {
    script_.emplace_back(StreamScript{std::move(pieces), end});
    return *this;
}

FakeHttp::Answer FakeHttp::next(const Request& request) {
    const std::lock_guard lock(mutex_);
    requests.push_back(request);
    if (script_.empty()) return ErrorKind::failed;
    Answer answer = std::move(script_.front());
    script_.pop_front();
    return answer;
}

Result<Response> FakeHttp::send(const Request& request, std::stop_token) {
    Answer answer = next(request);
    if (auto* response = std::get_if<Response>(&answer)) return std::move(*response);
    if (auto* kind = std::get_if<ErrorKind>(&answer)) return scripted(*kind);
    return base::error(ErrorKind::failed, "the script has a stream where a request came");
}

Result<OpenedStream> FakeHttp::open(const Request& request, std::stop_token) {
    Answer answer = next(request);
    if (auto* response = std::get_if<Response>(&answer)) return OpenedStream{std::move(*response), nullptr};
    if (auto* kind = std::get_if<ErrorKind>(&answer)) return scripted(*kind);
    auto& script = std::get<StreamScript>(answer);
    return OpenedStream{Response{200, 0, {}},
                        std::make_unique<ScriptedStream>(std::move(script.pieces), script.end)};
}

std::string FakeHttp::header(size_t index, const std::string& name) const {
    if (index >= requests.size()) return "(no such request)";
    for (const auto& [key, value] : requests[index].headers)
        if (key == name) return value;
    return "(none)";
}

}  // namespace dbrestore::test
