#pragma once
// What pg_restore said that went wrong, and what follows from it.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/private_server.h"
#include "agent/surroundings.h"
#include "base/process.h"

namespace dbrestore::agent {

// The first errors in what pg_restore printed, without the commands that caused them.
class RestoreErrors {
public:
    // `forgives_drops`: --clean fails to drop what is dropped along with something else, such as a
    // partition's primary key; what really stays fails again where it would be made anew. So only that
    // counts.
    explicit RestoreErrors(bool forgives_drops = false) : forgives_drops_(forgives_drops) {}

    void add_line(std::string_view line);
    bool has_fatal() const { return !errors_.empty() && !may_be_forgiven_; }
    // pg_restore ran to its end, and no other error is among those that it counts.
    bool all_are_forgiven() const { return errors_.empty() && counted_ > 0 && counted_ == forgiven_count_; }
    std::string text() const;

private:
    void begin_error(std::string_view said);

    bool forgives_drops_;
    bool may_be_forgiven_ = false;  // the last of errors_: its command was not seen yet
    std::string entry_;
    std::vector<std::string> errors_;
    std::string first_entry_;                      // of the first error
    std::map<std::string, std::string> forgiven_;  // by entry: it may be why that cannot be made anew
    int64_t forgiven_count_ = 0, counted_ = 0;
};

// RestoreFailed, InsufficientSpace, or retryable where the server went away.
AgentResult judge_failure(const RestoreErrors& errors, const base::ProcessEnd& end,
                          const PrivateServer& server);

}  // namespace dbrestore::agent
