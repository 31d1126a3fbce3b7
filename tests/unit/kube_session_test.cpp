#include <gtest/gtest.h>

#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <vector>

#include "kube/session.h"
#include "support/fake_http.h"

namespace dbrestore::kube {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;
using test::FakeHttp;

class SessionTest : public ::testing::Test {
protected:
    void TearDown() override { std::remove(token_file_.c_str()); }

    void write_token(const std::string& text) { std::ofstream(token_file_) << text; }
    void open_session(const Config& config) {
        auto transport = std::make_unique<FakeHttp>();
        server_ = transport.get();
        session_ = std::make_unique<Session>(
            std::move(transport), config,
            [this](const std::string& method, int code, double) {
                observed_.push_back(method + " " + std::to_string(code));
            },
            [this] { return now_; });
    }
    Config with_token_file() {
        Config config;
        config.token_file = token_file_;
        return config;
    }
    int ask() {
        const auto response = session_->send({"GET", "/api", {}, ""});
        return response ? response->status : 0;
    }
    std::string sent_token(size_t index) const { return server_->header(index, "Authorization"); }

    const std::string token_file_ = ::testing::TempDir() + "dbrestore-token-" + std::to_string(::getpid());
    steady_clock::time_point now_{std::chrono::hours(1)};
    FakeHttp* server_ = nullptr;
    std::unique_ptr<Session> session_;
    std::vector<std::string> observed_;
};

TEST_F(SessionTest, SendsTheTokenOfTheConfiguration) {
    Config config;
    config.token = "secret";
    open_session(config);
    server_->respond(200);
    EXPECT_EQ(ask(), 200);
    EXPECT_EQ(sent_token(0), "Bearer secret");
    EXPECT_EQ(server_->header(0, "User-Agent"), "dbrestore");
}

TEST_F(SessionTest, SendsNoTokenWhereNoneIsConfigured) {
    open_session({});
    server_->respond(200);
    EXPECT_EQ(ask(), 200);
    EXPECT_EQ(sent_token(0), "(none)");
}

TEST_F(SessionTest, ReadsTheTokenFileAgainAfterAMinuteAndNotBefore) {
    write_token("first\n");
    open_session(with_token_file());
    server_->respond(200).respond(200).respond(200);
    ask();
    write_token("second\n");
    now_ += seconds(59);
    ask();
    now_ += seconds(1);
    ask();
    EXPECT_EQ(sent_token(0), "Bearer first");
    EXPECT_EQ(sent_token(1), "Bearer first");
    EXPECT_EQ(sent_token(2), "Bearer second");
}

TEST_F(SessionTest, A401ReadsTheFileAtOnceAndTheRequestIsRepeatedWithTheNewToken) {
    write_token("old");
    open_session(with_token_file());
    server_->respond(401).respond(200);
    write_token("new");
    EXPECT_EQ(ask(), 200);
    EXPECT_EQ(sent_token(0), "Bearer old");
    EXPECT_EQ(sent_token(1), "Bearer new");
    EXPECT_EQ(observed_, (std::vector<std::string>{"GET 401", "GET 200"}));
}

TEST_F(SessionTest, A401WithTheSameTokenInTheFileIsTheAnswer) {
    write_token("only");
    open_session(with_token_file());
    server_->respond(401);
    EXPECT_EQ(ask(), 401);
    EXPECT_EQ(server_->requests.size(), 1u);
}

TEST_F(SessionTest, A401ToTheNewTokenIsTheAnswerToo) {
    write_token("old");
    open_session(with_token_file());
    server_->respond(401).respond(401);
    write_token("new");
    EXPECT_EQ(ask(), 401);
    EXPECT_EQ(server_->requests.size(), 2u);
}

TEST_F(SessionTest, AWatchIsOpenedWithTheNewTokenAsWell) {
    write_token("old");
    open_session(with_token_file());
    server_->respond(401).stream({"x"});
    write_token("new");
    auto opened = session_->open({"GET", "/watch", {}, ""});
    ASSERT_TRUE(opened);
    ASSERT_TRUE(opened->stream);
    EXPECT_EQ(**opened->stream->read(), "x");
    EXPECT_EQ(sent_token(1), "Bearer new");
    EXPECT_EQ(observed_, (std::vector<std::string>{"GET 401", "GET 200"}));
}

TEST_F(SessionTest, KeepsTheLastTokenWhileTheFileIsEmptyTornOrGone) {
    write_token("good");
    open_session(with_token_file());
    for (const char* bad : {"", "\n\n", "two\r\nX-Evil: lines"}) {
        write_token(bad);
        now_ += seconds(61);
        server_->respond(200);
        ask();
    }
    std::remove(token_file_.c_str());
    now_ += seconds(61);
    server_->respond(200);
    ask();
    for (size_t i = 0; i < 4; ++i) EXPECT_EQ(sent_token(i), "Bearer good") << i;
}

TEST_F(SessionTest, RepeatsNothingButA401AndCountsWhatGotNoAnswer) {
    write_token("token");
    open_session(with_token_file());
    server_->respond(429, "", 1).respond(503).fail(base::ErrorKind::unavailable);
    EXPECT_EQ(ask(), 429);
    EXPECT_EQ(ask(), 503);
    EXPECT_EQ(ask(), 0);
    EXPECT_EQ(observed_, (std::vector<std::string>{"GET 429", "GET 503", "GET 0"}));
}

}  // namespace
}  // namespace dbrestore::kube
