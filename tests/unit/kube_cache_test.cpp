#include <gtest/gtest.h>

#include <thread>

#include "kube/cache.h"

namespace dbrestore::kube {
namespace {

using nlohmann::json;

struct Change {
    std::string name;
    int before, after;  // -1: none
    bool operator==(const Change&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Change& c) {
    return out << c.name << ":" << c.before << ">" << c.after;
}

// A cache of the member "size" of objects; a negative size is of no interest.
class CacheTest : public ::testing::Test {
protected:
    static std::optional<int> project(const json& object) {
        const int size = object["size"];
        return size < 0 ? std::nullopt : std::optional(size);
    }
    static ObjectIdentity named(const std::string& name, uint64_t version) {
        return {{"shop", name}, version};
    }
    static json sized(int size) { return {{"size", size}}; }

    std::vector<Change> changes_;
    Cache<int> cache_{project, [this](const Key& key, const auto& before, const auto& after) {
                          changes_.push_back({key.name, before ? *before : -1, after ? *after : -1});
                      }};
};

TEST_F(CacheTest, ShowsNothingOfAListBeforeItIsComplete) {
    cache_.begin_replace();
    cache_.add_listed(named("a", 1), sized(10));
    EXPECT_FALSE(cache_.synced());
    EXPECT_EQ(cache_.size(), 0u);
    cache_.finish_replace(5);
    EXPECT_TRUE(cache_.synced());
    ASSERT_NE(cache_.get({"shop", "a"}), nullptr);
    EXPECT_EQ(*cache_.get({"shop", "a"}), 10);
    EXPECT_EQ(cache_.get({"other", "a"}), nullptr);
}

TEST_F(CacheTest, ReplacingTellsWhatAppearedChangedAndVanishedAndNothingElse) {
    cache_.begin_replace();
    cache_.add_listed(named("changed", 1), sized(1));
    cache_.add_listed(named("same", 2), sized(2));
    cache_.add_listed(named("vanished", 3), sized(3));
    cache_.finish_replace(5);
    changes_.clear();

    cache_.begin_replace();
    cache_.add_listed(named("appeared", 9), sized(4));
    cache_.add_listed(named("changed", 8), sized(5));
    cache_.add_listed(named("same", 2), sized(2));
    cache_.finish_replace(10);
    EXPECT_EQ(changes_, (std::vector<Change>{{"appeared", -1, 4}, {"changed", 1, 5}, {"vanished", 3, -1}}));
    EXPECT_EQ(cache_.size(), 3u);
}

TEST_F(CacheTest, AListThatWasGivenUpLeavesNoTrace) {
    cache_.begin_replace();
    cache_.add_listed(named("ghost", 1), sized(1));
    cache_.begin_replace();
    cache_.add_listed(named("real", 2), sized(2));
    cache_.finish_replace(3);
    EXPECT_EQ(cache_.get({"shop", "ghost"}), nullptr);
    EXPECT_EQ(changes_, (std::vector<Change>{{"real", -1, 2}}));
}

TEST_F(CacheTest, AnObjectThatBecomesUninterestingIsGone) {
    cache_.put(named("a", 1), sized(1));
    cache_.put(named("a", 2), sized(-1));
    cache_.put(named("b", 3), sized(-1));
    EXPECT_EQ(cache_.size(), 0u);
    EXPECT_EQ(changes_, (std::vector<Change>{{"a", -1, 1}, {"a", 1, -1}}));
}

TEST_F(CacheTest, ErasingWhatIsNotThereSaysNothing) {
    cache_.erase(named("a", 1));
    EXPECT_TRUE(changes_.empty());
}

TEST_F(CacheTest, AReaderKeepsItsRecordWhileTheCacheGoesOn) {
    cache_.put(named("a", 1), sized(1));
    const auto held = cache_.get({"shop", "a"});
    cache_.put(named("a", 2), sized(2));
    cache_.erase(named("a", 3));
    EXPECT_EQ(*held, 1);
}

TEST_F(CacheTest, ListsWhatIsWanted) {
    for (int i = 1; i <= 4; ++i)
        cache_.put(named("n" + std::to_string(i), static_cast<uint64_t>(i)), sized(i));
    EXPECT_EQ(cache_.list().size(), 4u);
    const auto even = cache_.list_if([](int size) { return size % 2 == 0; });
    ASSERT_EQ(even.size(), 2u);
    EXPECT_EQ(*even[0], 2);
    EXPECT_EQ(*even[1], 4);
}

TEST_F(CacheTest, HasSeenAWriteOnceSomethingAsNewCameIn) {
    EXPECT_FALSE(cache_.has_seen("7")) << "nothing was listed yet";
    cache_.begin_replace();
    cache_.finish_replace(9);
    EXPECT_TRUE(cache_.has_seen("7"));
    EXPECT_TRUE(cache_.has_seen("9"));
    EXPECT_FALSE(cache_.has_seen("10")) << "compared as numbers, not as text";
    cache_.put(named("a", 10), sized(1));
    EXPECT_TRUE(cache_.has_seen("10"));
    cache_.erase(named("a", 11));
    EXPECT_TRUE(cache_.has_seen("11"));
    cache_.advance(120);
    EXPECT_TRUE(cache_.has_seen("120"));
    EXPECT_FALSE(cache_.has_seen("121"));
    EXPECT_TRUE(cache_.has_seen("")) << "no write to wait for";
}

TEST_F(CacheTest, FollowsAServerThatCountsFromTheBeginningAgain) {
    cache_.begin_replace();
    cache_.finish_replace(1000);
    cache_.begin_replace();
    cache_.finish_replace(50);
    EXPECT_FALSE(cache_.has_seen("900"));
    EXPECT_TRUE(cache_.has_seen("50"));
}

TEST_F(CacheTest, WaitingForTheFirstListEndsWithItOrWithAStop) {
    std::stop_source stop;
    std::jthread stopper([&stop] { stop.request_stop(); });
    EXPECT_FALSE(cache_.wait_synced(stop.get_token()));

    std::jthread reflector([this] {
        cache_.begin_replace();
        cache_.finish_replace(1);
    });
    EXPECT_TRUE(cache_.wait_synced({}));
}

TEST(ResourceVersion, IsANumberOrNothing) {
    EXPECT_EQ(parse_resource_version("18446744073709551615"), UINT64_MAX);
    for (const char* bad : {"", "a", "1a", "-1", "+1", " 1", "1 ", "18446744073709551616", "0x1"})
        EXPECT_EQ(parse_resource_version(bad), std::nullopt) << bad;
}

}  // namespace
}  // namespace dbrestore::kube
