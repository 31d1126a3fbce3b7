#pragma once
// What pg_restore said that went wrong, and what follows from it.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/server/private_server.h"
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
    // pg_restore ran to its end, and told of no other errors than those that are forgiven or made good.
    bool all_are_forgiven() const;
    // Whether the entry of a line of `pg_restore --list` must be made once more, and alone: pg_restore's
    // workers locked each other out (PostgreSQL 15 and 17 do, where a table with partitions of partitions
    // gets a foreign key while an index is attached to them), or it failed after that, maybe for what is
    // missing.
    bool must_be_repeated(std::string_view list_line) const;
    std::string text() const;

private:
    void begin_error(std::string_view said);
    bool is_to_repeat(std::string_view said) const;

    bool forgives_drops_;
    bool may_be_forgiven_ = false;  // the last of errors_: its command was not seen yet
    std::string entry_;
    std::vector<std::string> errors_;
    std::string first_entry_;                      // of the first error
    std::map<std::string, std::string> forgiven_;  // by entry: it may be why that cannot be made anew
    // By the number that the list gives them: the entries that errors were told of and not forgiven. Lines of
    // workers mix, so no error says for sure which it is about.
    std::map<std::string, std::string, std::less<>> named_;
    int64_t forgiven_count_ = 0, to_repeat_count_ = 0, counted_ = 0;
};

// RestoreFailed, InsufficientSpace, or retryable where the server went away.
AgentResult judge_failure(const RestoreErrors& errors, const base::ProcessEnd& end,
                          const PrivateServer& server);

}  // namespace dbrestore::agent
