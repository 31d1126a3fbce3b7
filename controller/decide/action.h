#pragma once
// What a decision asks for. Actions are carried out in order; the first that fails ends the round, and the
// next round decides anew from what it then sees. So a status that states an intent comes before the act
// itself.

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "resources/database_restore.h"
#include "resources/postgres_server.h"

namespace dbrestore::decide {

struct SaveRestore {
    resources::RestoreStatus status;
};
struct SaveServer {
    resources::ServerStatus status;
};
struct SaveLock {
    resources::LockState lock;
};
struct AddFinalizers {};     // restore first, then server
struct RemoveFinalizers {};  // server first, then restore: the restore is what would come back to it
struct MarkExecuted {
    bool executed = true;
};  // the annotation that guards against copies
struct CreateJob {
    nlohmann::json manifest;
};
struct DeleteJob {
    std::string name, uid;
};
struct Scale {
    int64_t replicas = 0;
};  // the server's workload
struct SuspendCronJob {
    std::string name;
    bool suspended = true;
};
struct Speak {  // an event about the restore
    bool warning = false;
    std::string reason, message;
};

using Action = std::variant<SaveRestore, SaveServer, SaveLock, AddFinalizers, RemoveFinalizers, MarkExecuted,
                            CreateJob, DeleteJob, Scale, SuspendCronJob, Speak>;

struct Plan {
    std::vector<Action> actions;
    std::string why;           // for status, log and people
    bool needs_fresh = false;  // decide again on what the API server says now
    std::optional<std::chrono::milliseconds> look_again_after;
};

}  // namespace dbrestore::decide
