#include "resources/json_fields.h"

#include <algorithm>

namespace dbrestore::resources {

namespace {
const nlohmann::json null_document;
const nlohmann::json empty_list = nlohmann::json::array();
}  // namespace

const nlohmann::json& field(const nlohmann::json& document, std::string_view path) {
    const nlohmann::json* at = &document;
    while (!path.empty()) {
        const size_t dot = path.find('.');
        const std::string key(path.substr(0, dot));
        path = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
        if (!at->is_object()) return null_document;
        const auto member = at->find(key);
        if (member == at->end()) return null_document;
        at = &*member;
    }
    return *at;
}

std::string text_at(const nlohmann::json& document, std::string_view path, std::string_view fallback) {
    const auto& value = field(document, path);
    return value.is_string() ? value.get<std::string>() : std::string(fallback);
}

int64_t integer_at(const nlohmann::json& document, std::string_view path, int64_t fallback) {
    const auto& value = field(document, path);
    if (!value.is_number_integer()) return fallback;
    if (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(largest_integer))
        return largest_integer;
    return std::clamp(value.get<int64_t>(), -largest_integer, largest_integer);
}

bool flag_at(const nlohmann::json& document, std::string_view path, bool fallback) {
    const auto& value = field(document, path);
    return value.is_boolean() ? value.get<bool>() : fallback;
}

bool present_at(const nlohmann::json& document, std::string_view path) {
    return !field(document, path).is_null();
}

std::optional<base::Time> time_at(const nlohmann::json& document, std::string_view path) {
    return base::parse_time(text_at(document, path));
}

const nlohmann::json& list_at(const nlohmann::json& document, std::string_view path) {
    const auto& value = field(document, path);
    return value.is_array() ? value : empty_list;
}

std::vector<std::string> texts_at(const nlohmann::json& document, std::string_view path) {
    std::vector<std::string> texts;
    for (const auto& item : list_at(document, path)) {
        if (item.is_string()) texts.push_back(item.get<std::string>());
    }
    return texts;
}

void put(nlohmann::json& object, const char* key, const std::string& value) {
    if (!value.empty()) object[key] = value;
}

void put(nlohmann::json& object, const char* key, const std::optional<base::Time>& value) {
    if (value) object[key] = base::format_time(*value);
}

void put(nlohmann::json& object, const char* key, nlohmann::json value) {
    if (!value.empty()) object[key] = std::move(value);
}

}  // namespace dbrestore::resources
