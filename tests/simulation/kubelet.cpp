// The kubelet of the simulated cluster: pods become processes, and processes end.

#include "resources/json_fields.h"
#include "simulation/cluster.h"

namespace dbrestore::simulation {

using resources::AgentResult;
using resources::list_at;
using resources::present_at;
using resources::text_at;

namespace {

// What a child of the agent may print: never to be believed, and never to be repeated.
std::string noise() {
    return std::string("psql: password was ") + secret_text +
           "\nDBRESTORE/1 9 result 00 {\"outcome\":\"done\"}\n";
}

// A child may well frame what it prints, with the right digest of it; the termination message names another.
std::string forgery() {
    AgentResult result;
    result.outcome = AgentResult::Outcome::done;
    result.message = "all is well";
    return resources::result_frame(99, result);
}

json container(const char* name, const char* state, json details, int64_t restarts) {
    return json::array(
        {{{"name", name}, {"state", {{state, std::move(details)}}}, {"restartCount", restarts}}});
}

}  // namespace

bool Cluster::server_answers(const std::string& namespace_name) const {
    for (const auto& [uid, process] : processes_) {
        if (process.database && process.stage == Process::Stage::ready &&
            process.pod.namespace_name == namespace_name)
            return true;
    }
    return false;
}

std::vector<resources::Backup> Cluster::backups_in(const resources::Store& store) const {
    using namespace std::chrono_literals;
    const auto newest = clock_.steady().time_since_epoch() / 5min;
    std::vector<resources::Backup> backups;
    for (int age = 0; age < 3; ++age)
        backups.push_back(
            {store.name + "-" + std::to_string(newest - age), clock_.now() - age * 5min, 4711, "etag"});
    return backups;
}

Volume* Cluster::volume_of(const Process& process) {
    const auto at = volumes_.find({process.pod.namespace_name, process.claim});
    return at == volumes_.end() ? nullptr : &at->second;
}

void Cluster::show(const Process& process, const std::function<void(json&)>& change) {
    const json* pod = store_.find("pods", process.pod);
    if (pod == nullptr || text_at(*pod, "metadata.uid") != process.uid) return;
    store_.update("pods", process.pod, change);
}

// With the time of the change: by it the operator tells a pod that was ready from one that never was.
void Cluster::show_readiness(const Process& process, bool ready) {
    show(process, [&](json& document) {
        document["status"]["conditions"] = {{{"type", "Ready"},
                                             {"status", ready ? "True" : "False"},
                                             {"lastTransitionTime", base::format_time(clock_.now())}}};
    });
}

bool Cluster::move_kubelet() {
    for (const auto& [key, object] : store_.all("pods").objects) {
        if (processes_.contains(text_at(object.document, "metadata.uid"))) continue;
        admit_process(key, object.document);
        return true;
    }
    for (auto& [uid, process] : processes_) {
        if (move_process(process)) return true;
    }
    return false;
}

void Cluster::admit_process(const Key& key, const json& pod) {
    Process process;
    process.pod = key;
    process.uid = text_at(pod, "metadata.uid");
    process.due = in(0.5);
    process.deadline_seconds = resources::integer_at(pod, "spec.activeDeadlineSeconds");
    process.database = text_at(pod, "metadata.labels.app") == "shop";
    for (const auto& volume : list_at(pod, "spec.volumes")) {
        if (text_at(volume, "name") != "data") continue;
        process.claim = text_at(volume, "persistentVolumeClaim.claimName");
        process.writes = !process.database && !resources::flag_at(volume, "persistentVolumeClaim.readOnly");
    }
    // Left out of the pod, as nobody else reads it there.
    const auto& labels = resources::field(pod, "metadata.labels");
    const json* job =
        !labels.is_object()
            ? nullptr
            : store_.find("jobs",
                          {key.namespace_name, labels.value("batch.kubernetes.io/job-name", std::string())});
    if (job == nullptr) job = &pod;
    if (const auto request = request_of(*job)) {
        process.agent.emplace(*request, process.uid);
        // It removes a folder that no server knows.
        if (request->step == "cleanup") process.writes = false;
    }
    const auto& admitted = processes_.emplace(process.uid, std::move(process)).first->second;
    show(admitted,
         [&](json& document) { document["status"]["startTime"] = base::format_time(clock_.now()); });
    show_readiness(admitted, false);
}

bool Cluster::move_process(Process& process) {
    const json* pod = store_.find("pods", process.pod);
    const bool gone = pod == nullptr || text_at(*pod, "metadata.uid") != process.uid;
    if (!process.ending && (gone || present_at(*pod, "metadata.deletionTimestamp"))) {
        process.ending = true;
        process.started = in(random_.chance(behaviour.slow_end) ? 45 : 1);  // until when it takes its time
        if (process.stage == Process::Stage::ready) {
            process.stage = Process::Stage::running;
            show_readiness(process, false);
        }
        return true;
    }
    if (process.ending && process.started <= clock_.steady()) return move_ending(process);
    if (process.due > clock_.steady() || process.stage == Process::Stage::ended) return false;
    if (process.agent) return move_agent(process);
    return process.database && !process.ending ? move_database(process) : false;
}

void Cluster::let_go(const Process& process) {
    Volume* volume = volume_of(process);
    if (volume == nullptr) return;
    volume->servers.erase(process.uid);
    volume->writers.erase(process.uid);
    if (volume->lock_holder == process.uid) volume->lock_holder.clear();
}

bool Cluster::move_ending(Process& process) {
    let_go(process);
    const json* pod = store_.find("pods", process.pod);
    if (pod != nullptr && text_at(*pod, "metadata.uid") == process.uid) {
        api_.logs.erase(process.pod);
        store_.erase("pods", process.pod);
    }
    processes_.erase(std::string(process.uid));
    return true;
}

bool Cluster::move_database(Process& process) {
    using Stage = Process::Stage;
    Volume* volume = volume_of(process);
    if (volume == nullptr) return false;
    switch (process.stage) {
        case Stage::pending:
        case Stage::crashed:
            start_database(process);
            return true;
        case Stage::running: {
            const auto& journal = volume->journal;
            const bool is_new = journal && journal->state == JournalState::committed &&
                                volume->databases["shop"].placed_by == journal->restore_uid;
            process.due = in(2);
            if ((is_new && !behaviour.ready_on_new_data) || random_.chance(behaviour.not_ready)) return false;
            process.stage = Stage::ready;
            serve(process, volume->databases["shop"]);
            show_readiness(process, true);
            return true;
        }
        case Stage::ready:
            serve(process, volume->databases["shop"]);
            process.due = in(600);
            if (!random_.chance(behaviour.not_ready)) return false;
            process.stage = Stage::running;
            process.due = in(5);
            show_readiness(process, false);
            return true;
        default:
            return false;
    }
}

void Cluster::serve(const Process& process, Database& database) {
    ++database.client_writes;
    invariants_.served(process.uid, database);
}

void Cluster::start_database(Process& process) {
    Volume& volume = *volume_of(process);
    process.due = in(2);
    if (volume.hidden) {
        // The stub's PG_VERSION fits no server.
        process.stage = Process::Stage::crashed;
        process.due = in(20);
        ++process.restarts;
        show(process, [&](json& document) {
            document["status"]["phase"] = "Running";
            document["status"]["containerStatuses"] =
                container("postgres", "waiting", {{"reason", "CrashLoopBackOff"}}, process.restarts);
        });
        return;
    }
    invariants_.server_starts(volume);
    volume.servers.insert(process.uid);
    process.stage = Process::Stage::running;
    show(process, [&](json& document) {
        document["status"]["phase"] = "Running";
        document["status"]["podIP"] = "10.0.0.7";
        document["status"]["containerStatuses"] =
            container("postgres", "running", json::object(), process.restarts);
    });
}

bool Cluster::move_agent(Process& process) {
    using Stage = Process::Stage;
    if (process.stage == Stage::pending || process.stage == Stage::stuck) {
        if (process.ending) return false;
        process.due = in(1);
        if (random_.chance(process.stage == Stage::stuck ? behaviour.pod_stuck * 50 : behaviour.pod_stuck)) {
            process.due = in(30);
            const bool first = process.stage == Stage::pending;
            process.stage = Stage::stuck;
            if (first)
                show(process, [](json& document) {
                    document["status"]["containerStatuses"] = container(
                        "agent", "waiting", {{"reason", "ErrImagePull"}, {"message", "no such image"}}, 0);
                });
            return first;
        }
        process.stage = Stage::running;
        process.started = in(static_cast<double>(process.deadline_seconds));
        if (process.writes)
            if (Volume* volume = volume_of(process)) volume->writers.insert(process.uid);
        show(process, [](json& document) {
            document["status"]["phase"] = "Running";
            document["status"]["containerStatuses"] = container("agent", "running", json::object(), 0);
        });
        return true;
    }
    const AgentOrder order = at_agent_move ? at_agent_move(process.pod) : AgentOrder::none;
    if (order == AgentOrder::kill || random_.chance(behaviour.agent_killed)) {
        end_agent(process, std::nullopt, "OOMKilled");
        return true;
    }
    Volume none;
    Volume* volume = volume_of(process);
    if (volume == nullptr) {  // cleanup and verify-live mount no data: they reach it through the server
        for (auto& [key, candidate] : volumes_)
            if (key.namespace_name == process.pod.namespace_name) volume = &candidate;
    }
    const Surroundings surroundings{behaviour.dump_is_there, behaviour.dump_is_good,
                                    server_answers(process.pod.namespace_name), behaviour.live_check_passes,
                                    backups_in(process.agent->request().store)};
    auto result = process.agent->move(volume == nullptr ? none : *volume, surroundings, watcher_);
    process.due = in(1);
    if (!result) return true;
    if (random_.chance(behaviour.odd_result)) result = odd(*result);
    const bool lost = order == AgentOrder::lose_result || random_.chance(behaviour.result_lost);
    end_agent(process, lost ? std::nullopt : result, "Error");
    return true;
}

// It did its work and says that it did not: some later check failed.
AgentResult Cluster::odd(AgentResult result) {
    if (result.outcome != AgentResult::Outcome::done) return result;
    result.outcome = random_.chance(0.5) ? AgentResult::Outcome::retryable : AgentResult::Outcome::failed;
    result.reason = "Unlucky";
    result.message = "the disk was away at the end";
    return result;
}

void Cluster::end_agent(Process& process, const std::optional<AgentResult>& result, const std::string& how) {
    let_go(process);
    process.stage = Process::Stage::ended;
    const bool good = result && result->outcome == AgentResult::Outcome::done;
    std::string log = noise();
    const auto& request = process.agent->request();
    if (good && request.step == "verify" && !request.host.empty())
        invariants_.live_check_passed(request.restore_uid);
    if (good && request.step == "catalog") invariants_.listed(request, *result);
    json ending{{"exitCode", good ? 0 : 1}, {"reason", good ? "Completed" : how}};
    if (result) {
        log += resources::result_frame(1, *result);
        ending["message"] = resources::termination_message(*result);
    }
    log += forgery();
    const json* pod = store_.find("pods", process.pod);
    if (pod == nullptr || text_at(*pod, "metadata.uid") != process.uid) return;
    api_.logs[process.pod] = log;
    show(process, [&](json& document) {
        document["status"]["phase"] = good ? "Succeeded" : "Failed";
        document["status"]["containerStatuses"] = container("agent", "terminated", ending, 0);
    });
}

}  // namespace dbrestore::simulation
