#pragma once
// Gathers the world that a decision is made on.

#include <optional>

#include "base/clock.h"
#include "decide/world.h"
#include "operator/view.h"

namespace dbrestore::op {

class Observer {
public:
    Observer(const Caches& caches, kube::Client& client, const base::Clock& clock, decide::Settings settings)
        : caches_(caches), client_(client), clock_(clock), settings_(std::move(settings)) {}

    // Nothing: the object is gone. Errors: the client's; then nothing can be decided, and the caller tries
    // again.
    base::Result<std::optional<decide::World>> restore(View& view, const resources::Key& key);
    base::Result<std::optional<decide::ServerWorld>> server(View& view, const resources::Key& key);

private:
    base::Status check_untorn(View& view, const decide::World& world);
    base::Status check_untorn(View& view, const resources::PostgresServer& seen);
    base::Status add_server(View& view, decide::World& world);
    base::Status add_claims(View& view, decide::World& world);
    base::Status add_cron_jobs(decide::World& world);
    base::Status add_pods_and_jobs(View& view, decide::World& world);
    base::Status add_report(decide::World& world);
    base::Status add_notes(decide::World& world);
    base::Result<bool> namespace_terminating(const resources::ObjectMeta& meta);
    base::Status add_holder(View& view, decide::ServerWorld& world);
    base::Status add_kept_data(View& view, decide::ServerWorld& world);
    void add_rivals(decide::World& world);
    base::Result<std::optional<resources::AgentReport>> report_of(const resources::Pod& pod);

    const Caches& caches_;
    kube::Client& client_;
    const base::Clock& clock_;
    decide::Settings settings_;
};

}  // namespace dbrestore::op
