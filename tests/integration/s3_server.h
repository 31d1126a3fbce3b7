#pragma once
// versitygw, a real S3 server, on the loopback with TLS by an authority of its own.

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace dbrestore::tests {

class S3Server {
public:
    static constexpr const char* access_key = "the-access-key";
    static constexpr const char* secret_key = "the-secret-key-of-the-store";
    static constexpr const char* bucket = "shop-backups";

    // Its files lie in `folder`. Fails the test where it does not start.
    explicit S3Server(const std::string& folder);
    ~S3Server();
    S3Server(const S3Server&) = delete;
    S3Server& operator=(const S3Server&) = delete;

    std::string endpoint() const;  // https://127.0.0.1:PORT
    std::string authority_pem() const { return authority_pem_; }
    void put(const std::string& file, const std::string& key) const;
    void remove(const std::string& key) const;

private:
    // By curl, whose arguments come behind the URL.
    void ask(const std::string& path, const std::vector<std::string>& arguments) const;

    std::string folder_, authority_pem_;
    int64_t port_ = 0;
    pid_t pid_ = -1;
};

}  // namespace dbrestore::tests
