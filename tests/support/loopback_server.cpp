#include "support/loopback_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <cassert>
#include <csignal>
#include <utility>

namespace dbrestore::test {

namespace {

std::string text_of(BIO* file) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(file, &data);
    std::string text(data, static_cast<size_t>(size));
    BIO_free(file);
    return text;
}

void add_extension(X509* certificate, int kind, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
    assert(extension != nullptr);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

X509* new_certificate(EVP_PKEY* key, const std::string& common_name) {
    static std::atomic<long> serial{1};
    X509* certificate = X509_new();
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1, 0);
    return certificate;
}

CertificatePair to_pem(X509* certificate, EVP_PKEY* key) {
    BIO* certificate_file = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(certificate_file, certificate);
    BIO* key_file = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(key_file, key, nullptr, nullptr, 0, nullptr, nullptr);
    return {text_of(certificate_file), text_of(key_file)};
}

X509* certificate_from(const std::string& pem) {
    BIO* file = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
    X509* certificate = PEM_read_bio_X509(file, nullptr, nullptr, nullptr);
    BIO_free(file);
    return certificate;
}

EVP_PKEY* key_from(const std::string& pem) {
    BIO* file = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
    EVP_PKEY* key = PEM_read_bio_PrivateKey(file, nullptr, nullptr, nullptr);
    BIO_free(file);
    return key;
}

}  // namespace

CertificatePair make_authority(const std::string& common_name) {
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* certificate = new_certificate(key, common_name);
    X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
    add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE");
    X509_sign(certificate, key, EVP_sha256());
    CertificatePair pair = to_pem(certificate, key);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return pair;
}

CertificatePair sign_certificate(const CertificatePair& authority,
                                 const std::string& subject_alternative_name) {
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* issuer = certificate_from(authority.certificate_pem);
    EVP_PKEY* issuer_key = key_from(authority.key_pem);
    X509* certificate = new_certificate(key, "of " + subject_alternative_name);
    X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
    add_extension(certificate, NID_subject_alt_name, subject_alternative_name);
    X509_sign(certificate, issuer_key, EVP_sha256());
    CertificatePair pair = to_pem(certificate, key);
    X509_free(certificate);
    X509_free(issuer);
    EVP_PKEY_free(issuer_key);
    EVP_PKEY_free(key);
    return pair;
}

Connection::Connection(int fd, SSL_CTX* tls) : fd_(fd) {
    if (tls == nullptr) return;
    tls_ = SSL_new(tls);
    SSL_set_fd(tls_, fd);
}

Connection::~Connection() {
    if (tls_ == nullptr) return;
    SSL_shutdown(tls_);
    SSL_free(tls_);
}

bool Connection::handshake() {
    return tls_ == nullptr || SSL_accept(tls_) == 1;
}

std::string Connection::read_request() {
    std::string request;
    size_t wanted = std::string::npos;
    char buffer[4096];
    while (request.size() < wanted) {
        const auto size = tls_ != nullptr ? SSL_read(tls_, buffer, sizeof(buffer))
                                          : static_cast<int>(recv(fd_, buffer, sizeof(buffer), 0));
        if (size <= 0) return {};
        request.append(buffer, static_cast<size_t>(size));
        const size_t head_end = request.find("\r\n\r\n");
        if (wanted != std::string::npos || head_end == std::string::npos) continue;
        const size_t length_at = request.find("Content-Length:");
        wanted = head_end + 4 + (length_at < head_end ? std::stoul(request.substr(length_at + 15)) : 0);
    }
    return request;
}

bool Connection::write(const std::string& text) {
    if (tls_ != nullptr) return SSL_write(tls_, text.data(), static_cast<int>(text.size())) > 0;
    return send(fd_, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

std::string Connection::client_name() const {
    X509* certificate = tls_ != nullptr ? SSL_get1_peer_certificate(tls_) : nullptr;
    if (certificate == nullptr) return "(none)";
    char name[256] = {};
    X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof(name));
    X509_free(certificate);
    return name;
}

LoopbackServer::LoopbackServer(Handler handler) : handler_(std::move(handler)) {
    listen_on_loopback();
}

LoopbackServer::LoopbackServer(Handler handler, const CertificatePair& certificate,
                               const std::string& client_authority_pem)
    : handler_(std::move(handler)), tls_(SSL_CTX_new(TLS_server_method())) {
    X509* own = certificate_from(certificate.certificate_pem);
    EVP_PKEY* key = key_from(certificate.key_pem);
    SSL_CTX_use_certificate(tls_, own);
    SSL_CTX_use_PrivateKey(tls_, key);
    X509_free(own);
    EVP_PKEY_free(key);
    if (!client_authority_pem.empty()) {
        X509* authority = certificate_from(client_authority_pem);
        X509_STORE_add_cert(SSL_CTX_get_cert_store(tls_), authority);
        X509_free(authority);
        SSL_CTX_set_verify(tls_, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    }
    listen_on_loopback();
}

LoopbackServer::~LoopbackServer() {
    closing_ = true;
    shutdown(listener_.get(), SHUT_RDWR);
    acceptor_.join();
    {
        const std::lock_guard lock(mutex_);
        for (const int fd : open_fds_) shutdown(fd, SHUT_RDWR);
    }
    for (std::thread& thread : threads_) thread.join();
    SSL_CTX_free(tls_);
}

std::string LoopbackServer::address() const {
    return (tls_ != nullptr ? "https://127.0.0.1:" : "http://127.0.0.1:") + std::to_string(port_);
}

void LoopbackServer::listen_on_loopback() {
    // TLS writes to a client that may be gone; the operator ignores that signal too.
    std::signal(SIGPIPE, SIG_IGN);
    listener_.reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    const bool good = bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                      listen(listener_.get(), 16) == 0 &&
                      getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0;
    if (!good) std::abort();
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept_connections(); });
}

void LoopbackServer::accept_connections() {
    while (!closing_) {
        const int fd = accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
        if (fd < 0) return;
        ++connections_;
        const std::lock_guard lock(mutex_);
        open_fds_.push_back(fd);
        threads_.emplace_back([this, fd] { serve(fd); });
    }
}

void LoopbackServer::serve(int fd) {
    {
        Connection connection(fd, tls_);
        if (connection.handshake()) {
            const std::string request = connection.read_request();
            if (!request.empty()) handler_(connection, request);
        }
    }
    const std::lock_guard lock(mutex_);
    std::erase(open_fds_, fd);
    close(fd);
}

std::string plain_response(int status, const std::string& body, const std::string& more_headers) {
    return "HTTP/1.1 " + std::to_string(status) + " Said\r\n" + more_headers +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::string chunked_head(int status) {
    return "HTTP/1.1 " + std::to_string(status) + " Said\r\nTransfer-Encoding: chunked\r\n\r\n";
}

std::string chunk(const std::string& text) {
    char size[32];
    std::snprintf(size, sizeof(size), "%zx\r\n", text.size());
    return size + text + "\r\n";
}

}  // namespace dbrestore::test
