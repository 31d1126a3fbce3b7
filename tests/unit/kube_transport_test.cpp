// The real transport against a server that misbehaves on purpose.

#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "kube/transport.h"
#include "support/loopback_server.h"

namespace dbrestore::kube {
namespace {

using base::ErrorKind;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using test::chunk;
using test::chunked_head;
using test::Connection;
using test::LoopbackServer;
using test::plain_response;

std::unique_ptr<Http> transport_to(const std::string& address, Config config = {}) {
    config.server = address;
    auto transport = make_transport(config);
    EXPECT_TRUE(transport) << transport.error().message;
    return transport ? std::move(*transport) : nullptr;
}

Request get(const std::string& target, milliseconds timeout = seconds(10)) {
    Request request;
    request.method = "GET";
    request.target = target;
    request.timeout = timeout;
    return request;
}

// Waits until the test is over, as a server does that has hung.
void hang(const LoopbackServer* const& server) {
    while (!server->closing()) std::this_thread::sleep_for(milliseconds(5));
}

struct Timed {
    steady_clock::time_point start = steady_clock::now();
    milliseconds elapsed() const {
        return std::chrono::duration_cast<milliseconds>(steady_clock::now() - start);
    }
};

TEST(Transport, SendsMethodTargetHeadersAndBodyAsTheyAre) {
    std::string received;
    LoopbackServer server([&](Connection& connection, const std::string& request) {
        received = request;
        connection.write(plain_response(201, "made", "Retry-After: 7\r\n"));
    });
    Request request = get("/api/v1/pods?labelSelector=a%3Db%2Fc&continue=x%3D%3D");
    request.method = "PATCH";
    request.headers = {{"Content-Type", "application/apply-patch+yaml"}, {"Authorization", "Bearer t"}};
    request.body = "{\"a\": \"\xc3\xa9\"}";
    const auto response = transport_to(server.address())->send(request);
    ASSERT_TRUE(response) << response.error().message;
    EXPECT_EQ(response->status, 201);
    EXPECT_EQ(response->retry_after_seconds, 7);
    EXPECT_EQ(response->body, "made");
    EXPECT_TRUE(
        received.starts_with("PATCH /api/v1/pods?labelSelector=a%3Db%2Fc&continue=x%3D%3D HTTP/1.1\r\n"))
        << received;
    EXPECT_NE(received.find("Content-Type:application/apply-patch+yaml\r\n"), std::string::npos) << received;
    EXPECT_NE(received.find("Authorization:Bearer t\r\n"), std::string::npos) << received;
    EXPECT_TRUE(received.ends_with(request.body)) << received;
}

TEST(Transport, FollowsNoRedirectWithTheToken) {
    LoopbackServer elsewhere(
        [](Connection& connection, const std::string&) { connection.write(plain_response(200, "stolen")); });
    LoopbackServer server([&](Connection& connection, const std::string&) {
        connection.write(plain_response(302, "", "Location: " + elsewhere.address() + "/\r\n"));
    });
    Request request = get("/");
    request.headers = {{"Authorization", "Bearer t"}};
    const auto response = transport_to(server.address())->send(request);
    ASSERT_TRUE(response) << response.error().message;
    EXPECT_EQ(response->status, 302);
    EXPECT_EQ(elsewhere.connections(), 0);
}

TEST(Transport, NobodyThereIsUnavailable) {
    int port = 0;
    {
        port = LoopbackServer([](Connection&, const std::string&) {}).port();
    }
    const auto transport = transport_to("http://127.0.0.1:" + std::to_string(port));
    const auto response = transport->send(get("/api"));
    ASSERT_FALSE(response);
    EXPECT_EQ(response.error().kind, ErrorKind::unavailable);
    EXPECT_TRUE(response.error().message.starts_with("GET /api: ")) << response.error().message;
    EXPECT_EQ(transport->open(get("/api")).error().kind, ErrorKind::unavailable);
}

TEST(Transport, AnAnswerThatIsNoHttpIsUnavailable) {
    for (const std::string& answer :
         {std::string("SSH-2.0-OpenSSH\r\n\r\n"), std::string("\0\1\2\r\n\r\n", 7),
          std::string("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort"),
          chunked_head(200) + "zz\r\nnot a size\r\n", chunked_head(200) + chunk("torn")}) {
        LoopbackServer server([&](Connection& connection, const std::string&) { connection.write(answer); });
        const auto response = transport_to(server.address())->send(get("/"));
        ASSERT_FALSE(response) << answer;
        EXPECT_EQ(response.error().kind, ErrorKind::unavailable) << answer;
    }
}

TEST(Transport, RefusesAnAnswerThatIsTooLarge) {
    LoopbackServer server([](Connection& connection, const std::string&) {
        connection.write(chunked_head(200));
        for (int i = 0; i < 100 && connection.write(chunk(std::string(10'000, 'x'))); ++i) continue;
        connection.write(chunk(""));
    });
    Request request = get("/");
    request.max_response_bytes = 100'000;
    const auto transport = transport_to(server.address());
    const auto response = transport->send(request);
    ASSERT_FALSE(response);
    EXPECT_EQ(response.error().kind, ErrorKind::invalid) << response.error().message;
    request.max_response_bytes = 1'000'000;
    const auto larger = transport->send(request);
    ASSERT_TRUE(larger) << larger.error().message;
    EXPECT_EQ(larger->body.size(), 1'000'000u);
}

TEST(Transport, ASilentServerIsGivenUpAtTheDeadlineAlthoughItKeepsDripping) {
    const LoopbackServer* self = nullptr;
    LoopbackServer server([&self](Connection& connection, const std::string& request) {
        if (request.starts_with("GET /drip")) {
            connection.write(chunked_head(200));
            while (!self->closing() && connection.write(chunk(".")))
                std::this_thread::sleep_for(milliseconds(10));
        }
        hang(self);
    });
    self = &server;
    const auto transport = transport_to(server.address());
    for (const char* target : {"/silent", "/drip"}) {
        const Timed timed;
        const auto response = transport->send(get(target, milliseconds(200)));
        ASSERT_FALSE(response) << target;
        EXPECT_EQ(response.error().kind, ErrorKind::unavailable);
        EXPECT_GE(timed.elapsed(), milliseconds(190));
        EXPECT_LT(timed.elapsed(), seconds(2));
    }
}

TEST(Transport, AStopEndsARequestThatWaits) {
    const LoopbackServer* self = nullptr;
    LoopbackServer server([&self](Connection&, const std::string&) { hang(self); });
    self = &server;
    const auto transport = transport_to(server.address());
    std::stop_source stop;
    std::jthread stopper([&stop] {
        std::this_thread::sleep_for(milliseconds(50));
        stop.request_stop();
    });
    const Timed timed;
    EXPECT_EQ(transport->send(get("/"), stop.get_token()).error().kind, ErrorKind::unavailable);
    EXPECT_LT(timed.elapsed(), seconds(1));
}

TEST(TransportStream, HandsOutPiecesAsTheyComeAndThenTheEnd) {
    std::atomic<bool> first_was_read{false};
    LoopbackServer server([&](Connection& connection, const std::string&) {
        connection.write(chunked_head(200) + chunk("first"));
        while (!first_was_read) std::this_thread::sleep_for(milliseconds(1));
        connection.write(chunk("second") + chunk(""));
    });
    auto opened = transport_to(server.address())->open(get("/watch"));
    ASSERT_TRUE(opened) << opened.error().message;
    ASSERT_TRUE(opened->stream);
    EXPECT_EQ(**opened->stream->read(), "first");
    first_was_read = true;
    EXPECT_EQ(**opened->stream->read(), "second");
    const auto end = opened->stream->read();
    ASSERT_TRUE(end) << end.error().message;
    EXPECT_EQ(*end, std::nullopt);
}

TEST(TransportStream, AnErrorStatusComesWholeAndWithoutAStream) {
    LoopbackServer server([](Connection& connection, const std::string&) {
        connection.write(plain_response(410, R"({"code":410})"));
    });
    const auto opened = transport_to(server.address())->open(get("/watch"));
    ASSERT_TRUE(opened) << opened.error().message;
    EXPECT_EQ(opened->response.status, 410);
    EXPECT_EQ(opened->response.body, R"({"code":410})");
    EXPECT_EQ(opened->stream, nullptr);
}

TEST(TransportStream, AConnectionThatBreaksIsAnErrorAndNotAnEnd) {
    LoopbackServer server([](Connection& connection, const std::string&) {
        connection.write(chunked_head(200) + chunk("first") + "10\r\ntorn");
    });
    auto opened = transport_to(server.address())->open(get("/watch"));
    ASSERT_TRUE(opened) << opened.error().message;
    EXPECT_EQ(**opened->stream->read(), "first");
    EXPECT_EQ(opened->stream->read().error().kind, ErrorKind::unavailable);
}

TEST(TransportStream, IsDeadAfterTheIdleTimeout) {
    const LoopbackServer* self = nullptr;
    LoopbackServer server([&self](Connection& connection, const std::string&) {
        connection.write(chunked_head(200) + chunk("first"));
        hang(self);
    });
    self = &server;
    Request request = get("/watch");
    request.idle_timeout = milliseconds(150);
    auto opened = transport_to(server.address())->open(request);
    ASSERT_TRUE(opened) << opened.error().message;
    EXPECT_EQ(**opened->stream->read(), "first");
    const Timed timed;
    EXPECT_EQ(opened->stream->read().error().kind, ErrorKind::unavailable);
    EXPECT_GE(timed.elapsed(), milliseconds(140));
    EXPECT_LT(timed.elapsed(), seconds(2));
}

TEST(TransportStream, AStopEndsTheReadOfAnotherThreadAndTheConnection) {
    const LoopbackServer* self = nullptr;
    std::atomic<bool> closed_by_client{false};
    LoopbackServer server([&](Connection& connection, const std::string&) {
        connection.write(chunked_head(200));
        closed_by_client = connection.read_request().empty() && !self->closing();
    });
    self = &server;
    const auto transport = transport_to(server.address());
    std::stop_source stop;
    {
        auto opened = transport->open(get("/watch"), stop.get_token());
        ASSERT_TRUE(opened) << opened.error().message;
        std::jthread stopper([&stop] {
            std::this_thread::sleep_for(milliseconds(50));
            stop.request_stop();
        });
        const Timed timed;
        EXPECT_EQ(opened->stream->read().error().kind, ErrorKind::unavailable);
        EXPECT_LT(timed.elapsed(), seconds(1));
    }
    const Timed timed;
    while (!closed_by_client && timed.elapsed() < seconds(5)) std::this_thread::sleep_for(milliseconds(5));
    EXPECT_TRUE(closed_by_client);
}

TEST(TransportStream, AReaderThatIsTooSlowLosesTheStreamAndNotTheMemory) {
    LoopbackServer server([](Connection& connection, const std::string&) {
        connection.write(chunked_head(200));
        for (int i = 0; i < 100 && connection.write(chunk(std::string(10'000, 'x'))); ++i) continue;
        connection.write(chunk(""));
    });
    Request request = get("/watch");
    request.max_response_bytes = 50'000;
    auto opened = transport_to(server.address())->open(request);
    ASSERT_TRUE(opened) << opened.error().message;
    std::this_thread::sleep_for(milliseconds(300));  // long enough for all of it
    const auto piece = opened->stream->read();
    ASSERT_FALSE(piece) << "it must not seem whole";
    EXPECT_EQ(piece.error().kind, ErrorKind::invalid) << piece.error().message;
}

// More streams than the library has threads, all silent: a request in between still gets its answer.
TEST(TransportStream, ManyOpenStreamsDoNotBlockRequests) {
    const LoopbackServer* self = nullptr;
    LoopbackServer server([&self](Connection& connection, const std::string& request) {
        if (request.starts_with("GET /watch")) {
            connection.write(chunked_head(200) + chunk("first"));
            hang(self);
        }
        connection.write(plain_response(200, "answer"));
    });
    self = &server;
    const auto transport = transport_to(server.address());
    std::vector<base::Result<OpenedStream>> streams;
    for (int i = 0; i < 12; ++i) {
        streams.push_back(transport->open(get("/watch")));
        ASSERT_TRUE(streams.back());
        EXPECT_EQ(**streams.back()->stream->read(), "first");
    }
    const Timed timed;
    EXPECT_EQ(transport->send(get("/"))->body, "answer");
    EXPECT_LT(timed.elapsed(), seconds(2));
}

// TLS

class TlsTest : public ::testing::Test {
protected:
    static void say_who(Connection& connection, const std::string&) {
        connection.write(plain_response(200, connection.client_name()));
    }
    std::string ask(const LoopbackServer& server, const Config& config) const {
        const auto response = transport_to(server.address(), config)->send(get("/"));
        return response ? response->body : base::to_text(response.error());
    }
    Config trusting(const test::CertificatePair& authority) const {
        Config config;
        config.certificate_authority_pem = authority.certificate_pem;
        return config;
    }

    const test::CertificatePair authority_ = test::make_authority("the cluster");
    const test::CertificatePair stranger_ = test::make_authority("a stranger");
};

TEST_F(TlsTest, TrustsWhatTheConfiguredAuthoritySigned) {
    const LoopbackServer server(say_who, test::sign_certificate(authority_, "IP:127.0.0.1"));
    EXPECT_EQ(ask(server, trusting(authority_)), "(none)");
}

TEST_F(TlsTest, WhoAnswersAClientThatIsGoneOnlyHearsThatItIs) {
    const LoopbackServer* self = nullptr;
    std::atomic<bool> heard{false};
    LoopbackServer server(
        [&](Connection& connection, const std::string&) {
            bool good = connection.write(chunked_head(200) + chunk("first"));
            while (good && !self->closing()) {
                std::this_thread::sleep_for(milliseconds(20));
                good = connection.write(chunk("more"));
            }
            heard = !good;
        },
        test::sign_certificate(authority_, "IP:127.0.0.1"));
    self = &server;
    {
        const auto opened = transport_to(server.address(), trusting(authority_))->open(get("/"));
        ASSERT_TRUE(opened) << opened.error().message;
    }
    const Timed timed;
    while (!heard && timed.elapsed() < seconds(10)) std::this_thread::sleep_for(milliseconds(5));
    EXPECT_TRUE(heard);
}

TEST_F(TlsTest, RefusesWhatAStrangerSigned) {
    const LoopbackServer server(say_who, test::sign_certificate(stranger_, "IP:127.0.0.1"));
    const std::string told = ask(server, trusting(authority_));
    EXPECT_NE(told.find("must be signed by the configured authority"), std::string::npos) << told;
}

// As if the stranger were an authority that the machine trusts.
TEST_F(TlsTest, DoesNotTrustTheSystemsAuthorities) {
    const std::string file = ::testing::TempDir() + "dbrestore-system-authorities.pem";
    { std::ofstream(file) << stranger_.certificate_pem; }
    setenv("SSL_CERT_FILE", file.c_str(), 1);
    const LoopbackServer server(say_who, test::sign_certificate(stranger_, "IP:127.0.0.1"));
    const std::string told = ask(server, trusting(authority_));
    unsetenv("SSL_CERT_FILE");
    std::remove(file.c_str());
    EXPECT_NE(told.find("must be signed by the configured authority"), std::string::npos) << told;
}

TEST_F(TlsTest, RefusesACertificateForAnotherServer) {
    const LoopbackServer server(say_who, test::sign_certificate(authority_, "IP:127.0.0.2"));
    EXPECT_NE(ask(server, trusting(authority_)).find("name the server"), std::string::npos);
}

TEST_F(TlsTest, ChecksTheNameThatTlsServerNameGives) {
    const LoopbackServer server(say_who, test::sign_certificate(authority_, "DNS:kube.example"));
    Config config = trusting(authority_);
    EXPECT_NE(ask(server, config).find("name the server"), std::string::npos);
    config.tls_server_name = "kube.example";
    EXPECT_EQ(ask(server, config), "(none)");
}

TEST_F(TlsTest, TakesTheServersOwnCertificateAsItsAuthority) {
    const auto certificate = test::sign_certificate(authority_, "IP:127.0.0.1");
    const LoopbackServer server(say_who, certificate);
    EXPECT_EQ(ask(server, trusting(certificate)), "(none)");
}

TEST_F(TlsTest, PresentsItsClientCertificate) {
    const LoopbackServer server(say_who, test::sign_certificate(authority_, "IP:127.0.0.1"),
                                authority_.certificate_pem);
    Config config = trusting(authority_);
    EXPECT_EQ(ask(server, config).find("of DNS"), std::string::npos);
    const auto client = test::sign_certificate(authority_, "DNS:operator");
    config.client_certificate_pem = client.certificate_pem;
    config.client_key_pem = client.key_pem;
    EXPECT_EQ(ask(server, config), "of DNS:operator");
}

TEST_F(TlsTest, SaysWhatIsWrongWithCertificates) {
    Config config = trusting(authority_);
    config.server = "https://127.0.0.1:1";
    const auto client = test::sign_certificate(authority_, "DNS:operator");
    const auto told = [](const Config& bad) {
        const auto transport = make_transport(bad);
        return transport ? std::string("nothing") : base::to_text(transport.error());
    };
    EXPECT_EQ(told(config), "nothing");
    Config bad = config;
    bad.certificate_authority_pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    EXPECT_NE(told(bad).find("authority holds no certificate"), std::string::npos);
    bad = config;
    bad.client_certificate_pem = "rubbish";
    bad.client_key_pem = client.key_pem;
    EXPECT_NE(told(bad).find("client certificate holds no certificate"), std::string::npos);
    bad.client_certificate_pem = client.certificate_pem;
    bad.client_key_pem = "rubbish";
    EXPECT_NE(told(bad).find("no private key"), std::string::npos);
    bad.client_key_pem = stranger_.key_pem;
    EXPECT_NE(told(bad).find("does not belong"), std::string::npos);
}

}  // namespace
}  // namespace dbrestore::kube
