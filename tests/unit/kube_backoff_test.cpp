#include <gtest/gtest.h>

#include "kube/backoff.h"

namespace dbrestore::kube {
namespace {

using std::chrono::milliseconds;

TEST(Backoff, DoublesWithEachFailureUpToTheLongest) {
    const milliseconds base(5), longest(1'000'000);
    EXPECT_EQ(exponential_delay(base, longest, 0), milliseconds(5));
    EXPECT_EQ(exponential_delay(base, longest, 1), milliseconds(10));
    EXPECT_EQ(exponential_delay(base, longest, 10), milliseconds(5120));
    EXPECT_EQ(exponential_delay(base, longest, 1'000'000), longest);
    EXPECT_EQ(exponential_delay(milliseconds(50), milliseconds(20), 0), milliseconds(20));
}

TEST(Backoff, StaysBetweenHalfAndWholeOfTheDelay) {
    Backoff backoff(milliseconds(100), milliseconds(1600), 7);
    for (const int whole : {100, 200, 400, 800, 1600, 1600, 1600}) {
        const milliseconds delay = backoff.next();
        EXPECT_GE(delay, milliseconds(whole / 2));
        EXPECT_LE(delay, milliseconds(whole));
    }
}

TEST(Backoff, BeginsAnewAfterReset) {
    Backoff backoff(milliseconds(100), milliseconds(1600), 7);
    for (int i = 0; i < 5; ++i) backoff.next();
    backoff.reset();
    EXPECT_LE(backoff.next(), milliseconds(100));
}

TEST(Backoff, GivesTheSameDelaysForTheSameSeed) {
    Backoff one(milliseconds(100), milliseconds(100'000), 42),
        same(milliseconds(100), milliseconds(100'000), 42);
    Backoff other(milliseconds(100), milliseconds(100'000), 43);
    bool differs = false;
    for (int i = 0; i < 10; ++i) {
        const milliseconds delay = one.next();
        EXPECT_EQ(delay, same.next());
        differs = differs || delay != other.next();
    }
    EXPECT_TRUE(differs);
}

}  // namespace
}  // namespace dbrestore::kube
