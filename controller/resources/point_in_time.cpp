#include "resources/point_in_time.h"

#include <algorithm>

#include "base/clock.h"
#include "resources/json_fields.h"

namespace dbrestore::resources {

namespace {

constexpr size_t max_fraction_digits = 6;  // PostgreSQL would round more, and keep what came after
constexpr int64_t max_timeline = 4294967295;

bool is_hexadecimal(std::string_view text) {
    return !text.empty() && text.size() <= 8 &&
           text.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
}

bool is_lsn(std::string_view text) {
    const size_t slash = text.find('/');
    return slash != std::string_view::npos && is_hexadecimal(text.substr(0, slash)) &&
           is_hexadecimal(text.substr(slash + 1));
}

bool is_exact_time(const std::string& text) {
    const size_t dot = text.find('.');
    const size_t end = dot == std::string::npos ? dot : text.find_first_not_of("0123456789", dot + 1);
    return base::parse_time(text) && (dot == std::string::npos || end - dot - 1 <= max_fraction_digits);
}

// Empty where it is no time: the API server would refuse all of the status for it.
std::string time_text_at(const nlohmann::json& document, std::string_view path) {
    const std::string text = text_at(document, path);
    return base::parse_time(text) ? text : std::string();
}

}  // namespace

std::optional<std::string> what_is_wrong(const PointInTime& t) {
    const auto targets = static_cast<int>(!t.time.empty()) + static_cast<int>(!t.lsn.empty()) +
                         static_cast<int>(!t.xid.empty()) + static_cast<int>(!t.name.empty()) +
                         static_cast<int>(t.immediate) + static_cast<int>(t.latest);
    if (targets != 1)
        return "exactly one of `time`, `lsn`, `xid`, `name`, `immediate` and `latest` must be set";
    if (!t.time.empty() && !is_exact_time(t.time))
        return "`time` must be RFC 3339 with a zone and at most microseconds";
    if (!t.lsn.empty() && !is_lsn(t.lsn)) return "`lsn` must be two hexadecimal numbers with a slash between";
    if (t.xid.size() > 20 || t.xid.find_first_not_of("0123456789") != std::string::npos)
        return "`xid` must be a decimal number";
    if (t.name.size() > 63 || t.name.find('\0') != std::string::npos)
        return "`name` must be at most 63 bytes long";
    if (t.exclusive && t.time.empty() && t.lsn.empty() && t.xid.empty())
        return "`exclusive` must be set only with `time`, `lsn` or `xid`";
    if (t.timeline < 0 || t.timeline > max_timeline) return "`timeline` must be from 1 to 4294967295";
    return std::nullopt;
}

std::string to_text(const PointInTime& t) {
    std::string text = !t.time.empty()   ? t.time
                       : !t.lsn.empty()  ? "position " + t.lsn
                       : !t.xid.empty()  ? "transaction " + t.xid
                       : !t.name.empty() ? "restore point \"" + t.name + "\""
                       : t.immediate     ? "the end of the newest backup"
                                         : "the end of the archive";
    if (t.exclusive) text = "just before " + text;
    return t.timeline == 0 ? text : text + " on timeline " + std::to_string(t.timeline);
}

nlohmann::json to_json(const PointInTime& t) {
    nlohmann::json document = nlohmann::json::object();
    put(document, "time", t.time);
    put(document, "lsn", t.lsn);
    put(document, "xid", t.xid);
    put(document, "name", t.name);
    if (t.immediate) document["immediate"] = true;
    if (t.latest) document["latest"] = true;
    if (t.exclusive) document["exclusive"] = true;
    if (t.timeline != 0) document["timeline"] = t.timeline;
    if (t.reset_password) document["resetPassword"] = "FromSecret";
    return document;
}

PointInTime point_in_time_from_json(const nlohmann::json& document) {
    return {text_at(document, "time"),
            text_at(document, "lsn"),
            text_at(document, "xid"),
            text_at(document, "name"),
            flag_at(document, "immediate"),
            flag_at(document, "latest"),
            flag_at(document, "exclusive"),
            integer_at(document, "timeline"),
            text_at(document, "resetPassword") == "FromSecret"};
}

nlohmann::json to_json(const RecoveredTo& reached) {
    nlohmann::json document{{"lsn", reached.lsn}, {"timeline", reached.timeline}};
    put(document, "time", reached.time);
    return document;
}

RecoveredTo recovered_to_from_json(const nlohmann::json& document) {
    return {time_text_at(document, "time"), text_at(document, "lsn"), integer_at(document, "timeline")};
}

nlohmann::json to_json(const ReachablePoints& points) {
    nlohmann::json document = nlohmann::json::object();
    put(document, "earliestTime", points.earliest);
    put(document, "latestTime", points.latest);
    for (const auto& span : points.timelines) {
        nlohmann::json item{{"id", span.id}};
        if (span.parent != 0) item["parent"] = span.parent;
        put(item, "forkLSN", span.fork_lsn);
        put(item, "liveFrom", span.live_from);
        put(item, "liveTo", span.live_to);
        document["timelines"].push_back(std::move(item));
    }
    return document;
}

ReachablePoints reachable_points_from_json(const nlohmann::json& document) {
    ReachablePoints points{time_text_at(document, "earliestTime"), time_text_at(document, "latestTime"), {}};
    for (const auto& item : list_at(document, "timelines")) {
        if (points.timelines.size() == max_timeline_spans) break;
        const std::string lsn = text_at(item, "forkLSN");
        points.timelines.push_back({integer_at(item, "id"), integer_at(item, "parent"),
                                    is_lsn(lsn) ? lsn : "", time_text_at(item, "liveFrom"),
                                    time_text_at(item, "liveTo")});
    }
    return points;
}

}  // namespace dbrestore::resources
