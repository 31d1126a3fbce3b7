#pragma once
// Time. Wall time as whole milliseconds since 1970 in UTC, so that it can be compared, stored and faked.

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace dbrestore::base {

using Time = std::chrono::sys_time<std::chrono::milliseconds>;

class Clock {
public:
    virtual ~Clock() = default;
    virtual Time now() const = 0;
};

class SystemClock final : public Clock {
public:
    Time now() const override;
};

// RFC 3339 in UTC with whole seconds, as Kubernetes writes metav1.Time: 2026-11-22T10:00:00Z. A time
// outside of the years 0 to 9999, which nobody could read back, becomes the nearest one inside.
std::string format_time(Time time);

// The same with microseconds, as Kubernetes writes metav1.MicroTime.
std::string format_time_micro(Time time);

// Takes RFC 3339 with any zone and fraction; nothing where the zone is missing or a field is out of range.
std::optional<Time> parse_time(std::string_view text);

inline double seconds_between(Time from, Time to) {
    return std::chrono::duration<double>(to - from).count();
}

}  // namespace dbrestore::base
