// The only file that includes cpprestsdk, which is archived upstream and slow to compile.
//
// The library calls into a Channel from a few threads of its own; the callers of Http wait on the Channel,
// never inside the library, so that deadlines and stops are ours. A Channel outlives its caller where the
// library still holds it: a cancelled exchange is left to end by itself, and what it still delivers is
// dropped.

#include <cpprest/http_client.h>
#include <cpprest/interopstream.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <pplx/threadpool.h>

#include <charconv>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <ostream>
#include <streambuf>
#include <utility>

#include "kube/transport.h"

namespace dbrestore::kube {

using base::Error;
using base::ErrorKind;
using base::Result;
using std::chrono::steady_clock;
using web::http::client::http_client;
using web::http::client::http_client_config;

namespace {

constexpr size_t kThreads = 4;
// Above any deadline of ours: the library must not give up first.
constexpr auto kLibraryTimeout = std::chrono::minutes(15);

Error unavailable(std::string message, std::string hint = {}) {
    return base::error(ErrorKind::unavailable, std::move(message), std::move(hint));
}

// One exchange: what the library has delivered so far. Safe from any thread.
class Channel final : private std::streambuf {
public:
    explicit Channel(size_t limit_bytes) : limit_bytes_(limit_bytes), stream_(this), sink_(stream_) {}

    concurrency::streams::ostream sink() const { return sink_; }

    void head_came(const web::http::http_response& response) {
        const std::lock_guard lock(mutex_);
        head_ = Response{response.status_code(), 0, {}};
        const auto header = response.headers().find("Retry-After");
        if (header != response.headers().end()) {
            const std::string& text = header->second;
            int seconds = 0;  // a date is left out: Kubernetes writes seconds
            std::from_chars(text.data(), text.data() + text.size(), seconds);
            head_->retry_after_seconds = std::max(0, seconds);
        }
        changed_.notify_all();
    }

    // The library is done with the sink; nothing is called afterwards.
    void ended(std::optional<Error> failure) {
        sink_.close();
        const std::lock_guard lock(mutex_);
        ended_ = true;
        failure_ = std::move(failure);
        changed_.notify_all();
    }

    // Errors: unavailable at the deadline, at a stop, or where the exchange broke.
    Result<Response> wait_head(steady_clock::time_point deadline, const std::stop_token& stop) {
        std::unique_lock lock(mutex_);
        changed_.wait_until(lock, stop, deadline, [this] { return head_ || ended_; });
        if (head_) return *head_;
        return why_nothing_came(stop);
    }

    Result<std::optional<std::string>> wait_piece(steady_clock::time_point deadline,
                                                  const std::stop_token& stop) {
        std::unique_lock lock(mutex_);
        changed_.wait_until(lock, stop, deadline, [this] { return !pieces_.empty() || ended_ || overflow_; });
        if (stop.stop_requested()) return why_nothing_came(stop);
        if (overflow_)
            return base::error(ErrorKind::invalid,
                               "more than " + std::to_string(limit_bytes_) + " bytes at once");
        if (!pieces_.empty()) {
            std::string piece = std::move(pieces_.front());
            pieces_.pop_front();
            waiting_bytes_ -= piece.size();
            return std::optional(std::move(piece));
        }
        if (ended_ && !failure_) return std::optional<std::string>();
        return why_nothing_came(stop);
    }

    bool has_ended() const {
        const std::lock_guard lock(mutex_);
        return ended_;
    }

private:
    Error why_nothing_came(const std::stop_token& stop) const {
        if (stop.stop_requested()) return unavailable("stopped");
        if (failure_) return *failure_;
        return unavailable("no answer in time");
    }

    std::streamsize xsputn(const char* data, std::streamsize count) override {
        const auto size = static_cast<size_t>(count);
        const std::lock_guard lock(mutex_);
        // Never blocks: a thread of the library waits here, and there are few.
        if (overflow_ || waiting_bytes_ + size > limit_bytes_) {
            overflow_ = true;
        } else if (size > 0) {
            pieces_.emplace_back(data, size);
            waiting_bytes_ += size;
        }
        changed_.notify_all();
        return count;
    }
    int_type overflow(int_type character) override {
        const char single = traits_type::to_char_type(character);
        xsputn(&single, 1);
        return character;
    }

    const size_t limit_bytes_;
    std::ostream stream_;
    concurrency::streams::stdio_ostream<uint8_t> sink_;

    mutable std::mutex mutex_;
    std::condition_variable_any changed_;
    std::optional<Response> head_;
    std::deque<std::string> pieces_;
    size_t waiting_bytes_ = 0;
    bool overflow_ = false, ended_ = false;
    std::optional<Error> failure_;
};

std::string what_failed(const Request& request) {
    return request.method + " " + request.target.substr(0, request.target.find('?'));
}

// To be called while an exception is handled.
Error current_failure(const Request& request) {
    try {
        throw;
    } catch (const web::http::http_exception& failure) {
        const bool tls = std::string_view(failure.what()).find("SSL") != std::string_view::npos;
        return unavailable(
            what_failed(request) + ": " + failure.what(),
            tls ? "the server's certificate must be signed by the configured authority and name the server"
                : "");
    } catch (const std::exception& failure) {
        return unavailable(what_failed(request) + ": " + failure.what());
    } catch (...) {
        return unavailable(what_failed(request) + ": unknown failure");
    }
}

web::http::http_request library_request(const Request& request, const Channel& channel,
                                        const std::string& host_name) {
    web::http::http_request message(request.method);
    message.set_request_uri(web::uri(request.target));
    if (!request.body.empty()) message.set_body(request.body);
    for (const auto& [name, value] : request.headers) message.headers()[name] = value;
    // The library checks the certificate against this header where it is given.
    if (!host_name.empty()) message.headers()["Host"] = host_name;
    message.set_response_stream(channel.sink());
    return message;
}

// One request that runs. The destructor cancels what is left of it and waits for nothing.
class Exchange {
public:
    Exchange(std::shared_ptr<http_client> client, const Request& request, const std::string& host_name)
        : channel_(std::make_shared<Channel>(request.max_response_bytes)) {
        try {
            auto message = library_request(request, *channel_, host_name);
            client->request(message, cancellation_.get_token())
                .then([channel = channel_, client,
                       request_head = head_only(request)](const pplx::task<web::http::http_response>& task) {
                    follow(channel, client, request_head, task);
                });
        } catch (...) {
            channel_->ended(current_failure(request));
        }
    }
    ~Exchange() {
        if (!channel_->has_ended()) cancellation_.cancel();
    }
    Exchange(const Exchange&) = delete;
    Exchange& operator=(const Exchange&) = delete;

    Channel& channel() { return *channel_; }

private:
    static Request head_only(const Request& request) {  // what error texts need
        Request head;
        head.method = request.method;
        head.target = request.target;
        return head;
    }

    // The status line is there. `client` is held until the end: a stream has one of its own.
    static void follow(const std::shared_ptr<Channel>& channel, const std::shared_ptr<http_client>& client,
                       const Request& request, const pplx::task<web::http::http_response>& task) {
        try {
            const web::http::http_response response = task.get();
            channel->head_came(response);
            response.content_ready().then(
                [channel, client, request](const pplx::task<web::http::http_response>& whole) {
                    try {
                        whole.get();
                        channel->ended(std::nullopt);
                    } catch (...) {
                        channel->ended(current_failure(request));
                    }
                });
        } catch (...) {
            channel->ended(current_failure(request));
        }
    }

    std::shared_ptr<Channel> channel_;
    pplx::cancellation_token_source cancellation_;
};

class CpprestStream final : public Stream {
public:
    CpprestStream(std::unique_ptr<Exchange> exchange, std::chrono::milliseconds idle_timeout,
                  std::stop_token stop)
        : exchange_(std::move(exchange)), idle_timeout_(idle_timeout), stop_(std::move(stop)) {}

    Result<std::optional<std::string>> read() override {
        return exchange_->channel().wait_piece(steady_clock::now() + idle_timeout_, stop_);
    }

private:
    std::unique_ptr<Exchange> exchange_;
    const std::chrono::milliseconds idle_timeout_;
    const std::stop_token stop_;
};

template <auto Free>
struct Releaser {
    template <typename T>
    void operator()(T* object) const {
        Free(object);
    }
};
using Certificate = std::unique_ptr<X509, Releaser<X509_free>>;
using PrivateKey = std::unique_ptr<EVP_PKEY, Releaser<EVP_PKEY_free>>;
using TrustStore = std::unique_ptr<X509_STORE, Releaser<X509_STORE_free>>;
using MemoryFile = std::unique_ptr<BIO, Releaser<BIO_free>>;

int no_passphrase(char*, int, int, void*) {
    return 0;
}  // the default would ask on the terminal

// The certificates of the configuration, read once and shared by all connections.
class Identity {
public:
    // Errors: invalid where a text holds no certificate, or the key does not belong to it.
    static Result<std::shared_ptr<const Identity>> from(const Config& config) {
        auto identity = std::make_shared<Identity>();
        // As kubectl does: whatever is named as an authority is trusted, although another one signed it.
        X509_STORE_set_flags(identity->trusted_.get(), X509_V_FLAG_PARTIAL_CHAIN);
        for (Certificate& certificate : certificates_in(config.certificate_authority_pem))
            X509_STORE_add_cert(identity->trusted_.get(), certificate.get());  // takes its own reference
        if (config.server.starts_with("https://") && identity->trusted_count() == 0)
            return base::error(ErrorKind::invalid, "the certificate authority holds no certificate in PEM");
        if (config.client_certificate_pem.empty())
            return std::shared_ptr<const Identity>(std::move(identity));

        identity->own_ = certificates_in(config.client_certificate_pem);
        if (identity->own_.empty())
            return base::error(ErrorKind::invalid, "the client certificate holds no certificate in PEM");
        const MemoryFile file(memory_file(config.client_key_pem));
        identity->key_.reset(PEM_read_bio_PrivateKey(file.get(), nullptr, no_passphrase, nullptr));
        if (!identity->key_) {
            ERR_clear_error();
            return base::error(ErrorKind::invalid, "the client key is no private key in PEM",
                               "keys with a passphrase are not supported");
        }
        if (X509_check_private_key(identity->own_.front().get(), identity->key_.get()) != 1) {
            ERR_clear_error();
            return base::error(ErrorKind::invalid,
                               "the client key does not belong to the client certificate");
        }
        return std::shared_ptr<const Identity>(std::move(identity));
    }

    // Throws where OpenSSL refuses, which fails the connection.
    void use_in(SSL_CTX* context) const {
        SSL_CTX_set1_cert_store(context,
                                trusted_.get());  // instead of the system's, which the library has set
        bool good = SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1;
        if (!own_.empty()) {
            good = good && SSL_CTX_use_certificate(context, own_.front().get()) == 1;
            for (size_t i = 1; i < own_.size(); ++i)
                good = good && SSL_CTX_add1_chain_cert(context, own_[i].get()) == 1;
            good = good && SSL_CTX_use_PrivateKey(context, key_.get()) == 1;
        }
        if (!good) throw std::runtime_error("SSL: the client certificate cannot be used");
    }

private:
    static BIO* memory_file(const std::string& pem) {
        return BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
    }

    static std::vector<Certificate> certificates_in(const std::string& pem) {
        std::vector<Certificate> certificates;
        const MemoryFile file(memory_file(pem));
        while (X509* certificate = PEM_read_bio_X509(file.get(), nullptr, no_passphrase, nullptr))
            certificates.emplace_back(certificate);
        ERR_clear_error();  // the end of the file counts as one
        return certificates;
    }

    int trusted_count() const { return sk_X509_OBJECT_num(X509_STORE_get0_objects(trusted_.get())); }

    TrustStore trusted_{X509_STORE_new()};
    std::vector<Certificate> own_;  // ours, then the chain above it
    PrivateKey key_;
};

class CpprestTransport final : public Http {
public:
    CpprestTransport(const Config& config, std::shared_ptr<const Identity> identity)
        : server_(config.server),
          host_name_(config.tls_server_name),
          identity_(std::move(identity)),
          shared_client_(new_client()) {}

    Result<Response> send(const Request& request, std::stop_token stop) override {
        Exchange exchange(shared_client_, request, host_name_);
        return whole_response(exchange, request, stop);
    }

    Result<OpenedStream> open(const Request& request, std::stop_token stop) override {
        // A connection of its own: it is busy as long as the stream lasts.
        auto exchange = std::make_unique<Exchange>(new_client(), request, host_name_);
        auto head = exchange->channel().wait_head(steady_clock::now() + request.timeout, stop);
        if (!head) return named(request, head.error());
        if (!head->ok()) {
            auto whole = whole_response(*exchange, request, stop);
            if (!whole) return whole.error();
            return OpenedStream{std::move(*whole), nullptr};
        }
        auto stream =
            std::make_unique<CpprestStream>(std::move(exchange), request.idle_timeout, std::move(stop));
        return OpenedStream{std::move(*head), std::move(stream)};
    }

private:
    static Error named(const Request& request, Error error) {
        if (!error.message.starts_with(request.method))
            error.message = what_failed(request) + ": " + error.message;
        return error;
    }

    static Result<Response> whole_response(Exchange& exchange, const Request& request,
                                           const std::stop_token& stop) {
        const auto deadline = steady_clock::now() + request.timeout;
        auto response = exchange.channel().wait_head(deadline, stop);
        if (!response) return named(request, response.error());
        for (;;) {
            auto piece = exchange.channel().wait_piece(deadline, stop);
            if (!piece) return named(request, piece.error());
            if (!*piece) return response;
            response->body += **piece;
            if (response->body.size() > request.max_response_bytes)
                return base::error(ErrorKind::invalid, what_failed(request) + ": the answer is larger than " +
                                                           std::to_string(request.max_response_bytes) +
                                                           " bytes");
        }
    }

    std::shared_ptr<http_client> new_client() const {
        http_client_config config;
        config.set_timeout(std::chrono::duration_cast<utility::seconds>(kLibraryTimeout));
        config.set_max_redirects(0);
        config.set_validate_certificates(true);
        config.set_ssl_context_callback([identity = identity_](boost::asio::ssl::context& context) {
            identity->use_in(context.native_handle());
        });
        return std::make_shared<http_client>(server_, config);
    }

    const std::string server_, host_name_;
    const std::shared_ptr<const Identity> identity_;
    const std::shared_ptr<http_client> shared_client_;
};

void start_threads_once() {
    static std::once_flag once;
    std::call_once(once, [] { crossplat::threadpool::initialize_with_threads(kThreads); });
}

}  // namespace

Result<std::unique_ptr<Http>> make_transport(const Config& config) {
    auto identity = Identity::from(config);
    if (!identity) return identity.error();
    try {
        start_threads_once();
        return std::unique_ptr<Http>(std::make_unique<CpprestTransport>(config, std::move(*identity)));
    } catch (const std::exception& failure) {  // an address that the library does not take
        return base::error(ErrorKind::invalid, "the API server's address: " + std::string(failure.what()));
    }
}

}  // namespace dbrestore::kube
