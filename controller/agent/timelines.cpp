#include "agent/timelines.h"

#include <charconv>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "agent/text.h"
#include "base/clock.h"
#include "resources/json_fields.h"

namespace dbrestore::agent {

namespace {

constexpr int64_t max_timeline = 4294967295;

template <typename Number>
bool read_number(std::string_view text, int base, Number& number) {
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number, base);
    return code == std::errc{} && end == text.data() + text.size();
}

std::string_view next_column(std::string_view& rest) {
    const size_t tab = rest.find('\t');
    const std::string_view column = rest.substr(0, tab);
    rest = tab == std::string_view::npos ? std::string_view() : rest.substr(tab + 1);
    return column;
}

}  // namespace

std::optional<uint64_t> lsn_from_text(std::string_view text) {
    const size_t slash = text.find('/');
    uint32_t high = 0, low = 0;
    if (slash == std::string_view::npos || !read_number(text.substr(0, slash), 16, high) ||
        !read_number(text.substr(slash + 1), 16, low))
        return std::nullopt;
    return (static_cast<uint64_t>(high) << 32) + low;
}

std::string lsn_to_text(uint64_t lsn) {
    char text[32];
    std::snprintf(text, sizeof text, "%X/%X", static_cast<unsigned>(lsn >> 32), static_cast<unsigned>(lsn));
    return text;
}

std::string history_file(int64_t timeline) {
    char name[32];
    std::snprintf(name, sizeof name, "%08X.history", static_cast<unsigned>(timeline));
    return name;
}

std::optional<int64_t> timeline_of_segment(std::string_view name) {
    uint32_t timeline = 0;
    if (name.size() != 24 || name.find_first_not_of("0123456789ABCDEF") != std::string_view::npos ||
        !read_number(name.substr(0, 8), 16, timeline) || timeline == 0)
        return std::nullopt;
    return timeline;
}

std::optional<Timeline> timeline_from_history(int64_t id, std::string_view text) {
    Timeline timeline{id, {}};
    for (const auto& line : lines_of(text)) {
        if (const std::string content = trimmed(line); content.empty() || content[0] == '#') continue;
        std::string_view rest = line;
        TimelineFork fork;
        const auto parent = next_column(rest), position = next_column(rest);
        const auto lsn = lsn_from_text(position);
        const int64_t before = timeline.forks.empty() ? 0 : timeline.forks.back().parent;
        if (!lsn || !read_number(parent, 10, fork.parent) || fork.parent <= before || fork.parent >= id)
            return std::nullopt;
        fork.lsn = *lsn;
        fork.reason = trimmed(rest);
        timeline.forks.push_back(std::move(fork));
    }
    if (timeline.forks.empty() && id != 1) return std::nullopt;
    return timeline;
}

std::string to_text(const std::vector<LiveTimeline>& timelines) {
    nlohmann::json document = nlohmann::json::array();
    for (const auto& timeline : timelines) {
        document.push_back(
            {{"id", timeline.id}, {"parent", timeline.parent}, {"liveFrom", timeline.live_from}});
    }
    return document.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::optional<std::vector<LiveTimeline>> live_timelines_from_text(const std::string& text) {
    const auto document = nlohmann::json::parse(text, nullptr, false);
    if (!document.is_array()) return std::nullopt;
    std::vector<LiveTimeline> timelines;
    for (const auto& entry : document) {
        LiveTimeline timeline{resources::integer_at(entry, "id"), resources::integer_at(entry, "parent"),
                              resources::text_at(entry, "liveFrom")};
        const bool known = timeline.id > 0 && timeline.id <= max_timeline && timeline.parent > 0 &&
                           timeline.parent <= max_timeline;
        if (!known || !base::parse_time(timeline.live_from)) return std::nullopt;
        timelines.push_back(std::move(timeline));
    }
    return timelines;
}

int64_t timeline_at(const std::vector<LiveTimeline>& timelines, const std::string& time, int64_t current) {
    const auto wanted = base::parse_time(time);
    if (!wanted || timelines.empty()) return current;
    int64_t live = timelines.front().parent;
    for (const auto& timeline : timelines) {
        if (base::parse_time(timeline.live_from) <= wanted) live = timeline.id;
    }
    return live;
}

}  // namespace dbrestore::agent
