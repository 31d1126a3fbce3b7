#pragma once
// A server on the loopback that speaks just enough HTTP to misbehave: it answers each connection with a
// function, with or without TLS. Its certificates are made when it starts.

#include <openssl/ssl.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"

namespace dbrestore::test {

// An authority, and a certificate that it signed for a name or an address.
struct CertificatePair {
    std::string certificate_pem, key_pem;
};
CertificatePair make_authority(const std::string& common_name);
CertificatePair sign_certificate(const CertificatePair& authority,
                                 const std::string& subject_alternative_name);

// One connection, as the server sees it.
class Connection {
public:
    Connection(int fd, SSL_CTX* tls);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    bool handshake();
    // Head and, where Content-Length says so, body; empty at the end.
    std::string read_request();
    bool write(const std::string& text);
    std::string client_name() const;  // common name in the client's certificate

private:
    int fd_;
    SSL* tls_ = nullptr;
};

class LoopbackServer {
public:
    using Handler = std::function<void(Connection&, const std::string& request)>;

    // Plain HTTP; or TLS with this certificate, asking for client certificates that `client_authority_pem`
    // signed.
    explicit LoopbackServer(Handler handler);
    LoopbackServer(Handler handler, const CertificatePair& certificate,
                   const std::string& client_authority_pem = {});
    ~LoopbackServer();

    int port() const { return port_; }
    std::string address() const;  // http://127.0.0.1:PORT or https://…
    int connections() const { return connections_; }
    // What a handler waits on to hang: true when the server shuts down.
    bool closing() const { return closing_; }

private:
    void listen_on_loopback();
    void accept_connections();
    void serve(int fd);

    Handler handler_;
    SSL_CTX* tls_ = nullptr;
    base::UniqueFd listener_;
    int port_ = 0;
    std::atomic<bool> closing_{false};
    std::atomic<int> connections_{0};
    std::mutex mutex_;
    std::vector<int> open_fds_;
    std::vector<std::thread> threads_;
    std::thread acceptor_;
};

// "HTTP/1.1 200 OK" with Content-Length.
std::string plain_response(int status, const std::string& body, const std::string& more_headers = {});
std::string chunked_head(int status);
std::string chunk(const std::string& text);  // of nothing: the last

}  // namespace dbrestore::test
