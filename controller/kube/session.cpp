#include "kube/session.h"

#include <utility>

#include "base/files.h"
#include "base/log.h"

namespace dbrestore::kube {

using base::Result;
using std::chrono::steady_clock;

namespace {

constexpr auto kTokenAge = std::chrono::minutes(1);
constexpr size_t kLargestTokenBytes = 64u << 10;

std::string trimmed(std::string text) {
    const size_t first = text.find_first_not_of(" \t\r\n");
    if (first == std::string::npos) return {};
    return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

}  // namespace

TokenSource::TokenSource(const Config& config, MonotonicNow now)
    : file_(config.token_file), now_(std::move(now)), token_(config.token) {
    if (!file_.empty()) read_again();
}

std::string TokenSource::token() {
    const std::lock_guard lock(mutex_);
    if (!file_.empty() && now_() - read_time_ >= kTokenAge) read_again();
    return token_;
}

bool TokenSource::replace(const std::string& refused_token) {
    const std::lock_guard lock(mutex_);
    if (token_ == refused_token && !file_.empty()) read_again();  // else another thread was faster
    return token_ != refused_token;
}

void TokenSource::read_again() {
    read_time_ = now_();
    auto text = base::read_file(file_, kLargestTokenBytes);
    const std::string token = text ? trimmed(std::move(*text)) : std::string();
    // A token with a line break inside would be a second header.
    if (token.empty() || token.find_first_of("\r\n") != std::string::npos) {
        const std::string cause = text ? "it holds no token" : text.error().message;
        base::log_warning("the token file cannot be read; the last token stays",
                          {{"file", file_}, {"error", cause}});
        return;
    }
    token_ = token;
}

Session::Session(std::unique_ptr<Http> transport, const Config& config, RequestObserver observer,
                 MonotonicNow now)
    : transport_(std::move(transport)),
      tokens_(config, now),
      observer_(std::move(observer)),
      now_(std::move(now)) {}

Result<Response> Session::send(const Request& request, std::stop_token stop) {
    const std::string token = tokens_.token();
    const auto start = now_();
    auto response = transport_->send(with_token(request, token), stop);
    observe(request, response ? response->status : 0, start);
    if (!response || response->status != 401 || !tokens_.replace(token)) return response;

    const auto second_start = now_();
    response = transport_->send(with_token(request, tokens_.token()), stop);
    observe(request, response ? response->status : 0, second_start);
    return response;
}

Result<OpenedStream> Session::open(const Request& request, std::stop_token stop) {
    const std::string token = tokens_.token();
    const auto start = now_();
    auto opened = transport_->open(with_token(request, token), stop);
    observe(request, opened ? opened->response.status : 0, start);
    if (!opened || opened->response.status != 401 || !tokens_.replace(token)) return opened;

    const auto second_start = now_();
    opened = transport_->open(with_token(request, tokens_.token()), stop);
    observe(request, opened ? opened->response.status : 0, second_start);
    return opened;
}

Request Session::with_token(const Request& request, const std::string& token) const {
    Request complete = request;
    complete.headers.emplace_back("User-Agent", "dbrestore");
    if (!token.empty()) complete.headers.emplace_back("Authorization", "Bearer " + token);
    return complete;
}

void Session::observe(const Request& request, int code, steady_clock::time_point start) const {
    if (observer_) observer_(request.method, code, std::chrono::duration<double>(now_() - start).count());
}

Result<std::unique_ptr<Http>> connect(const Config& config, RequestObserver observer) {
    auto transport = make_transport(config);
    if (!transport) return transport.error();
    return std::unique_ptr<Http>(
        std::make_unique<Session>(std::move(*transport), config, std::move(observer)));
}

}  // namespace dbrestore::kube
