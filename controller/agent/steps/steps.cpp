#include "agent/steps/steps.h"

#include <sys/stat.h>

#include <cerrno>

#include "agent/server/postgres.h"
#include "agent/text.h"
#include "base/files.h"

namespace dbrestore::agent {

const std::vector<Step>& steps() {
    static const std::vector<Step> table{
        {"probe", probe},     {"catalog", catalog},   {"preflight", preflight},
        {"quiesce", quiesce}, {"prepare", prepare},   {"verify", verify},
        {"commit", commit},   {"rollback", rollback}, {"cleanup", cleanup},
    };
    return table;
}

const Step* find_step(const std::string& name) {
    for (const auto& step : steps()) {
        if (step.name == name) return &step;
    }
    return nullptr;
}

AgentResult probe(const Context& context) {
    struct stat status {};
    const std::string& directory = context.request.data_directory;
    if (::stat(directory.c_str(), &status) != 0) {
        const bool absent = errno == ENOENT || errno == ENOTDIR;
        const std::string message =
            no_data_directory(context, base::io_error("cannot find the data directory " + directory).message);
        return absent ? failed("DataDirectoryNotFound", message)
                      : retryable("DataDirectoryNotFound", message);
    }
    if (!S_ISDIR(status.st_mode)) return failed("DataDirectoryNotFound", directory + " must be a folder");
    AgentResult result = done();
    result.uid = status.st_uid;
    result.gid = status.st_gid;
    return result;
}

AgentResult quiesce(const Context& context) {
    const auto credentials = read_credentials(context);
    if (!credentials) return done("not quiesced: " + to_text(credentials.error()));
    auto session = Session::open({context.request.host, context.request.port, credentials->user,
                                  credentials->password, credentials->database});
    if (!session) return done("not quiesced: " + to_text(session.error()));
    std::string trouble;
    // A commit, though of nothing: replay knows that it has come to a time by a commit after it, and a server
    // where nobody writes has none.
    for (const char* statement : {"SELECT pg_current_xact_id()", "CHECKPOINT", "SELECT pg_switch_wal()"}) {
        if (auto ran = session->run(statement); !ran)
            trouble += (trouble.empty() ? "not quiesced: " : "; ") + to_text(ran.error());
    }
    return done(trouble);
}

}  // namespace dbrestore::agent
