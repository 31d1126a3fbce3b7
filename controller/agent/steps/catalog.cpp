#include "agent/dump/backup_source.h"
#include "agent/point_in_time/reachable.h"
#include "agent/steps/steps.h"
#include "agent/text.h"

namespace dbrestore::agent {

namespace {

AgentResult list_store(const Context& context) {
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

AgentResult list_repository(const Context& context) {
    std::optional<PgBackRest> repository;
    if (const auto failure = PgBackRest::open(context, repository)) return from_failure(*failure);
    RepositoryContents contents;
    if (const auto failure = find_reachable(context, *repository, contents)) return from_failure(*failure);
    AgentResult result = done(std::to_string(contents.backup_count) + " backups");
    result.backup_count = contents.backup_count;
    result.reachable = std::move(contents.points);
    return result;
}

}  // namespace

AgentResult catalog(const Context& context) {
    return context.request.stanza.empty() ? list_store(context) : list_repository(context);
}

}  // namespace dbrestore::agent
