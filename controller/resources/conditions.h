#pragma once
// Conditions as in the Kubernetes API conventions: a list keyed by type.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace dbrestore::resources {

enum class Truth { unknown, yes, no };

struct Condition {
    std::string type;
    Truth status = Truth::unknown;
    std::string reason;   // CamelCase, one word
    std::string message;  // prose for people
    int64_t observed_generation = 0;
    base::Time last_transition_time{};

    bool operator==(const Condition&) const = default;
};

using Conditions = std::vector<Condition>;

const Condition* find_condition(const Conditions& conditions, std::string_view type);
bool condition_is(const Conditions& conditions, std::string_view type, Truth status);

// Adds or replaces; the transition time changes only with the status, as clients expect.
void set_condition(Conditions& conditions, Condition condition);

nlohmann::json to_json(const Conditions& conditions);
Conditions conditions_from_json(const nlohmann::json& list);

}  // namespace dbrestore::resources
