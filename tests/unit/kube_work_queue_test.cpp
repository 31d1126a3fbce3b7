#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <random>
#include <thread>

#include "kube/work_queue.h"

namespace dbrestore::kube {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

const Key kShop{"default", "shop"}, kBlog{"default", "blog"};

// A queue on a clock that stands still unless it is pushed.
class WorkQueueTest : public ::testing::Test {
protected:
    WorkQueueOptions options() {
        WorkQueueOptions options;
        options.now = [this] { return now_; };
        options.waited = [this](double waited) { waited_seconds_.push_back(waited); };
        options.worked = [this](double worked) { worked_seconds_.push_back(worked); };
        return options;
    }

    steady_clock::time_point now_{std::chrono::hours(1)};
    std::vector<double> waited_seconds_, worked_seconds_;
    WorkQueue queue_{options()};
};

TEST_F(WorkQueueTest, HandsOutKeysInTheOrderTheyCame) {
    queue_.add(kShop);
    queue_.add(kBlog);
    EXPECT_EQ(queue_.try_get(), kShop);
    EXPECT_EQ(queue_.try_get(), kBlog);
    EXPECT_EQ(queue_.try_get(), std::nullopt);
}

TEST_F(WorkQueueTest, HoldsAKeyOnceHoweverOftenItIsAdded) {
    for (int i = 0; i < 5; ++i) queue_.add(kShop);
    EXPECT_EQ(queue_.stats().depth, 1u);
    EXPECT_EQ(queue_.stats().adds, 1u);
    EXPECT_EQ(queue_.try_get(), kShop);
    EXPECT_EQ(queue_.try_get(), std::nullopt);
}

TEST_F(WorkQueueTest, AKeyThatIsAddedWhileInWorkComesAgainAfterwardsAndOnlyThen) {
    queue_.add(kShop);
    ASSERT_EQ(queue_.try_get(), kShop);
    queue_.add(kShop);
    queue_.add(kShop);
    EXPECT_EQ(queue_.try_get(), std::nullopt);
    queue_.done(kShop);
    EXPECT_EQ(queue_.try_get(), kShop);
    queue_.done(kShop);
    EXPECT_EQ(queue_.try_get(), std::nullopt);
}

TEST_F(WorkQueueTest, ADelayedKeyComesWhenItsTimeHasCome) {
    queue_.add_after(kShop, milliseconds(100));
    now_ += milliseconds(99);
    EXPECT_EQ(queue_.try_get(), std::nullopt);
    EXPECT_EQ(queue_.stats().delayed, 1u);
    now_ += milliseconds(1);
    EXPECT_EQ(queue_.try_get(), kShop);
    EXPECT_EQ(queue_.stats().delayed, 0u);
}

TEST_F(WorkQueueTest, OfTwoTimesTheEarlierCounts) {
    queue_.add_after(kShop, milliseconds(100));
    queue_.add_after(kShop, milliseconds(10));
    queue_.add_after(kShop, milliseconds(500));
    now_ += milliseconds(10);
    EXPECT_EQ(queue_.try_get(), kShop);
    queue_.done(kShop);
    now_ += milliseconds(1000);
    EXPECT_EQ(queue_.try_get(), std::nullopt);
}

TEST_F(WorkQueueTest, ADelayOfNothingIsNoDelay) {
    queue_.add_after(kShop, milliseconds(0));
    queue_.add_after(kBlog, milliseconds(-5));
    EXPECT_EQ(queue_.try_get(), kShop);
    EXPECT_EQ(queue_.try_get(), kBlog);
}

TEST_F(WorkQueueTest, FailuresWaitLongerEachTimeUntilForgotten) {
    for (const int delay : {5, 10, 20, 40}) {
        queue_.add_rate_limited(kShop);
        now_ += milliseconds(delay - 1);
        EXPECT_EQ(queue_.try_get(), std::nullopt) << delay;
        now_ += milliseconds(1);
        ASSERT_EQ(queue_.try_get(), kShop) << delay;
        queue_.done(kShop);
    }
    EXPECT_EQ(queue_.failures(kShop), 4);
    EXPECT_EQ(queue_.failures(kBlog), 0);
    EXPECT_EQ(queue_.stats().retries, 4u);
    queue_.forget(kShop);
    queue_.add_rate_limited(kShop);
    now_ += milliseconds(5);
    EXPECT_EQ(queue_.try_get(), kShop);
}

TEST_F(WorkQueueTest, MeasuresWaitingAndWorking) {
    queue_.add(kShop);
    now_ += milliseconds(300);
    queue_.try_get();
    now_ += milliseconds(2000);
    EXPECT_DOUBLE_EQ(queue_.stats().unfinished_seconds, 2.0);
    EXPECT_DOUBLE_EQ(queue_.stats().longest_running_seconds, 2.0);
    EXPECT_EQ(queue_.stats().processing, 1u);
    queue_.done(kShop);
    EXPECT_EQ(waited_seconds_, std::vector<double>{0.3});
    EXPECT_EQ(worked_seconds_, std::vector<double>{2.0});
    EXPECT_DOUBLE_EQ(queue_.stats().unfinished_seconds, 0);
}

TEST_F(WorkQueueTest, AfterShutDownItHandsOutWhatIsReadyAndTakesNothing) {
    queue_.add(kShop);
    queue_.add_after(kBlog, milliseconds(1));
    queue_.shut_down();
    queue_.add(Key{"default", "late"});
    queue_.add_rate_limited(Key{"default", "later"});
    now_ += std::chrono::hours(1);
    EXPECT_EQ(queue_.get(), kShop);
    EXPECT_EQ(queue_.get(), std::nullopt);
}

TEST(WorkQueueThreads, AWaitingWorkerWakesForAKeyForADelayedKeyAndForTheShutDown) {
    WorkQueue queue;
    std::atomic<int> got{0};
    std::jthread worker([&] {
        while (const auto key = queue.get()) {
            queue.done(*key);
            ++got;
        }
    });
    const auto wakes_for = [&](int keys) {
        const auto deadline = steady_clock::now() + std::chrono::seconds(5);
        while (got < keys && steady_clock::now() < deadline) std::this_thread::sleep_for(milliseconds(1));
        return got == keys;
    };
    queue.add_after(Key{"default", "much later"}, std::chrono::hours(1));
    queue.add(kShop);
    EXPECT_TRUE(wakes_for(1));
    std::this_thread::sleep_for(milliseconds(20));  // it waits for the hour now
    queue.add_after(kBlog, milliseconds(20));
    EXPECT_TRUE(wakes_for(2));
    queue.shut_down();
    worker.join();
    EXPECT_EQ(got, 2);
}

TEST(WorkQueueThreads, DrainingWaitsForTheKeyInWork) {
    WorkQueue queue;
    std::atomic<bool> finished{false};
    queue.add(kShop);
    std::jthread worker([&] {
        while (const auto key = queue.get()) {
            std::this_thread::sleep_for(milliseconds(50));
            finished = true;
            queue.done(*key);
        }
    });
    while (queue.stats().processing == 0) std::this_thread::yield();
    queue.shut_down_and_drain();
    EXPECT_TRUE(finished);
}

// Whatever threads do: no key is with two workers, and each add is followed by a look at the key.
TEST(WorkQueueThreads, NeverGivesOneKeyToTwoWorkersAndNeverLosesAnAdd) {
    constexpr int kKeys = 5, kAddsEach = 2000;
    WorkQueue queue;
    std::map<Key, std::atomic<int>> in_work, written, seen;
    std::vector<Key> keys;
    for (int i = 0; i < kKeys; ++i) keys.push_back({"default", std::to_string(i)});
    for (const Key& key : keys) in_work[key] = written[key] = seen[key] = 0;
    std::atomic<int> collisions{0};

    const auto work = [&] {
        while (const auto key = queue.get()) {
            if (in_work[*key].fetch_add(1) != 0) ++collisions;
            seen[*key] = written[*key].load();
            --in_work[*key];
            queue.done(*key);
        }
    };
    {
        std::jthread first(work), second(work), third(work);
        {
            std::vector<std::jthread> writers;
            for (unsigned seed = 1; seed <= 2; ++seed)
                writers.emplace_back([&, seed] {
                    std::mt19937 random(seed);
                    for (int i = 0; i < kAddsEach; ++i) {
                        const Key& key = keys[random() % kKeys];
                        ++written[key];
                        if (random() % 8 == 0)
                            queue.add_after(key, milliseconds(random() % 3));
                        else
                            queue.add(key);
                    }
                });
        }
        while (queue.stats().delayed > 0) std::this_thread::sleep_for(milliseconds(1));
        queue.shut_down_and_drain();
    }
    EXPECT_EQ(collisions, 0);
    for (const Key& key : keys) EXPECT_EQ(seen[key], written[key]) << key.name;
}

}  // namespace
}  // namespace dbrestore::kube
