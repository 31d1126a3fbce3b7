#include "base/clock.h"

#include <algorithm>
#include <cstdio>

namespace dbrestore::base {

namespace {

using std::chrono::year;
constexpr Time first_time = std::chrono::sys_days{year{0} / 1 / 1};
constexpr Time end_of_time = std::chrono::sys_days{year{10000} / 1 / 1};

struct Fields {
    std::chrono::year_month_day date;
    int hour, minute, second, micro;
};

Fields split(Time time) {
    time = std::clamp(time, first_time, end_of_time - std::chrono::milliseconds{1});
    const auto day = std::chrono::floor<std::chrono::days>(time);
    const std::chrono::hh_mm_ss clock{time - day};
    return {std::chrono::year_month_day{day}, static_cast<int>(clock.hours().count()),
            static_cast<int>(clock.minutes().count()), static_cast<int>(clock.seconds().count()),
            static_cast<int>(clock.subseconds().count()) * 1000};
}

std::optional<int> number(std::string_view text, size_t at, size_t digits) {
    if (at + digits > text.size()) return std::nullopt;
    int value = 0;
    for (size_t i = at; i < at + digits; ++i) {
        if (text[i] < '0' || text[i] > '9') return std::nullopt;
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

// The zone's offset in minutes; `at` is where it begins.
std::optional<int> zone_minutes(std::string_view text, size_t at) {
    if (text.substr(at) == "Z" || text.substr(at) == "z") return 0;
    if (text.size() != at + 6 || (text[at] != '+' && text[at] != '-') || text[at + 3] != ':')
        return std::nullopt;
    const auto hours = number(text, at + 1, 2);
    const auto minutes = number(text, at + 4, 2);
    if (!hours || !minutes || *hours > 23 || *minutes > 59) return std::nullopt;
    return (text[at] == '-' ? -1 : 1) * (*hours * 60 + *minutes);
}

}  // namespace

Time SystemClock::now() const {
    return std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

std::string format_time(Time time) {
    const Fields f = split(time);
    char text[32];
    std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02dZ", static_cast<int>(f.date.year()),
                  static_cast<unsigned>(f.date.month()), static_cast<unsigned>(f.date.day()), f.hour,
                  f.minute, f.second);
    return text;
}

std::string format_time_micro(Time time) {
    char fraction[16];
    std::snprintf(fraction, sizeof fraction, ".%06dZ", split(time).micro);
    std::string text = format_time(time);
    text.replace(text.size() - 1, 1, fraction);
    return text;
}

std::optional<Time> parse_time(std::string_view text) {
    if (text.size() < 20 || text[4] != '-' || text[7] != '-' || (text[10] != 'T' && text[10] != 't') ||
        text[13] != ':' || text[16] != ':') {
        return std::nullopt;
    }
    const auto year = number(text, 0, 4), month = number(text, 5, 2), day = number(text, 8, 2);
    const auto hour = number(text, 11, 2), minute = number(text, 14, 2), second = number(text, 17, 2);
    if (!year || !month || !day || !hour || !minute || !second) return std::nullopt;
    const std::chrono::year_month_day date{std::chrono::year{*year},
                                           std::chrono::month{static_cast<unsigned>(*month)},
                                           std::chrono::day{static_cast<unsigned>(*day)}};
    if (!date.ok() || *hour > 23 || *minute > 59 || *second > 59) return std::nullopt;
    size_t at = 19;
    int milli = 0;
    if (text[at] == '.') {
        int scale = 100;
        size_t digits = 0;
        for (++at; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, ++digits) {
            milli += (text[at] - '0') * scale;
            scale /= 10;
        }
        if (digits == 0) return std::nullopt;
    }
    const auto zone = zone_minutes(text, at);
    if (!zone) return std::nullopt;
    return Time{std::chrono::sys_days{date}} + std::chrono::hours{*hour} +
           std::chrono::minutes{*minute - *zone} + std::chrono::seconds{*second} +
           std::chrono::milliseconds{milli};
}

}  // namespace dbrestore::base
