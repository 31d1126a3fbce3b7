#include <gtest/gtest.h>

#include <map>
#include <thread>

#include "kube/watch.h"
#include "support/fake_http.h"

namespace dbrestore::kube {
namespace {

using base::ErrorKind;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using test::FakeHttp;

// The state machine by itself

const WatchPosition kList{};
const WatchPosition kSecondPage{WatchState::list_more, "page2", "", 0};
const WatchPosition kWatch{WatchState::watch, "", "100", 0};

base::Error error(ErrorKind kind) {
    return base::error(kind, "it happened");
}

TEST(WatchSteps, AListOfOnePageIsFollowedByAWatchFromItsVersion) {
    const WatchStep step = next_step(kList, PageListed{"", "100"});
    EXPECT_EQ(step.next.state, WatchState::watch);
    EXPECT_EQ(step.next.resource_version, "100");
    EXPECT_EQ(step.pace, Pace::at_once);
}

TEST(WatchSteps, APageThatIsNotTheLastIsFollowedByTheNext) {
    const WatchStep step = next_step(kList, PageListed{"page2", "100"});
    EXPECT_EQ(step.next.state, WatchState::list_more);
    EXPECT_EQ(step.next.continue_token, "page2");
    EXPECT_EQ(step.pace, Pace::at_once);
}

TEST(WatchSteps, APageThatCouldNotBeReadIsAskedForAgainUnlessItExpired) {
    EXPECT_EQ(next_step(kSecondPage, ListFailed{error(ErrorKind::unavailable)}).next.continue_token, "page2");
    for (const ErrorKind kind :
         {ErrorKind::expired, ErrorKind::invalid, ErrorKind::refused, ErrorKind::not_found}) {
        const WatchStep step = next_step(kSecondPage, ListFailed{error(kind)});
        EXPECT_EQ(step.next.state, WatchState::list);
        EXPECT_EQ(step.next.continue_token, "");
        EXPECT_EQ(step.pace, Pace::back_off);
    }
}

TEST(WatchSteps, AWatchThatEndedGoesOnWhereItWas) {
    const WatchStep step = next_step(kWatch, WatchEnded{"120", false});
    EXPECT_EQ(step.next.state, WatchState::watch);
    EXPECT_EQ(step.next.resource_version, "120");
    EXPECT_EQ(step.pace, Pace::reset);
}

TEST(WatchSteps, AWatchThatEndsAtOnceWithNothingInItMustWait) {
    const WatchStep step = next_step(kWatch, WatchEnded{"100", true});
    EXPECT_EQ(step.next.state, WatchState::watch);
    EXPECT_EQ(step.pace, Pace::back_off);
}

TEST(WatchSteps, AWatchThatBrokeGoesOnWhereItWasAfterAWait) {
    const WatchStep step = next_step(kWatch, WatchBroke{"120", true, error(ErrorKind::unavailable)});
    EXPECT_EQ(step.next.state, WatchState::watch);
    EXPECT_EQ(step.next.resource_version, "120");
    EXPECT_EQ(step.pace, Pace::reset_and_back_off);
    EXPECT_EQ(next_step(kWatch, WatchBroke{"100", false, error(ErrorKind::unavailable)}).pace,
              Pace::back_off);
}

TEST(WatchSteps, AnExpiredOrUnintelligibleWatchListsAgain) {
    for (const ErrorKind kind : {ErrorKind::expired, ErrorKind::invalid, ErrorKind::not_found})
        EXPECT_EQ(next_step(kWatch, WatchBroke{"120", true, error(kind)}).next.state, WatchState::list);
}

TEST(WatchSteps, WatchesThatNeverBringAnythingListAgainInTheEnd) {
    WatchPosition position = kWatch;
    int watches = 0;
    while (position.state == WatchState::watch && watches < 100) {
        position = next_step(position, WatchBroke{"100", false, error(ErrorKind::unavailable)}).next;
        ++watches;
    }
    EXPECT_EQ(watches, 5);
    EXPECT_EQ(position.state, WatchState::list);
}

// The reflector over a scripted server

std::string object(const std::string& name, int version) {
    return R"({"metadata":{"namespace":"shop","name":")" + name + R"(","resourceVersion":")" +
           std::to_string(version) + R"("},"size":)" + std::to_string(version) + "}";
}
std::string list(int version, const std::string& items, const std::string& next_page = "") {
    return R"({"metadata":{"resourceVersion":")" + std::to_string(version) + R"(","continue":")" + next_page +
           R"("},"items":[)" + items + "]}";
}
std::string event(const std::string& type, const std::string& subject) {
    return R"({"type":")" + type + R"(","object":)" + subject + "}\n";
}
std::string bookmark(int version) {
    return event("BOOKMARK", R"({"metadata":{"resourceVersion":")" + std::to_string(version) + R"("}})");
}
const std::string kGoneEvent = event("ERROR", R"({"code":410,"reason":"Expired","message":"too old"})");

class ReflectorTest : public ::testing::Test {
protected:
    ReflectorOptions options() {
        ReflectorOptions options;
        options.seed = 1;
        options.base_delay = milliseconds(100);
        options.longest_delay = milliseconds(60'000);
        options.now = [this] { return now_; };
        options.sleep = [this](milliseconds delay, const std::stop_token&) {
            sleeps_.push_back(delay);
            now_ += delay;
        };
        return options;
    }
    void run_script() {
        while (!server_.script_is_over()) reflector_.step({});
    }
    std::map<std::string, int> cached() const {
        std::map<std::string, int> names;
        for (const char* name : {"a", "b", "c", "d"})
            if (const auto record = cache_.get({"shop", name})) names[name] = *record;
        return names;
    }
    // What was asked for, in short: "list", "list page2", "watch 100".
    std::vector<std::string> asked() const {
        std::vector<std::string> short_form;
        for (const auto& request : server_.requests) {
            const auto parameter = [&](const std::string& name) {
                const size_t at = request.target.find(name + "=");
                if (at == std::string::npos) return std::string();
                const size_t start = at + name.size() + 1;
                return request.target.substr(start, request.target.find('&', start) - start);
            };
            if (!parameter("watch").empty())
                short_form.push_back("watch " + parameter("resourceVersion"));
            else
                short_form.push_back(parameter("continue").empty() ? "list"
                                                                   : "list " + parameter("continue"));
        }
        return short_form;
    }

    using Names = std::map<std::string, int>;
    using Asked = std::vector<std::string>;

    steady_clock::time_point now_{std::chrono::hours(1)};
    std::vector<milliseconds> sleeps_;
    std::vector<std::string> vanished_;
    FakeHttp server_;
    Cache<int> cache_{[](const nlohmann::json& o) { return std::optional<int>(o["size"].get<int>()); },
                      [this](const Key& key, const auto&, const auto& after) {
                          if (!after) vanished_.push_back(key.name);
                      }};
    Reflector reflector_{server_, cache_, {"example.dev", "v1", "things"}, options()};
};

TEST_F(ReflectorTest, ListsInPagesThenWatchesWithBookmarksFromTheListsVersion) {
    server_.respond(200, list(100, object("a", 1) + "," + object("b", 2), "page2"));
    server_.respond(200, list(100, object("c", 3)));
    server_.stream({event("MODIFIED", object("a", 101)), event("DELETED", object("b", 102)), bookmark(110)});
    reflector_.step({});
    EXPECT_FALSE(cache_.synced()) << "one page is not the list";
    reflector_.step({});
    EXPECT_TRUE(cache_.synced());
    EXPECT_TRUE(cache_.has_seen("100"));
    reflector_.step({});
    EXPECT_EQ(cached(), (Names{{"a", 101}, {"c", 3}}));
    EXPECT_TRUE(cache_.has_seen("110"));
    EXPECT_EQ(server_.target(0), "/apis/example.dev/v1/things?limit=200");
    EXPECT_EQ(server_.target(2),
              "/apis/example.dev/v1/"
              "things?watch=1&allowWatchBookmarks=true&timeoutSeconds=120&resourceVersion=100");
    EXPECT_EQ(asked(), (Asked{"list", "list page2", "watch 100"}));
    EXPECT_TRUE(sleeps_.empty());
}

TEST_F(ReflectorTest, ResumesFromTheLastEventOrBookmark) {
    server_.respond(200, list(100, ""));
    server_.stream({event("ADDED", object("a", 105))});
    server_.stream({bookmark(150)});
    server_.stream({event("ADDED", object("b", 151))}, ErrorKind::unavailable);
    server_.stream({bookmark(160)});
    run_script();
    EXPECT_EQ(asked(), (Asked{"list", "watch 100", "watch 105", "watch 150", "watch 151"}));
    EXPECT_EQ(sleeps_.size(), 1u) << "only the broken watch is followed by a wait";
    EXPECT_EQ(cached(), (Names{{"a", 105}, {"b", 151}}));
}

TEST_F(ReflectorTest, ATornEventAtTheEndIsLeftToTheNextWatch) {
    const std::string whole = event("MODIFIED", object("a", 107));
    server_.respond(200, list(100, object("a", 1)));
    server_.stream({event("MODIFIED", object("a", 106)) + whole.substr(0, 30)}, ErrorKind::unavailable);
    server_.stream({whole.substr(0, 5), whole.substr(5, 50), whole.substr(55)});
    run_script();
    EXPECT_EQ(asked(), (Asked{"list", "watch 100", "watch 106"}));
    EXPECT_EQ(cached(), (Names{{"a", 107}}));
}

TEST_F(ReflectorTest, A410InTheMiddleOfPagingListsFromTheBeginningAndForgetsThePages) {
    server_.respond(200, list(100, object("a", 1), "page2"));
    server_.respond(410,
                    R"({"message": "continue token expired", "metadata": {"continue": "inconsistent"}})");
    server_.respond(200, list(200, object("b", 2), "page2b"));
    server_.respond(200, list(200, object("c", 3)));
    run_script();
    EXPECT_EQ(asked(), (Asked{"list", "list page2", "list", "list page2b"}));
    EXPECT_EQ(cached(), (Names{{"b", 2}, {"c", 3}}));
    EXPECT_EQ(reflector_.position().resource_version, "200");
}

TEST_F(ReflectorTest, APageIsAskedForAgainAfterABadConnection) {
    server_.respond(200, list(100, object("a", 1), "page2"));
    server_.fail(ErrorKind::unavailable).respond(503);
    server_.respond(200, list(100, object("b", 2)));
    run_script();
    EXPECT_EQ(asked(), (Asked{"list", "list page2", "list page2", "list page2"}));
    EXPECT_EQ(cached(), (Names{{"a", 1}, {"b", 2}}));
}

TEST_F(ReflectorTest, A410ToTheWatchListsAgainAndTellsWhatVanished) {
    server_.respond(200, list(100, object("a", 1) + "," + object("b", 2)));
    server_.respond(410);
    server_.respond(200, list(300, object("b", 2) + "," + object("d", 250)));
    run_script();
    EXPECT_EQ(asked(), (Asked{"list", "watch 100", "list"}));
    EXPECT_EQ(cached(), (Names{{"b", 2}, {"d", 250}}));
    EXPECT_EQ(vanished_, std::vector<std::string>{"a"});
}

TEST_F(ReflectorTest, A410InTheStreamListsAgain) {
    server_.respond(200, list(100, ""));
    server_.stream({event("ADDED", object("a", 101)), kGoneEvent, event("ADDED", object("b", 102))});
    server_.respond(200, list(300, object("c", 299)));
    run_script();
    EXPECT_EQ(asked(), (Asked{"list", "watch 100", "list"}));
    EXPECT_EQ(cached(), (Names{{"c", 299}}));
    EXPECT_EQ(sleeps_.size(), 1u);
}

TEST_F(ReflectorTest, AnotherErrorInTheStreamResumes) {
    server_.respond(200, list(100, ""));
    server_.stream({bookmark(120), event("ERROR", R"({"code":500,"message":"etcd is busy"})")});
    server_.stream({bookmark(130)});
    run_script();
    EXPECT_EQ(asked(), (Asked{"list", "watch 100", "watch 120"}));
}

TEST_F(ReflectorTest, GarbageInTheStreamListsAgainAndKeepsWhatWasThere) {
    server_.respond(200, list(100, object("a", 1)));
    server_.stream({"<html>502 Bad Gateway</html>\n"});
    reflector_.step({});
    reflector_.step({});
    EXPECT_EQ(cached(), (Names{{"a", 1}}));
    EXPECT_EQ(reflector_.position().state, WatchState::list);
    EXPECT_EQ(reflector_.counts().errors, 1u);
}

TEST_F(ReflectorTest, AListThatIsGarbageIsNotTakenForAnEmptyOne) {
    server_.respond(200, list(100, object("a", 1)));
    server_.respond(410).respond(200, "{}").respond(200, "<html>").respond(200, list(300, object("a", 1)));
    run_script();
    EXPECT_EQ(asked(), (Asked{"list", "watch 100", "list", "list", "list"}));
    EXPECT_TRUE(vanished_.empty());
}

TEST_F(ReflectorTest, ALineWithoutEndIsGivenUp) {
    server_.respond(200, list(100, ""));
    server_.stream(std::vector<std::string>(20, std::string(1 << 20, ' ')));
    run_script();
    EXPECT_EQ(reflector_.position().state, WatchState::list);
    EXPECT_EQ(reflector_.counts().errors, 1u);
}

TEST_F(ReflectorTest, WaitsLongerWithEachFailureAndFromTheBeginningAfterAnEvent) {
    server_.respond(200, list(100, ""));
    for (int i = 0; i < 4; ++i) server_.fail(ErrorKind::unavailable);
    server_.stream({bookmark(120)}, ErrorKind::unavailable);
    run_script();
    ASSERT_EQ(sleeps_.size(), 5u);
    for (size_t i = 0; i < 4; ++i) {
        EXPECT_GE(sleeps_[i], milliseconds(50 << i));
        EXPECT_LE(sleeps_[i], milliseconds(100 << i));
    }
    EXPECT_LE(sleeps_[4], milliseconds(100));
}

TEST_F(ReflectorTest, ListsThatSucceedDoNotHideWatchesThatNeverDo) {
    for (int i = 0; i < 6; ++i) server_.respond(200, list(100, "")).respond(410);
    run_script();
    ASSERT_EQ(sleeps_.size(), 6u);
    EXPECT_GE(sleeps_.back(), milliseconds(1600));
}

TEST_F(ReflectorTest, AWatchThatEndsAtOnceAgainAndAgainIsNoBusyLoop) {
    server_.respond(200, list(100, "")).stream({}).stream({}).stream({});
    run_script();
    EXPECT_EQ(sleeps_.size(), 3u);
}

TEST_F(ReflectorTest, WaitsAsLongAsTheServerAsksForButNotForever) {
    server_.respond(429, "", 3).respond(503, "", 1'000'000);
    run_script();
    ASSERT_EQ(sleeps_.size(), 2u);
    EXPECT_EQ(sleeps_[0], milliseconds(3000));
    EXPECT_EQ(sleeps_[1], milliseconds(60'000));
}

TEST_F(ReflectorTest, AsksForSmallerPagesWhenOneIsTooLarge) {
    server_.fail(ErrorKind::invalid).fail(ErrorKind::invalid).respond(200, list(100, ""));
    run_script();
    EXPECT_EQ(server_.target(1), "/apis/example.dev/v1/things?limit=100");
    EXPECT_EQ(server_.target(2), "/apis/example.dev/v1/things?limit=50");
}

TEST_F(ReflectorTest, KeepsTryingWhileItMayNotRead) {
    for (int i = 0; i < 3; ++i) server_.respond(403, R"({"message": "forbidden"})");
    server_.respond(200, list(100, object("a", 1)));
    run_script();
    EXPECT_EQ(cached(), (Names{{"a", 1}}));
}

TEST_F(ReflectorTest, WatchesOneNamespaceAndSelector) {
    ReflectorOptions narrow = options();
    narrow.namespace_name = "shop";
    narrow.label_selector = "app.kubernetes.io/managed-by=dbrestore";
    Reflector reflector(server_, cache_, {"", "v1", "pods"}, narrow);
    server_.respond(200, list(100, "")).stream({bookmark(101)});
    reflector.step({});
    reflector.step({});
    const std::string selector = "labelSelector=app.kubernetes.io%2Fmanaged-by%3Ddbrestore";
    EXPECT_EQ(server_.target(0), "/api/v1/namespaces/shop/pods?limit=200&" + selector);
    EXPECT_NE(server_.target(1).find("resourceVersion=100&" + selector), std::string::npos);
}

TEST_F(ReflectorTest, TakesAWatchForDeadOnlyAfterTheServerShouldHaveEndedIt) {
    server_.respond(200, list(100, "")).stream({bookmark(101)});
    run_script();
    EXPECT_GT(server_.requests[1].idle_timeout, std::chrono::seconds(120));
    EXPECT_LT(server_.requests[1].idle_timeout, std::chrono::seconds(150));
}

TEST_F(ReflectorTest, CountsWhatItDoes) {
    server_.respond(200, list(100, object("a", 1)));
    server_.stream({event("ADDED", object("b", 101)), bookmark(102)}, ErrorKind::unavailable);
    run_script();
    const ReflectorCounts counts = reflector_.counts();
    EXPECT_EQ(counts.lists, 1u);
    EXPECT_EQ(counts.watches, 1u);
    EXPECT_EQ(counts.events, 1u);
    EXPECT_EQ(counts.errors, 1u);
}

TEST(ReflectorThread, StopsWithinASecondEvenInTheMiddleOfALongWait) {
    FakeHttp server;  // never answers, so that it waits
    Cache<int> cache([](const nlohmann::json&) { return std::optional(1); });
    ReflectorOptions options;
    options.base_delay = options.longest_delay = std::chrono::hours(1);
    Reflector reflector(server, cache, {"", "v1", "pods"}, options);
    std::jthread thread([&](const std::stop_token& stop) { reflector.run(stop); });
    while (reflector.counts().errors == 0) std::this_thread::yield();
    const auto start = steady_clock::now();
    thread.request_stop();
    thread.join();
    EXPECT_LT(steady_clock::now() - start, std::chrono::seconds(1));
}

}  // namespace
}  // namespace dbrestore::kube
