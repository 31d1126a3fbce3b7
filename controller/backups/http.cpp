#include "backups/http.h"

#include <curl/curl.h>
#include <openssl/evp.h>

#include <algorithm>
#include <thread>

#include "base/text.h"

namespace dbrestore::backups {

namespace {

using base::error;
using base::ErrorKind;

constexpr int max_redirects = 5;
constexpr size_t max_error_bytes = 64 << 10;

bool is_strong(const std::string& etag) {
    return etag.size() > 2 && etag.front() == '"';
}

// The words of an S3 service's error document: "AccessDenied: Access Denied". Empty where it is none.
std::string error_code_in(const std::string& body) {
    const auto element = [&body](const std::string& name) -> std::string {
        const size_t begin = body.find("<" + name + ">");
        if (begin == std::string::npos) return {};
        const size_t text = begin + name.size() + 2;
        const size_t end = body.find('<', text);
        return end == std::string::npos ? "" : base::one_line(body.substr(text, end - text), 200);
    };
    const std::string code = element("Code"), message = element("Message");
    return code.empty() ? "" : " (" + code + (message.empty() ? "" : ": " + message) + ")";
}

base::Result<std::string> read_all(HttpExchange& exchange, size_t max_bytes) {
    std::string text, buffer(block_bytes, '\0');
    while (true) {
        const auto count = exchange.read(buffer.data(), buffer.size());
        if (!count) return count.error();
        if (*count == 0) return text;
        text.append(buffer, 0, *count);
        if (text.size() > max_bytes)
            return error(ErrorKind::invalid, "the server's answer must be at most " +
                                                 base::human_size(static_cast<int64_t>(max_bytes)));
    }
}

base::Error error_of_status(HttpExchange& exchange, const std::string& url) {
    const long status = exchange.status();
    const auto body = read_all(exchange, max_error_bytes);
    const std::string what = shown_url(url) + ": the server answered " + std::to_string(status) +
                             (body ? error_code_in(*body) : "");
    if (status == 404 || status == 410) return error(ErrorKind::not_found, what);
    if (status == 412) return error(ErrorKind::conflict, what + ": it was replaced by another");
    if (status == 408 || status == 429 || status >= 500) return error(ErrorKind::unavailable, what);
    if (status == 401 || status == 403)
        return error(ErrorKind::refused, what,
                     "the store's Secret must hold credentials that may read it and are not expired");
    return error(ErrorKind::refused, what);
}

// Sends it, and again to where it is redirected.
base::Result<std::unique_ptr<HttpExchange>> send_along(HttpRequest request,
                                                       const std::vector<std::string>& more) {
    for (int hop = 0; hop <= max_redirects; ++hop) {
        auto exchange = HttpExchange::start(request, more);
        if (!exchange) return exchange.error();
        const long status = (*exchange)->status();
        if (status == 200 || status == 206) return exchange;
        const std::string next = status >= 300 && status < 400 ? (*exchange)->redirect_url() : "";
        if (next.empty()) return error_of_status(**exchange, request.url);
        if (request.url.starts_with("https:") && !next.starts_with("https:"))
            return error(ErrorKind::refused, shown_url(request.url) + ": it is redirected to " +
                                                 shown_url(next) + ", which is not encrypted");
        if (origin_of(next) != origin_of(request.url)) {
            request.headers.clear();
            request.signature.reset();
        }
        request.url = next;
    }
    return error(ErrorKind::refused, shown_url(request.url) + ": it is redirected more than " +
                                         std::to_string(max_redirects) + " times");
}

std::optional<base::Time> http_time(const std::string& text) {
    const time_t seconds = text.empty() ? -1 : curl_getdate(text.c_str(), nullptr);
    if (seconds < 0) return std::nullopt;
    return base::Time{std::chrono::seconds(seconds)};
}

}  // namespace

// Where an S3 service says what the whole object's digest is.
class HttpSource::Checksum {
public:
    // Nothing where the answer names none that can be used.
    static std::unique_ptr<Checksum> of(const HttpExchange& exchange) {
        if (const std::string sha = exchange.header("x-amz-checksum-sha256"); sha.size() == 44)
            return std::make_unique<Checksum>(EVP_sha256(), sha);
        // An ETag is the MD5 of what was uploaded in one part and is not encrypted with a key of its own.
        const std::string etag = exchange.header("etag");
        const std::string encryption = exchange.header("x-amz-server-side-encryption");
        const bool is_md5 = !exchange.header("x-amz-request-id").empty() && etag.size() == 34 &&
                            etag.find_first_not_of("0123456789abcdef", 1) == 33 &&
                            (encryption.empty() || encryption == "AES256") &&
                            exchange.header("x-amz-server-side-encryption-customer-algorithm").empty();
        return is_md5 ? std::make_unique<Checksum>(EVP_md5(), etag.substr(1, 32)) : nullptr;
    }

    Checksum(const EVP_MD* kind, std::string expected) : expected_(std::move(expected)) {
        if (EVP_DigestInit_ex(context_.get(), kind, nullptr) != 1) context_.reset();
    }

    void add(const char* bytes, size_t size) {
        if (context_ != nullptr) EVP_DigestUpdate(context_.get(), bytes, size);
    }

    // At the end. Where OpenSSL may not compute it (MD5 under FIPS), nothing is known against the content.
    bool fits() {
        if (context_ == nullptr) return fits_;
        unsigned char digest[EVP_MAX_MD_SIZE];
        unsigned size = 0;
        EVP_DigestFinal_ex(context_.get(), digest, &size);
        std::string text(expected_.size() + 4, '\0');
        if (expected_.size() == 2 * size_t{size}) {
            text.clear();
            for (unsigned i = 0; i < size; ++i) {
                text += "0123456789abcdef"[digest[i] >> 4];
                text += "0123456789abcdef"[digest[i] & 15];
            }
        } else {
            text.resize(static_cast<size_t>(EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                                            digest, static_cast<int>(size))));
        }
        context_.reset();
        return fits_ = text == expected_;
    }

private:
    struct Closer {
        void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
    };
    std::unique_ptr<EVP_MD_CTX, Closer> context_{EVP_MD_CTX_new()};
    std::string expected_;
    bool fits_ = true;
};

HttpSource::HttpSource(HttpRequest request) : request_(std::move(request)) {}
HttpSource::~HttpSource() = default;

base::Result<std::unique_ptr<HttpSource>> HttpSource::open(HttpRequest request, const std::string& identity) {
    std::unique_ptr<HttpSource> source(new HttpSource(std::move(request)));
    source->identity_ = identity;
    base::Status sent = source->send();
    for (int attempt = 1; !sent && sent.error().kind == ErrorKind::unavailable; ++attempt) {
        if (attempt >= source->request_.limits.attempts) break;
        std::this_thread::sleep_for(source->request_.limits.pause * (1 << (attempt - 1)));
        sent = source->send();
    }
    if (!sent) return sent.error();
    return source;
}

base::Status HttpSource::accept_first() {
    total_bytes_ = exchange_->length_bytes();
    etag_ = exchange_->header("etag");
    checksum_ = Checksum::of(*exchange_);
    facts_.size_bytes = total_bytes_.value_or(0);
    facts_.completion_time = http_time(exchange_->header("last-modified"));
    last_modified_ = exchange_->header("last-modified");
    facts_.identity = !etag_.empty() ? etag_ : std::to_string(facts_.size_bytes) + " " + last_modified_;
    if (!identity_.empty() && facts_.identity != identity_)
        return error(ErrorKind::conflict,
                     shown_url(request_.url) + ": it is not the backup any more that was checked before");
    // What is asked for again before its first byte has come must be the same, too.
    identity_ = facts_.identity;
    return base::success();
}

base::Status HttpSource::accept_rest() {
    const std::string url = shown_url(request_.url);
    if (etag_.empty() && last_modified_.empty())
        return error(ErrorKind::conflict,
                     url +
                         ": the connection broke, and the server does not say what would tell whether "
                         "the rest is of the same object");
    if (exchange_->header("etag") != etag_ || exchange_->header("last-modified") != last_modified_)
        return error(ErrorKind::conflict, url + ": it was replaced by another while it was downloaded");
    if (exchange_->status() == 200) {
        // The server sends it all once more.
        if (total_bytes_ != exchange_->length_bytes() || etag_.empty())
            return error(ErrorKind::conflict,
                         url + ": the connection broke, and the server cannot go on where it was");
        to_skip_bytes_ = offset_bytes_;
        return base::success();
    }
    const std::string range = exchange_->header("content-range");
    const std::string begins = "bytes " + std::to_string(offset_bytes_) + "-";
    const std::string ends = total_bytes_ ? "/" + std::to_string(*total_bytes_) : "";
    if (!range.starts_with(begins) || !range.ends_with(ends))
        return error(ErrorKind::conflict, url + ": asked for byte " + std::to_string(offset_bytes_) +
                                              " and what follows, the server sent \"" +
                                              base::one_line(range, 100) + "\"");
    return base::success();
}

base::Status HttpSource::send() {
    std::vector<std::string> more;
    if (offset_bytes_ > 0) more.push_back("Range: bytes=" + std::to_string(offset_bytes_) + "-");
    if (offset_bytes_ > 0 && is_strong(etag_)) more.push_back("If-Match: " + etag_);
    to_skip_bytes_ = 0;
    auto exchange = send_along(request_, more);
    if (!exchange) return exchange.error();
    exchange_ = std::move(*exchange);
    return offset_bytes_ > 0 ? accept_rest() : accept_first();
}

// Of the one connection.
base::Result<size_t> HttpSource::read_once(char* buffer, size_t size) {
    while (to_skip_bytes_ > 0) {
        const auto skipped = exchange_->read(buffer, std::min(size, static_cast<size_t>(to_skip_bytes_)));
        if (!skipped) return skipped.error();
        if (*skipped == 0) break;
        to_skip_bytes_ -= static_cast<int64_t>(*skipped);
    }
    auto count = exchange_->read(buffer, size);
    if (count && *count == 0 && total_bytes_ && offset_bytes_ < *total_bytes_)
        return error(ErrorKind::unavailable, shown_url(request_.url) + ": the connection ended after " +
                                                 std::to_string(offset_bytes_) + " of " +
                                                 std::to_string(*total_bytes_) + " bytes");
    return count;
}

base::Result<size_t> HttpSource::read(char* buffer, size_t size) {
    auto count = read_once(buffer, size);
    for (int failures = 1; !count && failures < request_.limits.attempts; ++failures) {
        if (count.error().kind != ErrorKind::unavailable) break;
        std::this_thread::sleep_for(request_.limits.pause * (1 << (failures - 1)));
        const auto sent = send();
        count = sent ? read_once(buffer, size) : base::Result<size_t>(sent.error());
    }
    if (!count) return count;
    if (*count == 0 && checksum_ != nullptr && !checksum_->fits())
        return error(ErrorKind::invalid,
                     shown_url(request_.url) +
                         ": what was downloaded does not have the checksum that the server names");
    if (checksum_ != nullptr) checksum_->add(buffer, *count);
    offset_bytes_ += static_cast<int64_t>(*count);
    return count;
}

base::Result<std::string> fetch_text(const HttpRequest& request, size_t max_bytes) {
    auto exchange = send_along(request, {});
    if (!exchange) return exchange.error();
    return read_all(**exchange, max_bytes);
}

}  // namespace dbrestore::backups
