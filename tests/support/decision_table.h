#pragma once
// Rows "given -> then" whose names are sentences.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/world_builder.h"

namespace dbrestore::testing {

struct Row {
    const char* sentence;
    World given;
    std::string does;         // the plan, as told() says it
    std::string reason = {};  // of condition Succeeded afterwards; empty: not looked at
    std::string says = {};    // a part of its message
};

inline void check(const std::vector<Row>& rows) {
    for (const auto& row : rows) {
        SCOPED_TRACE(row.sentence);
        World given = row.given;
        Plan plan = decide::decide(given);
        // As the controller does, unless the row is about just that.
        if (plan.needs_fresh && row.does != "LookFresh") {
            given.fresh = true;
            plan = decide::decide(given);
        }
        EXPECT_EQ(told(plan), row.does) << plan.why;
        const auto status = status_after(given, plan);
        if (!row.reason.empty()) {
            EXPECT_EQ(reason_of(status, "Succeeded"), row.reason);
        }
        const std::string message = message_of(status, "Succeeded");
        EXPECT_NE(message.find(row.says), std::string::npos) << message;
        EXPECT_FALSE(plan.why.empty()) << "every plan carries its why";
    }
}

}  // namespace dbrestore::testing
