#pragma once
// Two ways to look at the cluster: the caches, which are cheap and may be late, and the API server itself.

#include <optional>
#include <string>
#include <vector>

#include "kube/client.h"
#include "operator/caches.h"
#include "resources/database_restore.h"
#include "resources/postgres_server.h"

namespace dbrestore::op {

class View {
public:
    virtual ~View() = default;
    virtual bool fresh() const = 0;

    // Nothing: it does not exist. Errors: the client's (never from the caches).
    virtual base::Result<std::optional<resources::DatabaseRestore>> restore(const resources::Key& key) = 0;
    virtual base::Result<std::optional<resources::PostgresServer>> server(const resources::Key& key) = 0;
    virtual base::Result<std::optional<resources::Workload>> workload(const std::string& kind,
                                                                      const resources::Key& key) = 0;
    virtual base::Result<std::optional<resources::Claim>> claim(const resources::Key& key) = 0;
    virtual base::Result<std::vector<resources::Pod>> pods(const std::string& namespace_name) = 0;
    // Those with this label of ours.
    virtual base::Result<std::vector<resources::Job>> jobs(const std::string& namespace_name,
                                                           const std::string& label,
                                                           const std::string& value) = 0;
};

class CachedView final : public View {
public:
    explicit CachedView(const Caches& caches) : caches_(caches) {}
    bool fresh() const override { return false; }
    base::Result<std::optional<resources::DatabaseRestore>> restore(const resources::Key& key) override;
    base::Result<std::optional<resources::PostgresServer>> server(const resources::Key& key) override;
    base::Result<std::optional<resources::Workload>> workload(const std::string& kind,
                                                              const resources::Key& key) override;
    base::Result<std::optional<resources::Claim>> claim(const resources::Key& key) override;
    base::Result<std::vector<resources::Pod>> pods(const std::string& namespace_name) override;
    base::Result<std::vector<resources::Job>> jobs(const std::string& namespace_name,
                                                   const std::string& label,
                                                   const std::string& value) override;

private:
    const Caches& caches_;
};

class LiveView final : public View {
public:
    explicit LiveView(kube::Client& client) : client_(client) {}
    bool fresh() const override { return true; }
    base::Result<std::optional<resources::DatabaseRestore>> restore(const resources::Key& key) override;
    base::Result<std::optional<resources::PostgresServer>> server(const resources::Key& key) override;
    base::Result<std::optional<resources::Workload>> workload(const std::string& kind,
                                                              const resources::Key& key) override;
    base::Result<std::optional<resources::Claim>> claim(const resources::Key& key) override;
    base::Result<std::vector<resources::Pod>> pods(const std::string& namespace_name) override;
    base::Result<std::vector<resources::Job>> jobs(const std::string& namespace_name,
                                                   const std::string& label,
                                                   const std::string& value) override;

private:
    kube::Client& client_;
};

}  // namespace dbrestore::op
