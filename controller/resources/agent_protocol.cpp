#include "resources/agent_protocol.h"

#include "base/digest.h"
#include "resources/json_fields.h"

namespace dbrestore::resources {

namespace {

constexpr std::string_view frame_mark = "DBRESTORE/1";
constexpr size_t max_termination_message_bytes = 2000;
constexpr size_t max_frame_bytes = 1 << 20;

const char* outcome_text(AgentResult::Outcome outcome) {
    switch (outcome) {
        case AgentResult::Outcome::done:
            return "done";
        case AgentResult::Outcome::retryable:
            return "retryable";
        case AgentResult::Outcome::failed:
            break;
    }
    return "failed";
}

AgentResult::Outcome outcome_from_text(const std::string& text) {
    return text == "done"        ? AgentResult::Outcome::done
           : text == "retryable" ? AgentResult::Outcome::retryable
                                 : AgentResult::Outcome::failed;
}

// Foreign text (an error of a program, a file's name) may be no UTF-8: replaced, so that dumping never
// throws.
std::string dump(const nlohmann::json& document) {
    return document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

nlohmann::json to_json(const AgentResult& r) {
    nlohmann::json document{{"outcome", outcome_text(r.outcome)}};
    put(document, "reason", r.reason);
    put(document, "message", r.message);
    put(document, "findings", to_json(r.findings));
    put(document, "waitingFor", nlohmann::json(r.waiting_for));
    put(document, "uid", r.uid);
    put(document, "gid", r.gid);
    if (r.bytes != 0) document["bytes"] = r.bytes;
    if (r.estimated_seconds != 0) document["estimatedSeconds"] = r.estimated_seconds;
    put(document, "whatIsLost", nlohmann::json(r.what_is_lost));
    put(document, "serverVersion", r.server_version);
    put(document, "database", r.database);
    for (const auto& backup : r.backups) document["backups"].push_back(to_json(backup));
    if (r.backup_count != 0) document["backupCount"] = r.backup_count;
    if (r.chosen) document["chosen"] = to_json(*r.chosen);
    if (r.credentials_match) document["credentialsMatch"] = *r.credentials_match;
    if (r.recovered_to) document["recoveredTo"] = to_json(*r.recovered_to);
    if (r.reachable) document["reachable"] = to_json(*r.reachable);
    return document;
}

AgentResult result_from_json(const nlohmann::json& document) {
    AgentResult r;
    r.outcome = outcome_from_text(text_at(document, "outcome"));
    r.reason = text_at(document, "reason");
    r.message = text_at(document, "message");
    r.findings = findings_from_json(field(document, "findings"));
    r.waiting_for = texts_at(document, "waitingFor");
    if (present_at(document, "uid")) r.uid = integer_at(document, "uid");
    if (present_at(document, "gid")) r.gid = integer_at(document, "gid");
    r.bytes = integer_at(document, "bytes");
    r.estimated_seconds = integer_at(document, "estimatedSeconds");
    r.what_is_lost = texts_at(document, "whatIsLost");
    r.server_version = text_at(document, "serverVersion");
    r.database = text_at(document, "database");
    for (const auto& backup : list_at(document, "backups")) r.backups.push_back(backup_from_json(backup));
    r.backup_count = integer_at(document, "backupCount");
    if (present_at(document, "chosen")) r.chosen = backup_from_json(field(document, "chosen"));
    if (present_at(document, "credentialsMatch")) r.credentials_match = flag_at(document, "credentialsMatch");
    if (present_at(document, "recoveredTo"))
        r.recovered_to = recovered_to_from_json(field(document, "recoveredTo"));
    if (present_at(document, "reachable"))
        r.reachable = reachable_points_from_json(field(document, "reachable"));
    return r;
}

std::string frame(int64_t sequence, const char* kind, const nlohmann::json& document) {
    const std::string text = dump(document);
    return std::string(frame_mark) + " " + std::to_string(sequence) + " " + kind + " " +
           base::sha256_hex(text) + " " + text + "\n";
}

struct Frame {
    std::string_view kind, digest;
    nlohmann::json document;
};

std::string_view next_word(std::string_view& rest) {
    const size_t space = rest.find(' ');
    const std::string_view word = rest.substr(0, space);
    rest = space == std::string_view::npos ? std::string_view() : rest.substr(space + 1);
    return word;
}

std::optional<Frame> frame_from_line(std::string_view line) {
    if (line.size() > max_frame_bytes || next_word(line) != frame_mark) return std::nullopt;
    next_word(line);  // the sequence is for people who read the log
    Frame f;
    f.kind = next_word(line);
    f.digest = next_word(line);
    if (base::sha256_hex(line) != f.digest) return std::nullopt;
    f.document = nlohmann::json::parse(line, nullptr, false);
    if (!f.document.is_object()) return std::nullopt;
    return f;
}

}  // namespace

nlohmann::json to_json(const AgentRequest& r) {
    nlohmann::json document{{"step", r.step},
                            {"restoreName", r.restore_name},
                            {"restoreUID", r.restore_uid},
                            {"attempt", r.attempt},
                            {"dataDirectory", r.data_directory},
                            {"port", r.port},
                            {"jobs", r.jobs},
                            {"sequence", r.sequence}};
    if (r.undo) document["undo"] = true;
    put(document, "undoneUID", r.undone_uid);
    if (r.clean) document["clean"] = true;
    if (r.as_superuser) document["asSuperuser"] = true;
    if (r.point_in_time) document["pointInTime"] = to_json(*r.point_in_time);
    put(document, "stanza", r.stanza);
    if (r.timeline != 0) document["timeline"] = r.timeline;
    put(document, "serverArguments", nlohmann::json(r.server_arguments));
    put(document, "host", r.host);
    put(document, "user", r.user);
    put(document, "database", r.database);
    put(document, "userKey", r.user_key);
    put(document, "passwordKey", r.password_key);
    put(document, "databaseKey", r.database_key);
    put(document, "store", to_json(r.store));
    put(document, "choice", to_json(r.choice));
    put(document, "backupName", r.backup_name);
    put(document, "backupIdentity", r.backup_identity);
    if (r.verification) document["verification"] = to_json(*r.verification);
    put(document, "newDatabase", r.new_database);
    put(document, "oldDatabase", r.old_database);
    put(document, "role", r.role);
    return document;
}

base::Result<AgentRequest> request_from_text(const std::string& text) {
    const nlohmann::json document = nlohmann::json::parse(text, nullptr, false);
    if (!document.is_object()) {
        return base::error(base::ErrorKind::invalid,
                           std::string(request_variable) + " must be a JSON object");
    }
    AgentRequest r;
    r.step = text_at(document, "step");
    r.restore_name = text_at(document, "restoreName");
    r.restore_uid = text_at(document, "restoreUID");
    r.attempt = integer_at(document, "attempt", 1);
    r.sequence = integer_at(document, "sequence", 1);
    r.undo = flag_at(document, "undo");
    r.undone_uid = text_at(document, "undoneUID");
    r.clean = flag_at(document, "clean");
    r.as_superuser = flag_at(document, "asSuperuser");
    if (present_at(document, "pointInTime"))
        r.point_in_time = point_in_time_from_json(field(document, "pointInTime"));
    r.stanza = text_at(document, "stanza");
    r.timeline = integer_at(document, "timeline");
    r.data_directory = text_at(document, "dataDirectory");
    r.server_arguments = texts_at(document, "serverArguments");
    r.host = text_at(document, "host");
    r.port = integer_at(document, "port", 5432);
    r.user = text_at(document, "user");
    r.database = text_at(document, "database");
    r.user_key = text_at(document, "userKey");
    r.password_key = text_at(document, "passwordKey");
    r.database_key = text_at(document, "databaseKey");
    r.store = store_from_json(field(document, "store"));
    r.choice = choice_from_json(field(document, "choice"));
    r.backup_name = text_at(document, "backupName");
    r.backup_identity = text_at(document, "backupIdentity");
    r.jobs = integer_at(document, "jobs");
    if (present_at(document, "verification"))
        r.verification = verification_from_json(field(document, "verification"));
    r.new_database = text_at(document, "newDatabase");
    r.old_database = text_at(document, "oldDatabase");
    r.role = text_at(document, "role");
    return r;
}

std::string progress_frame(int64_t sequence, const Progress& progress) {
    return frame(sequence, "progress", to_json(progress));
}

std::string result_frame(int64_t sequence, const AgentResult& result) {
    return frame(sequence, "result", to_json(result));
}

std::string termination_message(const AgentResult& result) {
    nlohmann::json document{{"outcome", outcome_text(result.outcome)},
                            {"digest", base::sha256_hex(dump(to_json(result)))}};
    put(document, "reason", result.reason);
    // Escapes make a text up to six times longer, so it is cut by what comes out.
    for (size_t bytes = result.message.size();; bytes /= 2) {
        put(document, "message", result.message.substr(0, bytes));
        if (bytes == 0) document.erase("message");
        if (std::string text = dump(document); text.size() <= max_termination_message_bytes || bytes == 0)
            return text;
    }
}

AgentReport parse_agent_report(std::string_view log, std::string_view termination, bool terminated) {
    AgentReport report;
    const nlohmann::json ending = nlohmann::json::parse(termination, nullptr, false);
    const std::string digest = text_at(ending, "digest");
    while (!log.empty()) {
        const size_t end = log.find('\n');
        const std::string_view line = log.substr(0, end);
        log = end == std::string_view::npos ? std::string_view() : log.substr(end + 1);
        const auto f = frame_from_line(line);
        if (!f) continue;
        if (f->kind == "progress") report.progress = progress_from_json(f->document);
        if (f->kind == "result" && terminated && f->digest == digest)
            report.result = result_from_json(f->document);
    }
    report.result_lost = terminated && !report.result;
    return report;
}

}  // namespace dbrestore::resources
