#include "resources/conditions.h"

#include <algorithm>

#include "resources/json_fields.h"

namespace dbrestore::resources {

namespace {

const char* truth_text(Truth truth) {
    switch (truth) {
        case Truth::yes:
            return "True";
        case Truth::no:
            return "False";
        case Truth::unknown:
            break;
    }
    return "Unknown";
}

}  // namespace

const Condition* find_condition(const Conditions& conditions, std::string_view type) {
    const auto at = std::ranges::find(conditions, type, &Condition::type);
    return at == conditions.end() ? nullptr : &*at;
}

bool condition_is(const Conditions& conditions, std::string_view type, Truth status) {
    const Condition* condition = find_condition(conditions, type);
    return condition != nullptr && condition->status == status;
}

void set_condition(Conditions& conditions, Condition condition) {
    const auto at = std::ranges::find(conditions, condition.type, &Condition::type);
    if (at == conditions.end()) {
        conditions.push_back(std::move(condition));
        return;
    }
    if (at->status == condition.status) condition.last_transition_time = at->last_transition_time;
    *at = std::move(condition);
}

nlohmann::json to_json(const Conditions& conditions) {
    nlohmann::json list = nlohmann::json::array();
    for (const auto& c : conditions) {
        list.push_back({{"type", c.type},
                        {"status", truth_text(c.status)},
                        {"reason", c.reason},
                        {"message", c.message},
                        {"observedGeneration", c.observed_generation},
                        {"lastTransitionTime", base::format_time(c.last_transition_time)}});
    }
    return list;
}

Conditions conditions_from_json(const nlohmann::json& list) {
    Conditions conditions;
    if (!list.is_array()) return conditions;
    for (const auto& item : list) {
        Condition c;
        c.type = text_at(item, "type");
        const std::string status = text_at(item, "status");
        c.status = status == "True" ? Truth::yes : status == "False" ? Truth::no : Truth::unknown;
        c.reason = text_at(item, "reason");
        c.message = text_at(item, "message");
        c.observed_generation = integer_at(item, "observedGeneration");
        c.last_transition_time = time_at(item, "lastTransitionTime").value_or(base::Time{});
        conditions.push_back(std::move(c));
    }
    return conditions;
}

}  // namespace dbrestore::resources
