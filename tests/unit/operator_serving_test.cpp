#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/process.h"
#include "base/unique_fd.h"
#include "operator/health.h"
#include "operator/http_server.h"
#include "operator/metrics.h"
#include "operator/options.h"

namespace dbrestore::op {
namespace {

// What the server on this port answers to these bytes.
std::string answer_to(int port, const std::string& request) {
    const base::UniqueFd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(port));
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return "cannot connect";
    if (::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(request.size()))
        return "cannot send";
    std::string answer;
    char buffer[4096];
    for (ssize_t count = ::recv(fd.get(), buffer, sizeof buffer, 0); count > 0;
         count = ::recv(fd.get(), buffer, sizeof buffer, 0)) {
        answer.append(buffer, static_cast<size_t>(count));
    }
    return answer;
}

std::string get(int port, const std::string& path, const std::string& method = "GET") {
    return answer_to(port, method + " " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
}

std::unique_ptr<HttpServer> serving() {
    auto server = HttpServer::start("127.0.0.1:0", {{"/healthz",
                                                     [] {
                                                         return HttpReply{200, "ok\n"};
                                                     }},
                                                    {"/broken", [] {
                                                         return HttpReply{503, "not yet\n"};
                                                     }}});
    EXPECT_TRUE(server) << "cannot listen on the loopback";
    return std::move(*server);
}

TEST(HttpServer, AnswersOnItsPathsOnly) {
    const auto server = serving();
    EXPECT_NE(get(server->port(), "/healthz").find("200 OK"), std::string::npos);
    EXPECT_NE(get(server->port(), "/broken").find("503"), std::string::npos);
    EXPECT_NE(get(server->port(), "/etc/passwd").find("404"), std::string::npos);
}

TEST(HttpServer, TakesNothingButGet) {
    const auto server = serving();
    EXPECT_NE(get(server->port(), "/healthz", "POST").find("405"), std::string::npos);
    EXPECT_NE(get(server->port(), "/healthz", "DELETE").find("405"), std::string::npos);
}

TEST(HttpServer, OutlivesGarbage) {
    const auto server = serving();
    answer_to(server->port(), std::string(5000, '\xff') + "\r\n\r\n");
    EXPECT_NE(get(server->port(), "/healthz").find("200 OK"), std::string::npos);
}

TEST(HttpServer, RefusesAnAddressThatIsNone) {
    for (const char* address :
         {"", "localhost:80", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:x", "1.2.3:80"}) {
        const auto server = HttpServer::start(address, {});
        ASSERT_FALSE(server) << address;
        EXPECT_EQ(server.error().kind, base::ErrorKind::invalid) << address;
    }
}

TEST(HttpServer, SaysWhenThePortIsTaken) {
    const auto server = serving();
    const auto second = HttpServer::start("127.0.0.1:" + std::to_string(server->port()), {});
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().kind, base::ErrorKind::io);
}

TEST(Health, FailsWhereNothingButARestartHelps) {
    auto now = std::chrono::steady_clock::time_point(std::chrono::hours(1));
    kube::WorkQueueOptions options;
    options.now = [&] { return now; };
    kube::WorkQueue queue(options);
    const Queues queues{{"restore", &queue}};
    EXPECT_EQ(health(queues, false).status, 200);
    EXPECT_EQ(health(queues, true).status, 500);
    EXPECT_NE(health(queues, true).body.find("the elector hangs"), std::string::npos);
    queue.add({"shop", "friday"});
    ASSERT_TRUE(queue.try_get());
    now += std::chrono::seconds(300);
    EXPECT_EQ(health(queues, false).status, 200) << "a request may take its time";
    now += std::chrono::seconds(1);
    EXPECT_EQ(health(queues, false).status, 500);
}

base::Result<Options> parse(std::vector<std::string> words) {
    words.insert(words.begin(), "dbrestore-operator");
    std::vector<char*> arguments;
    for (auto& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    return parse_options(static_cast<int>(words.size()), arguments.data());
}

TEST(Options, AreReadInBothForms) {
    const auto options =
        parse({"--agent-image", "agent:1", "--namespace=shop", "--workers", "3", "--log-level=debug"});
    ASSERT_TRUE(options);
    EXPECT_EQ(options->agent_image, "agent:1");
    EXPECT_EQ(options->namespace_name, "shop");
    EXPECT_EQ(options->workers, 3);
    EXPECT_EQ(options->log_level, base::LogLevel::debug);
    EXPECT_FALSE(options->leader_elect);
    EXPECT_TRUE(parse({"--agent-image=agent:1", "--leader-elect"})->leader_elect);
}

TEST(Options, ThatAreWrongSayWhatMustBe) {
    const std::vector<std::pair<std::vector<std::string>, std::string>> table{
        {{}, "--agent-image must be given"},
        {{"--agent-image", "a", "--workers", "0"}, "--workers must be"},
        {{"--agent-image", "a", "--workers", "1e9"}, "--workers must be"},
        {{"--agent-image", "a", "--log-level", "loud"}, "--log-level must be"},
        {{"--agent-image", "a", "--no-such-thing"}, "unknown option"},
        {{"--agent-image", "a", "stray"}, "unexpected argument \"stray\""},
    };
    for (const auto& [words, message] : table) {
        const auto options = parse(words);
        ASSERT_FALSE(options) << message;
        EXPECT_NE(options.error().message.find(message), std::string::npos) << options.error().message;
    }
}

TEST(Metrics, PleasePromtool) {
    kube::WorkQueue queue;
    Caches caches(queue, queue);
    Metrics metrics;
    metrics.count_request("GET", 200, "api:6443");
    metrics.reconciled("restore", "error", 0.01);
    metrics.worker_busy("restore", 1);
    metrics.queue_waited("restore", 0.001);
    metrics.queue_worked("restore", 0.001);
    resources::DatabaseRestore restore;
    resources::RestoreStatus status;
    for (const auto phase :
         {resources::Phase::queued, resources::Phase::validating, resources::Phase::failed}) {
        status.phase = phase;
        status.downtime_seconds = 3;
        metrics.status_saved(restore, status, base::SystemClock{}.now());
        restore.status = status;
    }
    const std::string text = metrics.expose(caches, {{"restore", &queue}}, 2, true);
    std::string complaint;
    base::ProcessSpec spec;
    spec.arguments = {"sh", "-c", "printf %s \"$METRICS\" | promtool check metrics"};
    spec.environment["METRICS"] = text;
    spec.on_stderr = spec.on_stdout = [&](std::string_view output) { complaint += output; };
    const auto end = base::run_process(spec);
    ASSERT_TRUE(end);
    EXPECT_TRUE(end->ok()) << complaint << text;
}

TEST(Metrics, OfTheClusterComeFromTheLeaderOnly) {
    kube::WorkQueue queue;
    Caches caches(queue, queue);
    Metrics metrics;
    const auto holds = [&](std::optional<bool> leads, const std::string& text) {
        return metrics.expose(caches, {{"restore", &queue}}, 2, leads).find(text) != std::string::npos;
    };
    const std::string status = "leader_election_master_status{name=\"dbrestore-leader\"} ";
    EXPECT_TRUE(holds(true, status + "1"));
    EXPECT_TRUE(holds(false, status + "0"));
    EXPECT_FALSE(holds(std::nullopt, "leader_election_master_status"));
    for (const char* of_the_cluster : {"dbrestore_restores_in_progress", "workqueue_depth"}) {
        EXPECT_TRUE(holds(true, of_the_cluster));
        EXPECT_FALSE(holds(false, of_the_cluster));
        EXPECT_TRUE(holds(std::nullopt, of_the_cluster));
    }
    EXPECT_TRUE(holds(false, "dbrestore_build_info")) << "a follower tells of its own process";
}

}  // namespace
}  // namespace dbrestore::op
