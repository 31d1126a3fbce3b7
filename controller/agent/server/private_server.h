#pragma once
// A server of our own on the stopped database's files: only we reach it, by a socket in a folder of mode
// 0700, and it acts on nothing outside. It dies with the agent, and its processes hold the work folder's lock
// as long as they live.

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>

#include "agent/server/postgres.h"
#include "agent/server/recovery.h"
#include "agent/server/server_settings.h"
#include "agent/volume/journal.h"

namespace dbrestore::agent {

class PrivateServer {
public:
    // Starts it on `tree` and waits as long as its recovery takes. With a recovery it replays WAL
    // of an archive, and is ready on a timeline of its own. A stale postmaster.pid is removed: the
    // caller holds the lock and knows that no other server runs. Errors: failed with the end of the server's
    // own log; not_found.
    static base::Result<std::unique_ptr<PrivateServer>> start(const Context& context,
                                                              const WorkFolder& folder,
                                                              const std::string& tree,
                                                              const std::optional<Recovery>& recovery = {});

    // Stops it in haste if stop() was not called.
    ~PrivateServer();
    PrivateServer(const PrivateServer&) = delete;
    PrivateServer& operator=(const PrivateServer&) = delete;

    const std::string& superuser() const { return superuser_; }
    const std::string& version() const { return version_; }

    // As a superuser, or as the temporary role, which reaches the new database only.
    base::Result<Session> connect(const std::string& database) const;
    base::Result<Session> connect_as_role(const std::string& role, const std::string& database) const;
    // Host, port and user of a libpq connection string; no password is needed.
    std::string conninfo(const std::string& role, const std::string& database) const;

    // A clean shutdown with its checkpoint. Errors: failed.
    base::Status stop();

    // The end of its log, as one line.
    std::string log_tail() const;

private:
    PrivateServer(const Context& context, std::string version, std::string tree);
    base::Status make_place();
    base::Status write_access_rules(const std::vector<std::string>& superusers) const;
    base::Status settle_configuration(const WorkFolder& folder, Settings& theirs) const;
    base::Status settle_signals(bool recovers) const;
    base::Status launch(const WorkFolder& folder, const Settings& recovery);
    base::Status wait_until_ready(const Recovery& recovery);
    void tell_progress(const Recovery& recovery) const;
    base::Status find_superuser();
    base::Result<bool> try_as(const std::string& user);
    bool has_ended();

    const Context& context_;
    std::string version_, tree_, place_, superuser_;
    std::string role_database_;  // which the temporary role reaches
    std::vector<std::string> candidates_;
    pid_t pid_ = -1;
};

}  // namespace dbrestore::agent
