#pragma once
// Reading JSON from the API server. The CRD has checked the shape, but an older or edited CRD may not have: a
// field of the wrong type counts as absent, and nothing throws.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/clock.h"

namespace dbrestore::resources {

// The member, or null where it or one of its parents is absent. `path` is keys with dots:
// "spec.serverRef.name".
const nlohmann::json& field(const nlohmann::json& document, std::string_view path);

// What JSON numbers hold exactly. That many seconds are still a time in milliseconds.
inline constexpr int64_t largest_integer = int64_t{1} << 53;

std::string text_at(const nlohmann::json& document, std::string_view path, std::string_view fallback = {});
// Whoever writes a number beyond the largest means "for ever": it counts as the largest, or its negative.
int64_t integer_at(const nlohmann::json& document, std::string_view path, int64_t fallback = 0);
bool flag_at(const nlohmann::json& document, std::string_view path, bool fallback = false);
bool present_at(const nlohmann::json& document, std::string_view path);
std::optional<base::Time> time_at(const nlohmann::json& document, std::string_view path);
std::vector<std::string> texts_at(const nlohmann::json& document, std::string_view path);

// An empty array where there is none.
const nlohmann::json& list_at(const nlohmann::json& document, std::string_view path);

// Sets a member unless the value is empty, so that status holds no empty fields.
void put(nlohmann::json& object, const char* key, const std::string& value);
void put(nlohmann::json& object, const char* key, const std::optional<base::Time>& value);
template <typename Integer>
requires std::is_integral_v<Integer>
void put(nlohmann::json& object, const char* key, const std::optional<Integer>& value) {
    if (value) object[key] = *value;
}
void put(nlohmann::json& object, const char* key, nlohmann::json value);

}  // namespace dbrestore::resources
