#include "resources/database_restore.h"

#include <algorithm>
#include <array>
#include <utility>

#include "resources/json_fields.h"

namespace dbrestore::resources {

namespace {

constexpr std::array<std::pair<Phase, const char*>, 14> phase_names{{
    {Phase::pending, "Pending"},
    {Phase::queued, "Queued"},
    {Phase::validating, "Validating"},
    {Phase::stopping, "Stopping"},
    {Phase::preparing, "Preparing"},
    {Phase::verifying, "Verifying"},
    {Phase::awaiting_approval, "AwaitingApproval"},
    {Phase::committing, "Committing"},
    {Phase::starting, "Starting"},
    {Phase::rolling_back, "RollingBack"},
    {Phase::unknown, "Unknown"},
    {Phase::succeeded, "Succeeded"},
    {Phase::failed, "Failed"},
    {Phase::cancelled, "Cancelled"},
}};

const char* outcome_text(PreflightFinding::Outcome outcome) {
    switch (outcome) {
        case PreflightFinding::Outcome::passed:
            return "Passed";
        case PreflightFinding::Outcome::warning:
            return "Warning";
        case PreflightFinding::Outcome::failed:
            break;
    }
    return "Failed";
}

BackupSource backup_source_from_json(const nlohmann::json& spec) {
    BackupSource source;
    if (const auto& dump = field(spec, "dump"); dump.is_object()) {
        source.claim_name = text_at(dump, "persistentVolumeClaim.claimName");
        source.store = text_at(dump, "store");
        source.choice.name = text_at(dump, "persistentVolumeClaim.path", text_at(dump, "path"));
    }
    for (const char* type : {"scheduledBackup", "manualBackup"}) {
        if (const auto& backup = field(spec, type); backup.is_object()) {
            source.store = text_at(backup, "store");
            source.choice = choice_from_json(backup);
        }
    }
    return source;
}

RestoreSpec spec_from_json(const nlohmann::json& spec) {
    RestoreSpec s;
    s.server_name = text_at(spec, "serverRef.name");
    s.type = text_at(spec, "type");
    s.point_in_time = point_in_time_from_json(field(spec, "pointInTime"));
    s.backup = backup_source_from_json(spec);
    s.undo_name = text_at(spec, "undo.restoreRef.name");
    s.mode = text_at(spec, "logical.mode", s.mode);
    s.logical_database = text_at(spec, "logical.database");
    s.run_as = text_at(spec, "logical.runAs", s.run_as);
    s.jobs = integer_at(spec, "logical.jobs");
    s.acknowledge_data_loss = flag_at(spec, "acknowledgeDataLoss");
    s.approved = flag_at(spec, "approved");
    s.cancel_requested = flag_at(spec, "cancelRequested");
    s.strategy = text_at(spec, "strategy", s.strategy);
    s.approval = text_at(spec, "approval", s.approval);
    s.dry_run = text_at(spec, "dryRun", s.dry_run);
    s.retain_seconds = integer_at(spec, "previousData.retainSeconds", s.retain_seconds);
    s.starting_deadline_seconds = integer_at(spec, "startingDeadlineSeconds", s.starting_deadline_seconds);
    s.active_deadline_seconds = integer_at(spec, "activeDeadlineSeconds", s.active_deadline_seconds);
    s.max_attempts = integer_at(spec, "maxAttempts", s.max_attempts);
    if (const auto& question = field(spec, "verification"); question.is_object())
        s.verification = verification_from_json(question);
    return s;
}

void read_results(const nlohmann::json& status, RestoreStatus& s) {
    if (present_at(status, "plan")) {
        s.plan = RestorePlan{texts_at(status, "plan.steps"), texts_at(status, "plan.whatIsLost"),
                             integer_at(status, "plan.estimatedDowntimeSeconds"),
                             integer_at(status, "plan.bytes")};
    }
    if (present_at(status, "progress")) s.progress = progress_from_json(field(status, "progress"));
    if (present_at(status, "downtimeSeconds")) s.downtime_seconds = integer_at(status, "downtimeSeconds");
    if (present_at(status, "originalReplicas")) s.original_replicas = integer_at(status, "originalReplicas");
    if (present_at(status, "recoveredTo"))
        s.recovered_to = recovered_to_from_json(field(status, "recoveredTo"));
    if (const auto to = time_at(status, "lostInterval.to"))
        s.lost_interval = LostInterval{text_at(status, "lostInterval.from"), *to};
    if (present_at(status, "previousData")) {
        s.previous_data = PreviousData{
            flag_at(status, "previousData.available"), text_at(status, "previousData.database"),
            integer_at(status, "previousData.sizeBytes"), time_at(status, "previousData.expirationTime"),
            text_at(status, "previousData.directory")};
        s.replaced_database = text_at(status, "previousData.ofDatabase");
    }
    if (present_at(status, "step")) s.step = step_from_json(field(status, "step"));
    if (present_at(status, "dataOwner")) s.data_owner = owner_from_json(field(status, "dataOwner"));
    if (present_at(status, "failure")) {
        s.failure = Failure{text_at(status, "failure.reason"), text_at(status, "failure.message"),
                            flag_at(status, "failure.cancelled")};
    }
}

RestoreStatus status_from_json(const nlohmann::json& status) {
    RestoreStatus s;
    s.observed_generation = integer_at(status, "observedGeneration", -1);
    s.phase = phase_from_text(text_at(status, "phase")).value_or(Phase::unknown);
    s.start_time = time_at(status, "startTime");
    s.completion_time = time_at(status, "completionTime");
    s.stop_time = time_at(status, "stopTime");
    s.conditions = conditions_from_json(field(status, "conditions"));
    s.target = text_at(status, "target");
    s.source_store = text_at(status, "source.store");
    s.source_name = text_at(status, "source.name");
    s.source_identity = text_at(status, "source.identity");
    s.preflight = findings_from_json(field(status, "preflight"));
    read_results(status, s);
    return s;
}

}  // namespace

std::string to_text(Phase phase) {
    return std::ranges::find(phase_names, phase, &std::pair<Phase, const char*>::first)->second;
}

std::optional<Phase> phase_from_text(const std::string& text) {
    if (text.empty()) return Phase::pending;
    for (const auto& [phase, name] : phase_names) {
        if (text == name) return phase;
    }
    return std::nullopt;
}

DatabaseRestore restore_from_json(const nlohmann::json& object) {
    return {meta_from_json(object), spec_from_json(field(object, "spec")),
            status_from_json(field(object, "status"))};
}

nlohmann::json to_json(const std::vector<PreflightFinding>& findings) {
    nlohmann::json list = nlohmann::json::array();
    for (const auto& f : findings) {
        list.push_back({{"check", f.check}, {"result", outcome_text(f.outcome)}, {"message", f.message}});
    }
    return list;
}

std::vector<PreflightFinding> findings_from_json(const nlohmann::json& list) {
    std::vector<PreflightFinding> findings;
    if (!list.is_array()) return findings;
    for (const auto& item : list) {
        const std::string result = text_at(item, "result");
        findings.push_back({text_at(item, "check"),
                            result == "Passed"    ? PreflightFinding::Outcome::passed
                            : result == "Warning" ? PreflightFinding::Outcome::warning
                                                  : PreflightFinding::Outcome::failed,
                            text_at(item, "message")});
    }
    return findings;
}

nlohmann::json to_json(const Progress& p) {
    nlohmann::json document{{"step", p.step}, {"percent", p.percent}, {"summary", p.summary}};
    if (p.bytes_total > 0) {
        document["bytesDone"] = p.bytes_done;
        document["bytesTotal"] = p.bytes_total;
    }
    if (p.entries_total > 0) {
        document["entriesDone"] = p.entries_done;
        document["entriesTotal"] = p.entries_total;
    }
    put(document, "etaSeconds", p.eta_seconds);
    return document;
}

Progress progress_from_json(const nlohmann::json& document) {
    Progress p;
    p.step = text_at(document, "step");
    p.summary = text_at(document, "summary");
    p.percent = integer_at(document, "percent");
    p.bytes_done = integer_at(document, "bytesDone");
    p.bytes_total = integer_at(document, "bytesTotal");
    p.entries_done = integer_at(document, "entriesDone");
    p.entries_total = integer_at(document, "entriesTotal");
    if (present_at(document, "etaSeconds")) p.eta_seconds = integer_at(document, "etaSeconds");
    return p;
}

nlohmann::json to_json(const StepAttempt& step) {
    nlohmann::json document{{"name", step.name},
                            {"attempt", step.attempt},
                            {"startTime", base::format_time(step.start_time)},
                            {"sequence", step.sequence}};
    put(document, "jobUID", step.job_uid);
    if (step.failures > 0) document["failures"] = step.failures;
    return document;
}

StepAttempt step_from_json(const nlohmann::json& document) {
    return {text_at(document, "name"),
            integer_at(document, "attempt", 1),
            time_at(document, "startTime").value_or(base::Time{}),
            text_at(document, "jobUID"),
            integer_at(document, "sequence", 1),
            integer_at(document, "failures")};
}

nlohmann::json to_json(const DataOwner& owner) {
    return {{"uid", owner.uid}, {"gid", owner.gid}};
}

nlohmann::json to_json(const Verification& v) {
    nlohmann::json document{{"query", v.query}};
    if (v.expect) document["expect"] = *v.expect;
    return document;
}

Verification verification_from_json(const nlohmann::json& document) {
    Verification v{text_at(document, "query"), std::nullopt};
    if (present_at(document, "expect")) v.expect = text_at(document, "expect");
    return v;
}

DataOwner owner_from_json(const nlohmann::json& document) {
    return {integer_at(document, "uid"), integer_at(document, "gid")};
}

nlohmann::json to_json(const RestoreStatus& s) {
    nlohmann::json status{{"observedGeneration", s.observed_generation}, {"phase", to_text(s.phase)}};
    put(status, "startTime", s.start_time);
    put(status, "completionTime", s.completion_time);
    put(status, "stopTime", s.stop_time);
    put(status, "conditions", to_json(s.conditions));
    put(status, "target", s.target);
    nlohmann::json source = nlohmann::json::object();
    put(source, "store", s.source_store);
    put(source, "name", s.source_name);
    put(source, "identity", s.source_identity);
    put(status, "source", std::move(source));
    put(status, "preflight", to_json(s.preflight));
    if (s.plan) {
        status["plan"] = {{"steps", s.plan->steps},
                          {"estimatedDowntimeSeconds", s.plan->estimated_downtime_seconds},
                          {"bytes", s.plan->bytes}};
        status["plan"]["whatIsLost"] = s.plan->what_is_lost;
    }
    if (s.progress) status["progress"] = to_json(*s.progress);
    put(status, "downtimeSeconds", s.downtime_seconds);
    put(status, "originalReplicas", s.original_replicas);
    if (s.recovered_to) status["recoveredTo"] = to_json(*s.recovered_to);
    if (s.lost_interval) {
        status["lostInterval"]["to"] = base::format_time(s.lost_interval->to);
        put(status["lostInterval"], "from", s.lost_interval->from);
    }
    if (s.previous_data) {
        auto& previous = status["previousData"];
        previous = {{"available", s.previous_data->available}, {"sizeBytes", s.previous_data->size_bytes}};
        put(previous, "database", s.previous_data->database);
        put(previous, "ofDatabase", s.replaced_database);
        put(previous, "directory", s.previous_data->directory);
        put(previous, "expirationTime", s.previous_data->expiration_time);
    }
    if (s.step) status["step"] = to_json(*s.step);
    if (s.data_owner) status["dataOwner"] = to_json(*s.data_owner);
    if (s.failure) {
        status["failure"] = {{"reason", s.failure->reason},
                             {"message", s.failure->message},
                             {"cancelled", s.failure->cancelled}};
    }
    return status;
}

}  // namespace dbrestore::resources
