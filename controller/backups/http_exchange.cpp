#include "backups/http_exchange.h"

#include <curl/curl.h>

#include <algorithm>
#include <string_view>

#include "base/text.h"

namespace dbrestore::backups {

namespace {

using base::error;
using base::ErrorKind;
using SteadyClock = std::chrono::steady_clock;

// What may wait in memory: libcurl goes on receiving while nobody reads.
constexpr size_t max_waiting_bytes = 1 << 20;
constexpr long receive_bytes = 256 << 10;
constexpr size_t max_header_bytes = 64 << 10;

struct UrlCloser {
    void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using Url = std::unique_ptr<CURLU, UrlCloser>;

std::string part_of(const Url& url, CURLUPart part, unsigned flags = 0) {
    char* text = nullptr;
    if (url == nullptr || curl_url_get(url.get(), part, &text, flags) != CURLUE_OK) return {};
    std::string copy(text);
    curl_free(text);
    return copy;
}

Url parsed(const std::string& text) {
    Url url(curl_url());
    if (url == nullptr || curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK)
        return nullptr;
    return url;
}

// libcurl's own texts name the host at most.
base::Error failure_of(CURLcode code, const char* detail, const std::string& url) {
    const std::string what =
        shown_url(url) + ": " + base::one_line(*detail == '\0' ? curl_easy_strerror(code) : detail, 300);
    switch (code) {
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_CACERT_BADFILE:
            return error(ErrorKind::refused, "the server's certificate is not trusted: " + what,
                         "the store's `caSecretRef` must name a Secret whose ca.crt holds its authority");
        case CURLE_URL_MALFORMAT:
        case CURLE_UNSUPPORTED_PROTOCOL:
            return error(ErrorKind::refused, what, "the URL must be one of http or https");
        case CURLE_OUT_OF_MEMORY:
            return error(ErrorKind::io, what);
        default:
            return error(ErrorKind::unavailable, what);
    }
}

}  // namespace

struct HttpExchange::Handles {
    struct EasyCloser {
        void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
    };
    struct MultiCloser {
        void operator()(CURLM* handle) const { curl_multi_cleanup(handle); }
    };
    struct ListCloser {
        void operator()(curl_slist* list) const { curl_slist_free_all(list); }
    };

    std::unique_ptr<CURL, EasyCloser> easy{curl_easy_init()};
    std::unique_ptr<CURLM, MultiCloser> multi{curl_multi_init()};
    std::unique_ptr<curl_slist, ListCloser> headers;
    std::string url;
    HttpLimits limits;
    char detail[CURL_ERROR_SIZE] = {};

    std::string body;  // what was received
    size_t taken = 0;  // of it
    bool paused = false, head_is_complete = false, ended = false;
    CURLcode end = CURLE_OK;
    std::map<std::string, std::string> answer_headers;
    size_t header_bytes = 0;

    SteadyClock::duration waited{};  // since the last min_bytes
    int64_t bytes_while_waiting = 0;

    ~Handles() {
        if (easy != nullptr && multi != nullptr) curl_multi_remove_handle(multi.get(), easy.get());
    }

    static size_t on_body(char* data, size_t, size_t size, void* self) {
        auto& handles = *static_cast<Handles*>(self);
        handles.head_is_complete = true;
        if (handles.body.size() - handles.taken >= max_waiting_bytes) {
            handles.paused = true;
            return CURL_WRITEFUNC_PAUSE;
        }
        handles.body.append(data, size);
        handles.bytes_while_waiting += static_cast<int64_t>(size);
        return size;
    }

    static size_t on_header(char* data, size_t, size_t size, void* self) {
        auto& handles = *static_cast<Handles*>(self);
        const std::string_view line = {data, size};
        handles.header_bytes += size;
        if (handles.header_bytes > max_header_bytes) return 0;
        if (line.starts_with("HTTP/")) handles.answer_headers.clear();
        if (line == "\r\n" || line == "\n") {
            long status = 0;
            curl_easy_getinfo(handles.easy.get(), CURLINFO_RESPONSE_CODE, &status);
            handles.head_is_complete = status >= 200;
        } else if (const size_t colon = line.find(':'); colon != std::string_view::npos) {
            std::string name(line.substr(0, colon));
            for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
            handles.answer_headers[name] = base::trimmed(line.substr(colon + 1));
        }
        return size;
    }

    void add_header(const std::string& line) {
        curl_slist* longer = curl_slist_append(headers.get(), line.c_str());
        (void)headers.release();
        headers.reset(longer);
    }
    void set_up(const HttpRequest& request, const std::vector<std::string>& more_headers);
    base::Status wait_once();
    // Until there is a body, or with `head_only` the answer's head.
    base::Status advance(bool head_only);
};

void HttpExchange::Handles::set_up(const HttpRequest& request, const std::vector<std::string>& more_headers) {
    url = request.url;
    limits = request.limits;
    CURL* const e = easy.get();
    for (const auto& line : request.headers) add_header(line);
    for (const auto& line : more_headers) add_header(line);
    curl_easy_setopt(e, CURLOPT_URL, url.c_str());
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    curl_easy_setopt(e, CURLOPT_USERAGENT, "dbrestore");
    curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);  // else the signature is one of another path
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(e, CURLOPT_BUFFERSIZE, receive_bytes);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(limits.connect.count()));
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, detail);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, &Handles::on_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, this);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, &Handles::on_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, this);
    if (!request.ca_file.empty()) curl_easy_setopt(e, CURLOPT_CAINFO, request.ca_file.c_str());
    if (request.signature) {
        const auto& signature = *request.signature;
        curl_easy_setopt(e, CURLOPT_AWS_SIGV4, ("aws:amz:" + signature.region + ":s3").c_str());
        curl_easy_setopt(e, CURLOPT_USERNAME, signature.access_key.c_str());
        curl_easy_setopt(e, CURLOPT_PASSWORD, signature.secret_key.c_str());
        if (!signature.session_token.empty()) add_header("x-amz-security-token: " + signature.session_token);
    }
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, headers.get());
    curl_multi_add_handle(multi.get(), e);
}

// A server that stalls or trickles is told by the time that we wait for it, not by the time that we take
// ourselves.
base::Status HttpExchange::Handles::wait_once() {
    const auto begin = SteadyClock::now();
    curl_multi_poll(multi.get(), nullptr, 0, 500, nullptr);
    waited += SteadyClock::now() - begin;
    if (bytes_while_waiting >= limits.min_bytes) {
        waited = {};
        bytes_while_waiting = 0;
    }
    if (waited < limits.stall) return base::success();
    return error(ErrorKind::unavailable,
                 shown_url(url) + ": the server sent only " + std::to_string(bytes_while_waiting) +
                     " bytes in " +
                     std::to_string(std::chrono::duration_cast<std::chrono::seconds>(waited).count()) + " s");
}

base::Status HttpExchange::Handles::advance(bool head_only) {
    while (!ended && (head_only ? !head_is_complete : taken == body.size())) {
        int running = 0;
        if (paused) {
            paused = false;
            curl_easy_pause(easy.get(), CURLPAUSE_CONT);
        }
        curl_multi_perform(multi.get(), &running);
        int left = 0;
        while (const CURLMsg* message = curl_multi_info_read(multi.get(), &left)) {
            ended = ended || message->msg == CURLMSG_DONE;
            if (message->msg == CURLMSG_DONE) end = message->data.result;
        }
        if (!ended && (head_only ? !head_is_complete : taken == body.size())) {
            if (auto waited_well = wait_once(); !waited_well) return waited_well;
        }
    }
    // What came before the connection broke is good.
    const bool nothing_left = taken == body.size();
    if (ended && end != CURLE_OK && nothing_left) return failure_of(end, detail, url);
    return base::success();
}

HttpExchange::HttpExchange(std::unique_ptr<Handles> handles) : handles_(std::move(handles)) {}
HttpExchange::~HttpExchange() = default;

base::Result<std::unique_ptr<HttpExchange>> HttpExchange::start(
    const HttpRequest& request, const std::vector<std::string>& more_headers) {
    static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
    auto handles = std::make_unique<Handles>();
    if (ready != CURLE_OK || handles->easy == nullptr || handles->multi == nullptr)
        return error(ErrorKind::io, "libcurl cannot be started");
    handles->set_up(request, more_headers);
    if (auto head = handles->advance(true); !head) return head.error();
    return std::unique_ptr<HttpExchange>(new HttpExchange(std::move(handles)));
}

long HttpExchange::status() const {
    long status = 0;
    curl_easy_getinfo(handles_->easy.get(), CURLINFO_RESPONSE_CODE, &status);
    return status;
}

std::string HttpExchange::header(const std::string& lower_case_name) const {
    const auto at = handles_->answer_headers.find(lower_case_name);
    return at == handles_->answer_headers.end() ? "" : at->second;
}

std::string HttpExchange::redirect_url() const {
    const std::string location = header("location");
    const Url url = parsed(handles_->url);
    // Relative ones are resolved against the URL they answer.
    if (location.empty() || url == nullptr ||
        curl_url_set(url.get(), CURLUPART_URL, location.c_str(), 0) != CURLUE_OK)
        return {};
    return part_of(url, CURLUPART_URL);
}

std::optional<int64_t> HttpExchange::length_bytes() const {
    curl_off_t length = -1;
    curl_easy_getinfo(handles_->easy.get(), CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (length < 0) return std::nullopt;
    return length;
}

base::Result<size_t> HttpExchange::read(char* buffer, size_t size) {
    auto& h = *handles_;
    if (auto more = h.advance(false); !more) return more.error();
    const size_t count = std::min(size, h.body.size() - h.taken);
    h.body.copy(buffer, count, h.taken);
    h.taken += count;
    if (h.taken == h.body.size()) {
        h.body.clear();
        h.taken = 0;
    }
    return count;
}

std::string shown_url(const std::string& text) {
    const Url url = parsed(text);
    if (url == nullptr) return "(a URL that cannot be read)";
    curl_url_set(url.get(), CURLUPART_USER, nullptr, 0);
    curl_url_set(url.get(), CURLUPART_PASSWORD, nullptr, 0);
    curl_url_set(url.get(), CURLUPART_QUERY, nullptr, 0);
    curl_url_set(url.get(), CURLUPART_FRAGMENT, nullptr, 0);
    return base::one_line(part_of(url, CURLUPART_URL), 300);
}

std::string origin_of(const std::string& text) {
    const Url url = parsed(text);
    return part_of(url, CURLUPART_SCHEME) + "://" + part_of(url, CURLUPART_HOST) + ":" +
           part_of(url, CURLUPART_PORT, CURLU_DEFAULT_PORT);
}

}  // namespace dbrestore::backups
