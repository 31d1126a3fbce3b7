#include "agent/dump/analyze.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "agent/space.h"

namespace dbrestore::agent {

namespace {

constexpr int64_t percent_before_analyze = 90, percent_of_analyze = 7;

// Partitions are analyzed with their root, which does not spare them their own statistics.
constexpr const char* tables_to_analyze = R"sql(
SELECT c.oid::regclass::text FROM pg_class c
WHERE c.relkind IN ('r', 'm', 'p') AND (c.relkind <> 'm' OR c.relispopulated) AND c.relowner = current_user::regrole AND NOT c.relispartition
ORDER BY c.relpages DESC)sql";

// Each worker takes the next table, over a connection of its own.
class Analysis {
public:
    Analysis(const Context& context, const PrivateServer& server, const Journal& journal)
        : context_(context), server_(server), journal_(journal) {}

    base::Result<int64_t> run() {
        auto session = connect();
        if (!session) return session.error();
        auto names = session->query(tables_to_analyze);
        if (!names) return names.error();
        names_ = std::move(*names);
        const int64_t wished = context_.request.jobs > 0 ? context_.request.jobs : usable_cpus();
        std::vector<std::thread> helpers;
        for (int64_t i = 1; i < std::min(wished, static_cast<int64_t>(names_.size())); ++i)
            helpers.emplace_back([this] { help(); });
        work(*session, true);
        for (auto& helper : helpers) helper.join();
        if (error_) return *error_;
        return left_out_.load();
    }

private:
    base::Result<Session> connect() const {
        return server_.connect_as_role(journal_.role, journal_.new_database);
    }

    void help() {
        auto session = connect();
        if (!session) return;  // the others do its part
        work(*session, false);
    }

    void work(Session& session, bool tells) {
        const size_t total = names_.size();
        for (size_t i = next_++; i < total; i = next_++) {
            if (tells)
                context_.report.progress(
                    "analyzing: " + std::to_string(i) + " of " + std::to_string(total) + " tables",
                    percent_before_analyze +
                        percent_of_analyze * static_cast<int64_t>(i) / static_cast<int64_t>(total));
            const auto analyzed = session.run("ANALYZE " + names_[i][0]);
            if (analyzed) continue;
            ++left_out_;
            if (analyzed.error().kind != base::ErrorKind::unavailable) continue;
            const std::lock_guard lock(mutex_);
            error_ = analyzed.error();
            return;
        }
    }

    const Context& context_;
    const PrivateServer& server_;
    const Journal& journal_;
    Rows names_;
    std::atomic<size_t> next_ = 0;
    std::atomic<int64_t> left_out_ = 0;
    std::mutex mutex_;
    std::optional<base::Error> error_;
};

}  // namespace

base::Result<int64_t> analyze(const Context& context, const PrivateServer& server, const Journal& journal) {
    return Analysis(context, server, journal).run();
}

}  // namespace dbrestore::agent
