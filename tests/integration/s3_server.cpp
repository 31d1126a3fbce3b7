#include "integration/s3_server.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>

#include "base/process.h"
#include "base/unique_fd.h"
#include "integration/agent_fixture.h"
#include "support/loopback_server.h"

namespace dbrestore::tests {

namespace fs = std::filesystem;

S3Server::S3Server(const std::string& folder) : folder_(folder), port_(free_port()) {
    fs::create_directories(folder_ + "/buckets");
    const auto authority = test::make_authority("the store's");
    const auto certificate = test::sign_certificate(authority, "IP:127.0.0.1,DNS:localhost");
    authority_pem_ = authority.certificate_pem;
    std::ofstream(folder_ + "/ca.crt") << authority_pem_;
    std::ofstream(folder_ + "/tls.crt") << certificate.certificate_pem;
    std::ofstream(folder_ + "/tls.key") << certificate.key_pem;
    base::ProcessSpec spec;
    spec.arguments = {"versitygw",
                      "--access",
                      access_key,
                      "--secret",
                      secret_key,
                      "--region",
                      "eu-1",
                      "--port",
                      "127.0.0.1:" + std::to_string(port_),
                      "--cert",
                      folder_ + "/tls.crt",
                      "--key",
                      folder_ + "/tls.key",
                      "posix",
                      folder_ + "/buckets"};
    const base::UniqueFd log{::open((folder_ + "/log").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644)};
    const auto started = base::start_process(spec, log.get());
    EXPECT_TRUE(started) << "versitygw is built by hack/cluster up, and in the PATH of hack/cluster env";
    if (!started) return;
    pid_ = *started;
    EXPECT_TRUE(wait_for([this] {
        base::ProcessSpec probe;
        probe.arguments = {"curl", "-s", "--cacert", folder_ + "/ca.crt", endpoint()};
        const auto end = base::run_process(probe);
        return end && end->ok();
    })) << "see "
        << folder_ << "/log";
    ask("", {"-X", "PUT"});
}

S3Server::~S3Server() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
}

std::string S3Server::endpoint() const {
    return "https://127.0.0.1:" + std::to_string(port_);
}

void S3Server::put(const std::string& file, const std::string& key) const {
    ask("/" + key, {"-T", file});
}

void S3Server::remove(const std::string& key) const {
    ask("/" + key, {"-X", "DELETE"});
}

void S3Server::ask(const std::string& path, const std::vector<std::string>& arguments) const {
    base::ProcessSpec spec;
    spec.arguments = {"curl",
                      "-sS",
                      "--fail-with-body",
                      "--cacert",
                      folder_ + "/ca.crt",
                      "--aws-sigv4",
                      "aws:amz:eu-1:s3",
                      "-H",
                      "x-amz-content-sha256: UNSIGNED-PAYLOAD",
                      "--user",
                      std::string(access_key) + ":" + secret_key,
                      endpoint() + "/" + bucket + path};
    spec.arguments.insert(spec.arguments.end(), arguments.begin(), arguments.end());
    std::string said;
    spec.on_stdout = spec.on_stderr = [&said](std::string_view text) { said += text; };
    const auto end = base::run_process(spec);
    EXPECT_TRUE(end && end->ok()) << path << ": " << said;
}

}  // namespace dbrestore::tests
