#include "agent/backup_source.h"
#include "agent/steps.h"
#include "agent/text.h"

namespace dbrestore::agent {

AgentResult catalog(const Context& context) {
    const auto access = store_access(context);
    std::vector<resources::Backup> backups;
    if (const auto failure = backups::list_backups(context.request.store, access, backups))
        return from_failure(*failure);
    AgentResult result = done(std::to_string(backups.size()) + " backups");
    result.backup_count = static_cast<int64_t>(backups.size());
    backups.resize(std::min(backups.size(), resources::max_listed_backups));
    backups::describe_backups(context.request.store, access, backups);
    result.backups = std::move(backups);
    return result;
}

}  // namespace dbrestore::agent
