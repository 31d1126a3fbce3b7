#include "agent/postgres.h"
#include "agent/steps.h"
#include "agent/text.h"

namespace dbrestore::agent {

namespace {

constexpr const char* kept_prefix = "dbrestore_old_";

}  // namespace

AgentResult cleanup(const Context& context) {
    const std::string& name = context.request.old_database;
    if (!name.starts_with(kept_prefix))
        return failed("NotOurs", "\"" + name + "\" is no database that a restore keeps");
    const auto credentials = read_credentials(context);
    if (!credentials) return failed("CredentialsMissing", to_text(credentials.error()));
    auto session = Session::open({context.request.host, context.request.port, credentials->user,
                                  credentials->password, credentials->database});
    if (!session) return from_error("ServerUnreachable", session.error());
    const auto open = session->value("SELECT datallowconn FROM pg_database WHERE datname = $1", {name});
    if (!open) return from_error("CleanupFailed", open.error());
    if (open->empty()) return done("it was gone already");
    // Somebody opened it on purpose: it is in use again and not ours to drop.
    if (*open == "t")
        return failed("DatabaseInUse", "database \"" + name + "\" takes connections again, so it is kept");
    if (auto dropped = session->run("DROP DATABASE " + quote_identifier(name) + " WITH (FORCE)"); !dropped)
        return from_error("CleanupFailed", dropped.error());
    return done();
}

}  // namespace dbrestore::agent
