// Lists and watch streams of the API server. The bytes of the input's first line are the sizes of the pieces
// in which the rest comes.

#include <vector>

#include "fuzz/properties.h"
#include "kube/frames.h"
#include "resources/json_fields.h"

namespace dbrestore::fuzz {
namespace {

using nlohmann::json;

constexpr size_t longest_line_bytes = 700;

std::string told(const base::Result<kube::WatchFrame>& frame) {
    if (!frame) return "error: " + base::to_text(frame.error());
    const auto& object = frame->object;
    require(frame->type == kube::FrameType::bookmark || !object.identity.key.name.empty(),
            "what is put or erased has a name");
    require(std::to_string(object.identity.resource_version) == frame->resource_version,
            "the resourceVersion is the object's");
    return std::to_string(static_cast<int>(frame->type)) + " " + to_text(object.identity.key) + " " +
           frame->resource_version + " " + object.object.dump();
}

std::vector<std::string> frames_of(std::string_view stream, std::string_view sizes) {
    std::vector<std::string> frames;
    kube::LineSplitter lines(longest_line_bytes);
    for (size_t piece = 0; !stream.empty() && !lines.too_long(); ++piece) {
        const size_t bytes =
            sizes.empty() ? stream.size() : 1 + static_cast<unsigned char>(sizes[piece % sizes.size()]) % 64;
        lines.append(stream.substr(0, bytes));
        stream = stream.substr(std::min(bytes, stream.size()));
        while (const auto line = lines.next()) {
            require(!line->empty() && line->size() <= longest_line_bytes, "a line has its bounds");
            frames.push_back(told(kube::parse_watch_frame(*line)));
        }
    }
    if (lines.too_long()) frames.emplace_back("too long");
    return frames;
}

// What a parser without any shortcut finds in the document; nothing where it is no list.
struct Listed {
    std::string resource_version;
    std::vector<json> objects;
};
bool is_version(const std::string& text) {
    return kube::parse_resource_version(text).has_value();
}
std::optional<Listed> expected_of(const json& document) {
    Listed listed{resources::text_at(document, "metadata.resourceVersion"), {}};
    const auto& metadata = resources::field(document, "metadata");
    if (!metadata.is_object() || !is_version(listed.resource_version)) return std::nullopt;
    const auto items = document.find("items");
    if (items != document.end() && !items->is_null() && !items->is_array()) return std::nullopt;
    for (const auto& object : resources::list_at(document, "items")) {
        if (!is_version(resources::text_at(object, "metadata.resourceVersion")) ||
            resources::text_at(object, "metadata.name").empty())
            return std::nullopt;
        listed.objects.push_back(object);
    }
    return listed;
}

void check_list(std::string text) {
    std::vector<json> objects;
    const auto collect = [&](const kube::ListedObject& listed) {
        require(!listed.identity.key.name.empty(), "what is listed has a name");
        objects.push_back(listed.object);
    };
    const json document = json::parse(text, nullptr, false);
    if (const auto head = kube::parse_list(text, collect))
        require(is_version(head->resource_version), "a list has a resourceVersion", head->resource_version);
    if (!document.is_object()) return;
    // Once more as any server would have written it, without a key twice.
    std::string plain = document.dump();
    objects.clear();
    const auto head = kube::parse_list(plain, collect);
    const auto expected = expected_of(document);
    require(head.ok() == expected.has_value(), "both parsers agree what a list is", plain);
    if (!expected) return;
    require(head->resource_version == expected->resource_version, "and on its resourceVersion", plain);
    require(objects == expected->objects, "and on its objects", plain);
}

void check(std::string_view input) {
    std::string_view stream = input;
    const std::string_view sizes = take_until(stream, "\n");
    require(frames_of(stream, sizes) == frames_of(stream, {}),
            "frames are the same however they come in pieces");
    check_list(std::string(stream));
}

}  // namespace
}  // namespace dbrestore::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    dbrestore::fuzz::check(dbrestore::fuzz::text_of(data, size));
    return 0;
}
