#include "agent/analyze.h"

namespace dbrestore::agent {

namespace {

constexpr int64_t percent_before_analyze = 90, percent_of_analyze = 7;

// Partitions are analyzed with their root, which does not spare them their own statistics.
constexpr const char* tables_to_analyze = R"sql(
SELECT c.oid::regclass::text FROM pg_class c
WHERE c.relkind IN ('r', 'm', 'p') AND (c.relkind <> 'm' OR c.relispopulated) AND c.relowner = current_user::regrole AND NOT c.relispartition
ORDER BY c.relpages DESC)sql";

}  // namespace

base::Result<int64_t> analyze(const Context& context, const PrivateServer& server, const Journal& journal) {
    auto session = server.connect_as_role(journal.role, journal.new_database);
    if (!session) return session.error();
    const auto names = session->query(tables_to_analyze);
    if (!names) return names.error();
    int64_t left_out = 0;
    const auto total = static_cast<int64_t>(names->size());
    for (int64_t i = 0; i < total; ++i) {
        context.report.progress(
            "analyzing: " + std::to_string(i) + " of " + std::to_string(total) + " tables",
            percent_before_analyze + percent_of_analyze * i / total);
        const auto analyzed = session->run("ANALYZE " + (*names)[static_cast<size_t>(i)][0]);
        if (!analyzed && analyzed.error().kind == base::ErrorKind::unavailable) return analyzed.error();
        if (!analyzed) ++left_out;
    }
    return left_out;
}

}  // namespace dbrestore::agent
