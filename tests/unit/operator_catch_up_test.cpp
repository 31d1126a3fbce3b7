#include "operator/catch_up.h"

#include <gtest/gtest.h>

#include "support/fake_http.h"

namespace dbrestore::op {
namespace {

using base::ErrorKind;
using nlohmann::json;
using std::chrono::milliseconds;

json pod(const std::string& name, const std::string& version) {
    return {{"metadata", {{"namespace", "shop"}, {"name", name}, {"resourceVersion", version}}}};
}

class CatchUp : public ::testing::Test {
protected:
    CatchUp() {
        for (kube::RecordStore* store : stores()) {
            store->begin_replace();
            if (store == &caches_.pods) store->add_listed({{"shop", "a"}, 5}, pod("a", "5"));
            store->finish_replace(10);
        }
    }
    std::vector<kube::RecordStore*> stores() {
        return {&caches_.restores, &caches_.servers, &caches_.stateful_sets, &caches_.deployments,
                &caches_.jobs,     &caches_.pods,    &caches_.claims};
    }
    // What the seven lists answer: all empty but for these pods.
    void listed(const std::string& version, const std::vector<json>& pods) {
        for (kube::RecordStore* store : stores()) {
            json list{{"metadata", {{"resourceVersion", version}}}, {"items", json::array()}};
            if (store == &caches_.pods) list["items"] = pods;
            server_.respond(200, list.dump());
        }
    }
    bool catch_up() {
        CatchUpOptions options;
        options.namespace_name = "shop";
        options.sleep = [this](milliseconds delay, const std::stop_token&) {
            slept_ += delay;
            if (slept_ >= arrives_after_) caches_.pods.put({{"shop", "a"}, 15}, pod("a", "15"));
        };
        return op::catch_up(client_, caches_, options, stop_.get_token());
    }

    kube::WorkQueue queue_;
    Caches caches_{queue_, queue_};
    test::FakeHttp server_;
    std::stop_source stop_;
    kube::Client client_{server_};
    milliseconds slept_{0}, arrives_after_{std::chrono::hours(1)};
};

TEST_F(CatchUp, DoesNotWaitForQuietKindsThatShowWhatIsListed) {
    listed("9999", {pod("a", "5")});
    EXPECT_TRUE(catch_up());
    EXPECT_EQ(slept_.count(), 0);
    EXPECT_EQ(server_.requests.size(), 7u);
}

TEST_F(CatchUp, WaitsUntilACacheShowsTheNewerVersion) {
    listed("15", {pod("a", "15")});
    arrives_after_ = milliseconds(700);
    EXPECT_TRUE(catch_up());
    EXPECT_EQ(slept_.count(), 700);
}

TEST_F(CatchUp, WaitsForADeletionAndAnAppearanceAndGoesOnAfterTenSeconds) {
    for (const auto& pods : {std::vector<json>{}, {pod("a", "5"), pod("b", "7")}}) {
        slept_ = milliseconds(0);
        listed("9999", pods);
        EXPECT_TRUE(catch_up());
        EXPECT_EQ(slept_.count(), 10'000);
    }
}

TEST_F(CatchUp, ListsAgainWhereTheApiServerDoesNotAnswerAndEndsWithTheStop) {
    server_.respond(503);
    listed("9999", {pod("a", "5")});
    EXPECT_TRUE(catch_up());
    EXPECT_EQ(slept_.count(), 500);
    stop_.request_stop();
    server_.fail(ErrorKind::unavailable);
    EXPECT_FALSE(catch_up());
}

}  // namespace
}  // namespace dbrestore::op
