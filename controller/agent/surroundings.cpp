#include "agent/surroundings.h"

#include "agent/text.h"
#include "base/files.h"

namespace dbrestore::agent {

AgentResult done(std::string message) {
    AgentResult result;
    result.outcome = AgentResult::Outcome::done;
    result.message = std::move(message);
    return result;
}

AgentResult failed(std::string reason, std::string message) {
    AgentResult result;
    result.outcome = AgentResult::Outcome::failed;
    result.reason = std::move(reason);
    result.message = std::move(message);
    return result;
}

AgentResult retryable(std::string reason, std::string message) {
    AgentResult result = failed(std::move(reason), std::move(message));
    result.outcome = AgentResult::Outcome::retryable;
    return result;
}

AgentResult from_failure(const backups::Failure& failure) {
    return failure.may_pass ? retryable(failure.reason, failure.message)
                            : failed(failure.reason, failure.message);
}

std::string no_data_directory(const Context& context, const std::string& why) {
    const std::string& image = context.surroundings.image_data_directory;
    const bool differs = !image.empty() && image != context.request.data_directory;
    return why + "; `spec.postgres.dataDirectory` of the PostgresServer must be the data directory" +
           (differs ? ", which the image itself has at " + one_line(image, 200) : "");
}

AgentResult from_error(std::string reason, const base::Error& error) {
    const bool may_pass = error.kind == base::ErrorKind::io || error.kind == base::ErrorKind::unavailable;
    return may_pass ? retryable(std::move(reason), to_text(error))
                    : failed(std::move(reason), to_text(error));
}

base::Result<std::string> credential(const Context& context, const std::string& literal,
                                     const std::string& key) {
    if (key.empty()) return literal;
    if (key.find('/') != std::string::npos) {
        return base::error(base::ErrorKind::not_found,
                           "the Secret's key \"" + one_line(key, 100) + "\" must not hold a slash");
    }
    auto text = base::read_file(context.surroundings.secret_directory + "/" + key, 65536);
    if (!text) {
        return base::error(base::ErrorKind::not_found,
                           "the connection Secret, or its key \"" + one_line(key, 100) + "\", is missing");
    }
    // A Secret made from a file often ends with a line feed, which the database's own image strips as the
    // shell does.
    while (!text->empty() && text->back() == '\n') text->pop_back();
    return text;
}

base::Result<Credentials> read_credentials(const Context& context) {
    const auto& request = context.request;
    auto user = credential(context, request.user, request.user_key);
    if (!user) return user.error();
    auto password = credential(context, "", request.password_key);
    if (!password) return password.error();
    auto database = credential(context, request.database, request.database_key);
    if (!database) return database.error();
    return Credentials{*user, *password, *database};
}

}  // namespace dbrestore::agent
