#include <gtest/gtest.h>

#include "base/clock.h"

namespace dbrestore::base {
namespace {

TEST(ParseTime, takes_RFC_3339_with_any_zone_and_fraction) {
    const struct {
        const char *text, *in_utc;
    } rows[] = {
        {"2026-11-22T10:00:00Z", "2026-11-22T10:00:00.000000Z"},
        {"2026-11-22t10:00:00z", "2026-11-22T10:00:00.000000Z"},
        {"2026-11-22T10:00:00.5Z", "2026-11-22T10:00:00.500000Z"},
        {"2026-11-22T10:00:00.123456789Z", "2026-11-22T10:00:00.123000Z"},
        {"2026-11-22T10:00:00+02:00", "2026-11-22T08:00:00.000000Z"},
        {"2026-11-22T00:30:00+05:45", "2026-11-21T18:45:00.000000Z"},
        {"2026-12-31T23:30:00-01:00", "2027-01-01T00:30:00.000000Z"},
        {"2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000000Z"},
        {"1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.500000Z"},
    };
    for (const auto& row : rows) {
        const auto time = parse_time(row.text);
        ASSERT_TRUE(time) << row.text;
        EXPECT_EQ(format_time_micro(*time), row.in_utc) << row.text;
    }
}

TEST(ParseTime, takes_nothing_else) {
    for (const char* text :
         {"", "2026-11-22", "2026-11-22T10:00:00", "2026-11-22 10:00:00Z", "2026-13-01T10:00:00Z",
          "2026-02-29T10:00:00Z", "2026-11-22T24:00:00Z", "2026-11-22T10:60:00Z", "2026-11-22T10:00:60Z",
          "2026-11-22T10:00:00,5Z", "2026-11-22T10:00:00.Z", "2026-11-22T10:00:00+0200",
          "2026-11-22T10:00:00+24:00", "2026-11-22T10:00:00+02:60", "2026-11-22T10:00:00Zx",
          "x026-11-22T10:00:00Z", "2026-11-22T10:00:00.5", "-026-11-22T10:00:00Z"}) {
        EXPECT_FALSE(parse_time(text)) << text;
    }
}

TEST(FormatTime, is_what_ParseTime_takes) {
    const Time now = SystemClock{}.now();
    EXPECT_EQ(*parse_time(format_time_micro(now)), now);
    EXPECT_EQ(*parse_time(format_time(now)), std::chrono::floor<std::chrono::seconds>(now));
}

TEST(FormatTime, keeps_within_the_years_that_can_be_read_back) {
    EXPECT_EQ(format_time(Time::max()), "9999-12-31T23:59:59Z");
    EXPECT_EQ(format_time(*parse_time("9999-12-31T23:59:59-01:00")), "9999-12-31T23:59:59Z");
    EXPECT_EQ(format_time_micro(Time::max()), "9999-12-31T23:59:59.999000Z");
    EXPECT_EQ(format_time(Time::min()), "0000-01-01T00:00:00Z");
    EXPECT_EQ(format_time(*parse_time("0000-01-01T00:00:00+01:00")), "0000-01-01T00:00:00Z");
}

}  // namespace
}  // namespace dbrestore::base
