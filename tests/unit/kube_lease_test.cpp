#include "kube/lease.h"

#include <gtest/gtest.h>

#include "support/fake_http.h"

namespace dbrestore::kube {
namespace {

using namespace std::chrono_literals;
using base::ErrorKind;
using Last = Election::Last;
using nlohmann::json;
using std::chrono::milliseconds;
using test::FakeHttp;

const LeaseTimes kTimes;
const MonotonicTime kStart{std::chrono::hours(1)};
const base::Time kWall = *base::parse_time("2026-11-22T10:00:00Z");

LeaseRecord held_by(const std::string& holder, const std::string& version = "7") {
    return {version, holder, 15s, kWall, kWall, 3};
}
LeaseFailed failure(ErrorKind kind) {
    return {base::error(kind, "it happened")};
}

// A decision in short: "read", "write", "wait 500", "give up".
std::string shown(const LeaseDecision& decision) {
    if (std::holds_alternative<ReadLease>(decision)) return "read";
    if (std::holds_alternative<WriteLease>(decision)) return "write";
    if (const auto* wait = std::get_if<WaitFirst>(&decision))
        return "wait " + std::to_string(wait->delay.count());
    return "give up";
}

Election follower(Last last, const LeaseRecord& lease) {
    Election e;
    e = after(e, LeaseSeen{lease}, kTimes, kStart, kStart);
    e.last = last;
    return e;
}
Election leader(Last last, const LeaseRecord& lease) {
    Election e = follower(last, lease);
    e.renewed = kStart;
    return e;
}

TEST(LeaseDecisions, FollowFromWhatIsKnownAndTheTime) {
    struct Row {
        const char* given;
        Election election;
        milliseconds later;
        const char* then;
    };
    const std::vector<Row> table{
        {"nothing is known", {}, 0ms, "read"},
        {"there is no Lease", follower(Last::read, {}), 0ms, "write"},
        {"it was given back", follower(Last::read, held_by("")), 0ms, "write"},
        {"another holds it", follower(Last::read, held_by("b")), 0ms, "wait 1000"},
        {"a second later", follower(Last::read, held_by("b")), 1s, "read"},
        {"it is not quite over", follower(Last::read, held_by("b")), 14'999ms, "read"},
        {"it is over", follower(Last::read, held_by("b")), 15s, "write"},
        {"own write got through unheard", follower(Last::read, held_by("a")), 0ms, "write"},
        {"another was faster", follower(Last::conflict, held_by("b")), 0ms, "wait 1000"},
        {"no answer, and it would be over", follower(Last::failed, held_by("b")), 20s, "read"},
        {"leads", leader(Last::written, held_by("a")), 500ms, "wait 1500"},
        {"must renew", leader(Last::written, held_by("a")), 2s, "write"},
        {"no answer", leader(Last::failed, held_by("a")), 0ms, "wait 500"},
        {"no answer, tries again", leader(Last::failed, held_by("a")), 500ms, "write"},
        {"somebody wrote", leader(Last::conflict, held_by("a")), 500ms, "read"},
        {"somebody wrote, but leads still", leader(Last::read, held_by("a")), 500ms, "write"},
        {"somebody deleted it", leader(Last::read, {}), 500ms, "write"},
        {"another leads", leader(Last::read, held_by("b")), 500ms, "give up"},
        {"just in time", leader(Last::failed, held_by("a")), 9'999ms, "write"},
        {"could not renew in time", leader(Last::failed, held_by("a")), 10s, "give up"},
        {"was asleep", leader(Last::written, held_by("a")), 1h, "give up"},
    };
    for (const auto& row : table)
        EXPECT_EQ(shown(next(row.election, "a", kTimes, kStart + row.later)), row.then) << row.given;
}

TEST(LeaseDecisions, ARenewalCountsFromWhenItWasSent) {
    Election e = follower(Last::read, held_by(""));
    e = after(e, LeaseWritten{held_by("a", "8")}, kTimes, kStart, kStart + 9s);
    EXPECT_TRUE(leads(e, kTimes, kStart + 9'999ms));
    EXPECT_FALSE(leads(e, kTimes, kStart + 10s));
}

TEST(LeaseDecisions, AFailureDoesNotProlongLeadership) {
    Election e = leader(Last::written, held_by("a"));
    for (const ErrorKind kind : {ErrorKind::unavailable, ErrorKind::conflict, ErrorKind::refused})
        e = after(e, failure(kind), kTimes, kStart + 9s, kStart + 9s);
    EXPECT_FALSE(leads(e, kTimes, kStart + 10s));
}

TEST(LeaseDecisions, AReadThatFailedAfterAConflictIsMadeAgain) {
    const Election e =
        after(leader(Last::conflict, held_by("a")), failure(ErrorKind::unavailable), kTimes, kStart, kStart);
    EXPECT_EQ(shown(next(e, "a", kTimes, kStart + 500ms)), "read");
}

TEST(LeaseDecisions, AnotherHolderCountsFromWhenTheReadCameBackAndEachChangeBeginsAnew) {
    Election e = after({}, LeaseSeen{held_by("b", "7")}, kTimes, kStart, kStart + 2s);
    e = after(e, LeaseSeen{held_by("b", "7")}, kTimes, kStart + 9s, kStart + 9s);
    EXPECT_EQ(e.changed, kStart + 2s) << "nothing changed";
    e = after(e, LeaseSeen{held_by("b", "8")}, kTimes, kStart + 10s, kStart + 11s);
    EXPECT_EQ(e.changed, kStart + 11s);
}

TEST(LeaseDecisions, ADeletedLeaseIsNotTakenBeforeItsHolderMustHaveNoticed) {
    Election e = follower(Last::read, held_by("b"));
    e = after(e, LeaseSeen{}, kTimes, kStart + 5s, kStart + 5s);
    EXPECT_EQ(shown(next(e, "a", kTimes, kStart + 19s)), "read");
    EXPECT_EQ(shown(next(e, "a", kTimes, kStart + 20s)), "write");
}

TEST(LeaseDecisions, ALongerLeaseThanOursIsHonouredAndAShorterIsNotTrusted) {
    LeaseRecord lease = held_by("b");
    lease.duration = 60s;
    EXPECT_EQ(shown(next(follower(Last::read, lease), "a", kTimes, kStart + 59s)), "read");
    EXPECT_EQ(shown(next(follower(Last::read, lease), "a", kTimes, kStart + 60s)), "write");
    lease.duration = 0s;
    EXPECT_EQ(shown(next(follower(Last::read, lease), "a", kTimes, kStart + 14s)), "read");
}

TEST(LeaseRecords, CountTransitionsAndNeverWriteTheSameTwice) {
    const LeaseRecord created = taken({}, "a", kTimes, kWall);
    EXPECT_EQ(created.transitions, 0);
    EXPECT_EQ(created.acquired, kWall);
    const LeaseRecord renewed = taken(held_by("a"), "a", kTimes, kWall + 2s);
    EXPECT_EQ(renewed.transitions, 3);
    EXPECT_EQ(renewed.acquired, kWall);
    EXPECT_EQ(taken(held_by("b"), "a", kTimes, kWall + 9s).transitions, 4);
    EXPECT_NE(taken(held_by("a"), "a", kTimes, kWall).renewed, kWall) << "a clock that stands still";
    EXPECT_TRUE(spec_to_json(given_back(held_by("a"), kWall))["holderIdentity"].is_null());
}

TEST(LeaseRecords, ThatAreGarbageAreHeldByNobodyAndThrowNothing) {
    for (const char* text : {R"({})", R"({"spec":null,"metadata":7})",
                             R"({"spec":{"holderIdentity":7,"leaseDurationSeconds":"x","renewTime":{}}})"}) {
        const LeaseRecord record = lease_from_json(json::parse(text));
        EXPECT_EQ(record.holder, "");
        EXPECT_EQ(record.duration, 0s);
    }
    EXPECT_EQ(lease_from_json({{"spec", {{"leaseDurationSeconds", -5}}}}).duration, 0s);
}

// The elector over a scripted server

class FixedClock final : public base::Clock {
public:
    base::Time now() const override { return kWall; }
};

class ElectorTest : public ::testing::Test {
protected:
    ElectorOptions options() {
        ElectorOptions options;
        options.namespace_name = "shop";
        options.identity = "a";
        options.now = [this] { return now_; };
        options.sleep = [this](milliseconds delay, const std::stop_token&) {
            now_ += delay;
            if (server_.script_is_over()) stop_.request_stop();
        };
        return options;
    }
    static std::string lease(const std::string& holder, int version) {
        json document{{"metadata", {{"resourceVersion", std::to_string(version)}}},
                      {"spec", spec_to_json(held_by(holder))}};
        return document.dump();
    }
    std::string methods() const {
        std::string all;
        for (const auto& request : server_.requests) all += (all.empty() ? "" : " ") + request.method;
        return all;
    }
    json body(size_t index) const { return json::parse(server_.requests.at(index).body); }

    MonotonicTime now_ = kStart;
    std::stop_source stop_;
    FakeHttp server_;
    FixedClock clock_;
    Elector elector_{server_, clock_, options()};
};

TEST_F(ElectorTest, CreatesTheLeaseThenRenewsItByItsVersionThenGivesItBack) {
    server_.respond(404).respond(201, lease("a", 1)).respond(200, lease("a", 2));
    EXPECT_FALSE(elector_.leads());
    EXPECT_EQ(elector_.run(stop_.get_token()), std::nullopt);
    EXPECT_TRUE(elector_.leads());
    EXPECT_TRUE(elector_.wait_until_leading({}));
    server_.respond(200, lease("", 3));
    elector_.release();
    EXPECT_FALSE(elector_.leads());
    EXPECT_EQ(methods(), "GET POST PATCH PATCH");
    const std::string path = "/apis/coordination.k8s.io/v1/namespaces/shop/leases";
    EXPECT_EQ(server_.target(1), path);
    EXPECT_EQ(body(1)["metadata"], (json{{"name", "dbrestore-leader"}}));
    EXPECT_EQ(body(1)["spec"]["holderIdentity"], "a");
    EXPECT_EQ(body(1)["spec"]["leaseDurationSeconds"], 15);
    EXPECT_EQ(body(1)["spec"]["renewTime"], "2026-11-22T10:00:00.000000Z");
    EXPECT_EQ(server_.target(2), path + "/dbrestore-leader?fieldManager=dbrestore-leader");
    EXPECT_EQ(body(2)["metadata"]["resourceVersion"], "1");
    EXPECT_EQ(body(3)["metadata"]["resourceVersion"], "2");
    EXPECT_TRUE(body(3)["spec"]["holderIdentity"].is_null());
    EXPECT_EQ(body(3)["spec"]["leaseDurationSeconds"], 1);
    for (const auto& request : server_.requests) EXPECT_LT(request.timeout * 3, 10s) << request.method;
}

TEST_F(ElectorTest, OneThatFollowsGivesNothingBack) {
    server_.respond(200, lease("b", 1));
    EXPECT_EQ(elector_.run(stop_.get_token()), std::nullopt);
    elector_.release();
    EXPECT_EQ(methods(), "GET");
    EXPECT_FALSE(elector_.wait_until_leading(stop_.get_token()));
}

TEST_F(ElectorTest, GivesBackWhatItTookWithoutHearingOfIt) {
    server_.respond(404).fail(ErrorKind::unavailable);
    EXPECT_EQ(elector_.run(stop_.get_token()), std::nullopt);
    server_.respond(200, lease("a", 1)).respond(200, lease("", 2));
    elector_.release();
    EXPECT_EQ(methods(), "GET POST GET PATCH");
}

TEST_F(ElectorTest, SaysWhyItLeadsNoLonger) {
    server_.respond(404).respond(201, lease("a", 1)).respond(409).respond(200, lease("b", 2));
    EXPECT_EQ(elector_.run(stop_.get_token()), "b holds the Lease");
}

TEST_F(ElectorTest, LeadsNoLongerOnceItCouldNotRenewForTenSeconds) {
    server_.respond(404).respond(201, lease("a", 1));
    for (int i = 0; i < 40; ++i) server_.respond(503);
    EXPECT_EQ(elector_.run(stop_.get_token()), "no renewal came through for 10 s");
    EXPECT_FALSE(elector_.leads());
    EXPECT_EQ(now_, kStart + 10s);
    EXPECT_GE(server_.requests.size(), 5u) << "one bad answer is no reason to give up";
}

TEST_F(ElectorTest, OneThatSleptDoesNotLeadBeforeItNoticesEither) {
    server_.respond(404).respond(201, lease("a", 1));
    EXPECT_EQ(elector_.run(stop_.get_token()), std::nullopt);
    EXPECT_TRUE(elector_.leads());
    now_ += 20s;
    EXPECT_FALSE(elector_.leads());
}

TEST_F(ElectorTest, TellsWhenItDoesNotGoRound) {
    ElectorOptions slow = options();
    std::vector<bool> hangs;
    std::optional<Elector> elector;
    slow.sleep = [&](milliseconds, const std::stop_token&) {
        now_ += 15s;
        hangs.push_back(elector->hangs());
        now_ += 1ms;
        hangs.push_back(elector->hangs());
        if (server_.script_is_over()) stop_.request_stop();
    };
    elector.emplace(server_, clock_, slow);
    EXPECT_FALSE(elector->hangs()) << "it has not begun: the caches may take their time";
    server_.respond(200, lease("b", 1)).respond(200, lease("b", 2));
    EXPECT_EQ(elector->run(stop_.get_token()), std::nullopt);
    EXPECT_EQ(hangs, (std::vector<bool>{false, true, false, true}));
    now_ += 1h;
    EXPECT_FALSE(elector->hangs()) << "it was stopped";
}

TEST(LeaderGate, LetsOnlyReadingThroughWhileNotLeading) {
    FakeHttp server;
    bool leading = true;
    LeaderGate gate(server, [&] { return leading; });
    const auto send = [&](const std::string& method) {
        Request request;
        request.method = method;
        request.target = "/api/v1/pods";
        server.respond(200, "{}");
        return gate.send(request);
    };
    for (const char* method : {"GET", "POST", "PATCH", "DELETE", "PUT"}) EXPECT_TRUE(send(method)) << method;
    const size_t sent = server.requests.size();
    leading = false;
    EXPECT_TRUE(send("GET"));
    for (const char* method : {"POST", "PATCH", "DELETE", "PUT"}) {
        const auto answer = send(method);
        ASSERT_FALSE(answer) << method;
        EXPECT_EQ(answer.error().kind, ErrorKind::unavailable);
        EXPECT_NE(answer.error().message.find("not the leader any more"), std::string::npos);
    }
    EXPECT_EQ(server.requests.size(), sent + 1);
    Request stream;
    stream.method = "POST";
    EXPECT_FALSE(gate.open(stream));
    stream.method = "GET";
    EXPECT_TRUE(gate.open(stream));
}

}  // namespace
}  // namespace dbrestore::kube
