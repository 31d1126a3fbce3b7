#include "agent/backup_source.h"
#include "agent/steps.h"
#include "agent/text.h"

namespace dbrestore::agent {

AgentResult catalog(const Context& context) {
    const auto& request = context.request;
    std::vector<resources::Backup> backups;
    if (const auto failure = backups::list_backups(request.store, store_access(context), backups))
        return from_failure(*failure);
    AgentResult result = done(std::to_string(backups.size()) + " backups");
    result.backup_count = static_cast<int64_t>(backups.size());
    if (const auto* backup = resources::chosen(backups, request.choice); backup != nullptr)
        result.chosen = *backup;
    backups.resize(std::min(backups.size(), resources::max_listed_backups));
    result.backups = std::move(backups);
    return result;
}

}  // namespace dbrestore::agent
