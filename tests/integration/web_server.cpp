#include "integration/web_server.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>

#include "base/process.h"
#include "base/unique_fd.h"
#include "integration/agent_fixture.h"

namespace dbrestore::tests {

WebServer::WebServer(const std::string& folder, const std::string& served, bool with_ranges)
    : port_(free_port()) {
    std::filesystem::create_directories(folder);
    std::ofstream(folder + "/nginx.conf")
        << "daemon off; worker_processes 1; user root; pid " << folder << "/pid; error_log " << folder
        << "/log;\n"
        << "events {}\nhttp {\n  access_log off; " << (with_ranges ? "" : "max_ranges 0; ")
        << "client_body_temp_path " << folder << "; proxy_temp_path " << folder << "; fastcgi_temp_path "
        << folder << "; uwsgi_temp_path " << folder << "; scgi_temp_path " << folder
        << ";\n  server {\n    listen 127.0.0.1:" << port_ << ";\n    if ($http_x_api_key != '" << key
        << "') { return 403; }\n    location /backups/ { alias " << served << "/; }\n  }\n}\n";
    base::ProcessSpec spec;
    spec.arguments = {"nginx", "-p", folder, "-c", folder + "/nginx.conf", "-e", folder + "/log"};
    const base::UniqueFd log{::open((folder + "/output").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644)};
    const auto started = base::start_process(spec, log.get());
    EXPECT_TRUE(started) << "hack/install installs nginx";
    if (!started) return;
    pid_ = *started;
    EXPECT_TRUE(wait_for([this] {
        base::ProcessSpec probe;
        probe.arguments = {"curl", "-s", url()};
        const auto end = base::run_process(probe);
        return end && end->ok();
    })) << "see "
        << folder << "/log";
}

WebServer::~WebServer() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
}

std::string WebServer::url() const {
    return "http://127.0.0.1:" + std::to_string(port_) + "/backups";
}

}  // namespace dbrestore::tests
