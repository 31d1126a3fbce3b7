#include "kube/frames.h"

#include <simdjson.h>

#include <utility>

#include "kube/client.h"
#include "resources/json_fields.h"

namespace dbrestore::kube {

using base::Error;
using base::ErrorKind;
using base::Result;
using nlohmann::json;
namespace ondemand = simdjson::ondemand;

namespace {

Error broken(std::string_view what) {
    return base::error(ErrorKind::invalid, "the API server's answer is no " + std::string(what));
}

Result<ListedObject> parse_object(std::string_view raw) {
    ListedObject listed;
    listed.object = json::parse(raw, nullptr, false);
    listed.identity.key = {resources::text_at(listed.object, "metadata.namespace"),
                           resources::text_at(listed.object, "metadata.name")};
    const auto version =
        parse_resource_version(resources::text_at(listed.object, "metadata.resourceVersion"));
    if (!version) return broken("object with a resourceVersion");
    listed.identity.resource_version = *version;
    return listed;
}

simdjson::error_code walk_items(ondemand::array items,
                                const std::function<void(const ListedObject&)>& on_object,
                                bool& objects_are_good) {
    for (auto item : items) {
        ondemand::object object;
        std::string_view raw;
        if (auto failure = item.get_object().get(object)) return failure;
        if (auto failure = object.raw_json().get(raw)) return failure;
        auto listed = parse_object(raw);
        if (!listed || listed->identity.key.name.empty()) {
            objects_are_good = false;
            return simdjson::SUCCESS;
        }
        on_object(*listed);
    }
    return simdjson::SUCCESS;
}

// Once through, whatever order the members have.
simdjson::error_code walk_list(ondemand::document& document, ListHead& head, bool& objects_are_good,
                               const std::function<void(const ListedObject&)>& on_object) {
    ondemand::object list;
    if (auto failure = document.get_object().get(list)) return failure;
    for (auto field : list) {
        std::string_view name;
        if (auto failure = field.unescaped_key().get(name)) return failure;
        ondemand::value value;
        if (auto failure = field.value().get(value)) return failure;
        if (name == "metadata") {
            ondemand::object metadata;
            std::string_view raw;
            if (auto failure = value.get_object().get(metadata)) return failure;
            if (auto failure = metadata.raw_json().get(raw)) return failure;
            const json parsed = json::parse(raw, nullptr, false);
            head.resource_version = resources::text_at(parsed, "resourceVersion");
            head.continue_token = resources::text_at(parsed, "continue");
        } else if (name == "items") {
            bool is_null = false;  // an empty list may be written so
            if (auto failure = value.is_null().get(is_null)) return failure;
            if (is_null) continue;
            ondemand::array items;
            if (auto failure = value.get_array().get(items)) return failure;
            if (auto failure = walk_items(items, on_object, objects_are_good)) return failure;
            if (!objects_are_good) return simdjson::SUCCESS;
        }
    }
    return simdjson::SUCCESS;
}

// An ERROR event holds a Status document.
Error error_in(const json& status) {
    const auto code = resources::integer_at(status, "code");
    const std::string message = resources::text_at(status, "message", "no reason given");
    const ErrorKind kind = code == 410 ? ErrorKind::expired : ErrorKind::unavailable;
    return base::error(kind, "the watch ended with an error: " + std::to_string(code) + " " + message);
}

struct RawFrame {
    std::string type, object;
};

simdjson::error_code split_frame(const simdjson::padded_string& line, RawFrame& frame) {
    // Kept for the next line: it holds buffers as large as the longest line so far.
    thread_local ondemand::parser parser;
    ondemand::document document;
    if (auto failure = parser.iterate(line).get(document)) return failure;
    ondemand::object members;
    if (auto failure = document.get_object().get(members)) return failure;
    for (auto field : members) {
        std::string_view name;
        if (auto failure = field.unescaped_key().get(name)) return failure;
        ondemand::value value;
        if (auto failure = field.value().get(value)) return failure;
        std::string_view text;
        if (name == "type") {
            if (auto failure = value.get_string().get(text)) return failure;
            frame.type = text;
        } else if (name == "object") {
            ondemand::object object;
            if (auto failure = value.get_object().get(object)) return failure;
            if (auto failure = object.raw_json().get(text)) return failure;
            frame.object = text;
        }
    }
    return simdjson::SUCCESS;
}

}  // namespace

void LineSplitter::append(std::string_view piece) {
    buffer_.erase(0, start_);
    scanned_ -= start_;
    start_ = 0;
    buffer_ += piece;
}

std::optional<std::string_view> LineSplitter::next() {
    for (;;) {
        const size_t end = buffer_.find('\n', scanned_);
        if (end == std::string::npos) {
            scanned_ = buffer_.size();
            return std::nullopt;
        }
        const std::string_view line(buffer_.data() + start_, end - start_);
        if (line.size() > longest_) return std::nullopt;  // stays where it is, for too_long to see
        start_ = scanned_ = end + 1;
        if (!line.empty()) return line;
    }
}

Result<ListHead> parse_list(std::string& document,
                            const std::function<void(const ListedObject&)>& on_object) {
    document.reserve(document.size() + simdjson::SIMDJSON_PADDING);
    ListHead head;
    bool objects_are_good = true;
    ondemand::parser parser;  // not kept: a page is many times as large as an event
    ondemand::document walked;
    const simdjson::padded_string_view padded(document.data(), document.size(), document.capacity());
    auto failure = parser.iterate(padded).get(walked);
    if (!failure) failure = walk_list(walked, head, objects_are_good, on_object);
    if (failure || !objects_are_good) return broken("list of objects");
    if (!parse_resource_version(head.resource_version)) return broken("list with a resourceVersion");
    return head;
}

Result<WatchFrame> parse_watch_frame(std::string_view line) {
    RawFrame raw;
    if (split_frame(simdjson::padded_string(line), raw)) return broken("watch event");
    if (raw.type == "ERROR") return error_in(json::parse(raw.object, nullptr, false));

    WatchFrame frame;
    if (raw.type == "ADDED" || raw.type == "MODIFIED")
        frame.type = FrameType::put;
    else if (raw.type == "DELETED")
        frame.type = FrameType::erase;
    else if (raw.type == "BOOKMARK")
        frame.type = FrameType::bookmark;
    else
        return broken("watch event of a known type");

    auto object = parse_object(raw.object);
    if (!object) return object.error();
    if (frame.type != FrameType::bookmark && object->identity.key.name.empty())
        return broken("object with a name");
    frame.object = std::move(*object);
    frame.resource_version = std::to_string(frame.object.identity.resource_version);
    return frame;
}

}  // namespace dbrestore::kube
