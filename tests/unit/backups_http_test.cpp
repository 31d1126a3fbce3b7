// Downloads from a server that misbehaves on purpose.

#include <gtest/gtest.h>

#include <openssl/evp.h>

#include <atomic>
#include <cstdio>
#include <fstream>
#include <thread>

#include "backups/http.h"
#include "support/loopback_server.h"

namespace dbrestore::backups {
namespace {

using base::ErrorKind;
using std::chrono::milliseconds;
using test::Connection;
using test::LoopbackServer;
using test::plain_response;

const std::string& content() {
    static const std::string text = [] {
        std::string made;
        for (int i = 0; i < 100'000; ++i) made += static_cast<char>('a' + i * 7 % 23);
        return made;
    }();
    return text;
}

HttpRequest request_for(const std::string& url) {
    HttpRequest request;
    request.url = url;
    request.limits.stall = milliseconds(300);
    request.limits.pause = milliseconds(1);
    return request;
}

struct Downloaded {
    std::string text;
    std::optional<base::Error> error;
};

Downloaded download(const HttpRequest& request, const std::string& identity = "") {
    auto source = HttpSource::open(request, identity);
    if (!source) return {"", source.error()};
    Downloaded result;
    const auto read = pump(**source, [&](std::string_view bytes) {
        result.text += bytes;
        return base::success();
    });
    if (!read) result.error = read.error();
    return result;
}

// The byte that a request's Range begins with; 0 where it has none.
size_t range_in(const std::string& request) {
    const size_t at = request.find("Range: bytes=");
    return at == std::string::npos ? 0 : std::stoul(request.substr(at + 13));
}

std::string head(int status, size_t length, const std::string& more) {
    return "HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Length: " + std::to_string(length) + "\r\n" +
           more + "\r\n";
}

// What is left from `begin`, as a server with ranges sends it.
std::string rest_from(size_t begin, const std::string& etag) {
    return head(206, content().size() - begin,
                "ETag: " + etag + "\r\nContent-Range: bytes " + std::to_string(begin) + "-" +
                    std::to_string(content().size() - 1) + "/" + std::to_string(content().size()) + "\r\n") +
           content().substr(begin);
}

TEST(Download, all_of_it_comes_with_what_the_server_says_of_it) {
    LoopbackServer server([](Connection& connection, const std::string&) {
        connection.write(plain_response(200, content(),
                                        "ETag: \"v1\"\r\nLast-Modified: Sun, 22 Nov 2026 10:00:00 GMT\r\n"));
    });
    auto source = HttpSource::open(request_for(server.address() + "/shop.dump"), "\"v1\"");
    ASSERT_TRUE(source) << source.error().message;
    EXPECT_EQ((*source)->facts().size_bytes, 100'000);
    EXPECT_EQ((*source)->facts().identity, "\"v1\"");
    EXPECT_EQ(base::format_time(*(*source)->facts().completion_time), "2026-11-22T10:00:00Z");
    EXPECT_EQ(download(request_for(server.address() + "/shop.dump")).text, content());
}

TEST(Download, it_goes_on_where_the_connection_broke) {
    std::vector<size_t> begins;
    std::string asked_for;
    LoopbackServer server([&](Connection& connection, const std::string& request) {
        begins.push_back(range_in(request));
        if (begins.size() == 1) {
            connection.write(head(200, content().size(), "ETag: \"v1\"\r\n") + content().substr(0, 30'000));
        } else if (begins.size() == 2) {
            asked_for = request;
            connection.write(rest_from(begins.back(), "\"v1\"").substr(0, 40'000));
        } else {
            connection.write(rest_from(begins.back(), "\"v1\""));
        }
    });
    const Downloaded result = download(request_for(server.address()));
    EXPECT_FALSE(result.error) << result.error->message;
    EXPECT_EQ(result.text, content());
    ASSERT_EQ(begins.size(), 3u);
    EXPECT_EQ(begins[1], 30'000u);
    EXPECT_GT(begins[2], 60'000u);
    EXPECT_NE(asked_for.find("If-Match: \"v1\""), std::string::npos) << asked_for;
}

TEST(Download, a_server_without_ranges_sends_it_once_more) {
    std::atomic<int> requests = 0;
    LoopbackServer server([&](Connection& connection, const std::string&) {
        const std::string whole = plain_response(200, content(), "ETag: \"v1\"\r\n");
        connection.write(++requests == 1 ? whole.substr(0, 50'000) : whole);
    });
    const Downloaded result = download(request_for(server.address()));
    EXPECT_FALSE(result.error) << result.error->message;
    EXPECT_EQ(result.text, content());
    EXPECT_EQ(requests, 2);
}

TEST(Download, another_object_is_never_mixed_in) {
    struct Row {
        const char* what;
        std::function<std::string(size_t begin)> second_answer;
    };
    const std::vector<Row> rows{
        {"If-Match fails", [](size_t) { return head(412, 0, ""); }},
        {"all of another", [](size_t) { return plain_response(200, content(), "ETag: \"v2\"\r\n"); }},
        {"the rest of another", [](size_t begin) { return rest_from(begin, "\"v2\""); }},
        {"another part", [](size_t begin) { return rest_from(begin - 100, "\"v1\""); }},
    };
    for (const auto& row : rows) {
        std::atomic<int> requests = 0;
        LoopbackServer server([&](Connection& connection, const std::string& request) {
            if (++requests == 1)
                connection.write(plain_response(200, content(), "ETag: \"v1\"\r\n").substr(0, 50'000));
            else
                connection.write(row.second_answer(range_in(request)));
        });
        const Downloaded result = download(request_for(server.address()));
        ASSERT_TRUE(result.error) << row.what;
        EXPECT_EQ(result.error->kind, ErrorKind::conflict) << row.what << ": " << result.error->message;
    }
}

TEST(Download, what_was_checked_before_must_still_be_there) {
    LoopbackServer server([](Connection& connection, const std::string&) {
        connection.write(plain_response(200, content(), "ETag: \"v2\"\r\n"));
    });
    const Downloaded result = download(request_for(server.address()), "\"v1\"");
    ASSERT_TRUE(result.error);
    EXPECT_EQ(result.error->kind, ErrorKind::conflict);
}

TEST(Download, a_server_that_stalls_trickles_or_lies_about_length_is_given_up) {
    struct Row {
        const char* what;
        std::function<void(Connection&, const LoopbackServer&)> answer;
    };
    const std::vector<Row> rows{
        {"never answers",
         [](Connection&, const LoopbackServer& s) {
             while (!s.closing()) std::this_thread::sleep_for(milliseconds(5));
         }},
        {"stalls",
         [](Connection& c, const LoopbackServer& s) {
             c.write(head(200, content().size(), "ETag: \"v1\"\r\n"));
             while (!s.closing()) std::this_thread::sleep_for(milliseconds(5));
         }},
        {"trickles",
         [](Connection& c, const LoopbackServer& s) {
             c.write(head(200, content().size(), "ETag: \"v1\"\r\n"));
             while (!s.closing() && c.write("x")) std::this_thread::sleep_for(milliseconds(5));
         }},
        {"sends too little, always",
         [](Connection& c, const LoopbackServer&) {
             c.write(head(200, content().size() + 1, "ETag: \"v1\"\r\n") + content());
         }},
        {"is overloaded", [](Connection& c, const LoopbackServer&) { c.write(head(503, 0, "")); }},
    };
    for (const auto& row : rows) {
        LoopbackServer* self = nullptr;
        LoopbackServer server([&](Connection& connection, const std::string&) {
            while (self == nullptr) std::this_thread::yield();
            row.answer(connection, *self);
        });
        self = &server;
        auto request = request_for(server.address());
        request.limits.attempts = 2;
        const Downloaded result = download(request);
        ASSERT_TRUE(result.error) << row.what;
        EXPECT_EQ(result.error->kind, ErrorKind::unavailable) << row.what << ": " << result.error->message;
    }
}

TEST(Download, each_refusal_says_what_it_is_and_shows_no_secret) {
    struct Row {
        int status;
        std::string body;
        ErrorKind kind;
        const char* word;
    };
    const std::vector<Row> rows{
        {404, "<Error><Code>NoSuchKey</Code><Message>gone</Message></Error>", ErrorKind::not_found,
         "NoSuchKey: gone"},
        {403, "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>",
         ErrorKind::refused, "Request has expired"},
        {401, "", ErrorKind::refused, "401"},
        {400, "", ErrorKind::refused, "400"},
        {302, "", ErrorKind::refused, "302"},
    };
    for (const auto& row : rows) {
        LoopbackServer server([&](Connection& connection, const std::string&) {
            connection.write(plain_response(row.status, row.body));
        });
        auto request = request_for(server.address() + "/shop.dump?X-Signature=s3cret");
        request.headers.push_back("Authorization: Bearer s3cret");
        const Downloaded result = download(request);
        ASSERT_TRUE(result.error) << row.status;
        EXPECT_EQ(result.error->kind, row.kind) << row.status;
        const std::string text = to_text(*result.error);
        EXPECT_NE(text.find(row.word), std::string::npos) << text;
        EXPECT_NE(text.find("/shop.dump"), std::string::npos) << text;
        EXPECT_EQ(text.find("s3cret"), std::string::npos) << text;
    }
    for (const std::string& url :
         {std::string("http://127.0.0.1:1/x?s3cret"), std::string("http://no-such-host.invalid/x?s3cret")}) {
        auto request = request_for(url);
        request.limits.attempts = 1;
        const Downloaded result = download(request);
        ASSERT_TRUE(result.error) << url;
        EXPECT_EQ(result.error->kind, ErrorKind::unavailable) << url;
        EXPECT_EQ(to_text(*result.error).find("s3cret"), std::string::npos) << to_text(*result.error);
    }
}

TEST(Download, a_redirect_takes_secrets_to_the_same_server_only) {
    std::string at_other, at_same;
    LoopbackServer other([&](Connection& connection, const std::string& request) {
        at_other = request;
        connection.write(plain_response(200, content()));
    });
    LoopbackServer server([&](Connection& connection, const std::string& request) {
        if (request.starts_with("GET /here")) {
            connection.write(plain_response(302, "", "Location: /there\r\n"));
        } else if (request.starts_with("GET /there")) {
            at_same = request;
            connection.write(plain_response(307, "", "Location: " + other.address() + "/moved?signed\r\n"));
        } else {
            connection.write(plain_response(
                302, "", "Location: " + request.substr(4, request.find(' ', 4) - 4) + "x\r\n"));
        }
    });
    auto request = request_for(server.address() + "/here");
    request.headers.push_back("X-Api-Key: s3cret");
    EXPECT_EQ(download(request).text, content());
    EXPECT_NE(at_same.find("X-Api-Key: s3cret"), std::string::npos) << at_same;
    EXPECT_NE(at_other.find("GET /moved?signed"), std::string::npos) << at_other;
    EXPECT_EQ(at_other.find("s3cret"), std::string::npos) << at_other;
    const Downloaded endless = download(request_for(server.address() + "/x"));
    ASSERT_TRUE(endless.error);
    EXPECT_EQ(endless.error->kind, ErrorKind::refused);
}

TEST(Download, the_servers_checksum_counts) {
    // printf 'hello' | md5sum; the same | openssl dgst -sha256 -binary | base64
    const std::string md5 = "5d41402abc4b2a76b9719d911017c592",
                      sha256 = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";
    const std::string is_s3 = "x-amz-request-id: 1\r\n";
    struct Row {
        std::string headers;
        bool good;
    };
    const std::vector<Row> rows{
        {is_s3 + "ETag: \"" + md5 + "\"\r\n", true},
        {is_s3 + "ETag: \"0" + md5.substr(1) + "\"\r\n", false},
        {is_s3 + "ETag: \"" + md5 + "-3\"\r\n", true},
        {is_s3 + "ETag: \"0" + md5.substr(1) + "\"\r\nx-amz-server-side-encryption: aws:kms\r\n", true},
        {"ETag: \"0" + md5.substr(1) + "\"\r\n", true},
        {"x-amz-checksum-sha256: " + sha256 + "\r\n", true},
        {"x-amz-checksum-sha256: M" + sha256.substr(1) + "\r\n", false},
    };
    for (const auto& row : rows) {
        LoopbackServer server([&](Connection& connection, const std::string&) {
            connection.write(plain_response(200, "hello", row.headers));
        });
        const Downloaded result = download(request_for(server.address()));
        EXPECT_EQ(result.error.has_value(), !row.good) << row.headers;
        if (result.error) EXPECT_EQ(result.error->kind, ErrorKind::invalid);
    }
}

TEST(Download, a_failed_checksum_stays_failed) {
    LoopbackServer server([](Connection& connection, const std::string&) {
        connection.write(
            plain_response(200, "hello", "x-amz-checksum-sha256: " + std::string(44, 'x') + "\r\n"));
    });
    auto source = HttpSource::open(request_for(server.address()), "");
    ASSERT_TRUE(source);
    EXPECT_FALSE(drain(**source));
    EXPECT_FALSE(drain(**source)) << "whoever asks again must not take it for the end";
}

TEST(Download, what_says_nothing_of_itself_is_not_gone_on_with) {
    LoopbackServer server([](Connection& connection, const std::string& request) {
        const size_t begin = range_in(request);
        connection.write(begin == 0 ? head(200, content().size(), "") + content().substr(0, 30'000)
                                    : rest_from(begin, ""));
    });
    const Downloaded result = download(request_for(server.address()));
    ASSERT_TRUE(result.error);
    EXPECT_EQ(result.error->kind, ErrorKind::conflict) << result.error->message;
}

TEST(Download, a_certificate_must_be_signed_by_the_stores_authority) {
    const auto authority = test::make_authority("ours"), stranger = test::make_authority("theirs");
    LoopbackServer server(
        [](Connection& connection, const std::string&) { connection.write(plain_response(200, content())); },
        test::sign_certificate(authority, "IP:127.0.0.1"));
    const std::string file = ::testing::TempDir() + "dbrestore-ca-" + std::to_string(::getpid());
    auto request = request_for(server.address());
    request.ca_file = file;
    std::ofstream(file) << authority.certificate_pem;
    EXPECT_EQ(download(request).text, content());
    std::ofstream(file) << stranger.certificate_pem;
    const Downloaded refused = download(request);
    ASSERT_TRUE(refused.error);
    EXPECT_EQ(refused.error->kind, ErrorKind::refused);
    EXPECT_NE(to_text(*refused.error).find("caSecretRef"), std::string::npos) << to_text(*refused.error);
    std::remove(file.c_str());
}

TEST(Download, a_url_is_shown_without_what_may_be_secret) {
    EXPECT_EQ(shown_url("https://user:s3cret@host:8443/a/b?token=s3cret#x"), "https://host:8443/a/b");
    EXPECT_EQ(shown_url("nonsense of s3cret"), "(a URL that cannot be read)");
    EXPECT_EQ(origin_of("https://host/x"), origin_of("https://host:443/y"));
    EXPECT_NE(origin_of("https://host/x"), origin_of("http://host/x"));
}

}  // namespace
}  // namespace dbrestore::backups
