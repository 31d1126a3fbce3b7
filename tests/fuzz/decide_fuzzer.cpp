// Decisions on whatever the parsers let through. Each line of the input is an object, written as what differs
// (a JSON merge patch) from the object of its kind in shop.json. Two kinds are ours: Now, with time, fresh
// and namespaceTerminating; and AgentReport, with job, log, termination and terminated, signed by "+"
// (properties.h).

#include <fstream>
#include <variant>

#include "decide/jobs.h"
#include "decide/phases.h"
#include "fuzz/properties.h"
#include "resources/json_fields.h"

namespace dbrestore::fuzz {
namespace {

using namespace resources;
using nlohmann::json;

struct Worlds {
    decide::World restore;
    decide::ServerWorld server;
    bool has_restore = false, has_server = false;
};

AgentReport report_from_json(const json& object) {
    std::string digest;
    const std::string log = signed_log(text_at(object, "log"), digest);
    return parse_agent_report(log, signed_termination(text_at(object, "termination"), digest),
                              flag_at(object, "terminated"));
}

void add_our_own(Worlds& worlds, const std::string& kind, const json& object) {
    if (kind == "Now") {
        worlds.restore.now = worlds.server.now = time_at(object, "time").value_or(base::Time{});
        worlds.restore.fresh = flag_at(object, "fresh");
        worlds.restore.namespace_terminating = flag_at(object, "namespaceTerminating");
    } else if (kind == "AgentReport") {
        worlds.restore.report = report_from_json(object);
        worlds.server.reports[text_at(object, "job")] = *worlds.restore.report;
    } else if (kind == "DatabaseRestore" && worlds.has_restore) {
        worlds.restore.rivals.push_back(restore_from_json(object));
    } else if (kind == "DatabaseRestore") {
        worlds.restore.restore = restore_from_json(object);
        worlds.has_restore = true;
    } else if (kind == "PostgresServer" && worlds.has_server) {
        worlds.server.others.push_back(server_from_json(object));
    } else if (kind == "PostgresServer") {
        worlds.restore.server = worlds.server.server = server_from_json(object);
        worlds.has_server = true;
    }
}

// From the object of its kind in the shop, changed as the patch says.
json patched(const json& patch) {
    static const json shop = json::parse(std::ifstream(DBRESTORE_FUZZ_SHOP));
    json object = field(shop, text_at(patch, "kind"));
    object.merge_patch(patch);
    return object;
}

void add(Worlds& worlds, const json& object) {
    const std::string kind = text_at(object, "kind");
    if (kind == "StatefulSet" || kind == "Deployment")
        worlds.restore.workload = worlds.server.workload = workload_from_json(object, kind);
    if (kind == "PersistentVolumeClaim") {
        const Claim claim = claim_from_json(object);
        worlds.restore.claims[claim.meta.name] = claim;
    }
    if (kind == "Pod") worlds.restore.pods.push_back(pod_from_json(object));
    if (kind == "Job") worlds.restore.jobs.push_back(job_from_json(object));
    if (kind == "Event") worlds.restore.notes.push_back(event_from_json(object));
    add_our_own(worlds, kind, object);
}

// What a plan must never hold, action by action.
struct Checker {
    const decide::World& world;

    void operator()(const decide::SaveRestore& action) const {
        const json status = to_json(action.status);
        require(!status.dump().empty(), "a status can be sent");
        // Attempts end at the largest integer, and so does what is read of them.
        if (!action.status.step || action.status.step->attempt <= largest_integer)
            require_same(to_json(restore_from_json({{"status", status}}).status), status,
                         "a status is read as it was saved");
        const Phase before = world.restore.status.phase;
        require(!is_final(before) || action.status.phase == before, "what has ended stays ended");
    }
    void operator()(const decide::SaveServer& action) const {
        const json status = to_json(action.status);
        require(!status.dump().empty(), "a status can be sent");
        require_same(to_json(server_from_json({{"status", status}}).status), status,
                     "a status is read as it was saved");
    }
    void operator()(const decide::SaveLock& action) const {
        const auto& holder = world.server->lock.active_restore;
        require(!holder || holder->uid == world.restore.meta.uid, "nobody else's lock is touched");
        const auto& next = action.lock.active_restore;
        require(!next || next->uid == world.restore.meta.uid, "the lock is taken for nobody else");
    }
    void operator()(const decide::CreateJob& action) const {
        require(!action.manifest.dump().empty(), "a Job can be sent");
        const std::string step = action.manifest["metadata"]["labels"].value(decide::step_label, "");
        const bool writes = step == "prepare" || step == "commit" || step == "rollback";
        require(world.fresh || !writes, "data is changed on a fresh look only", step);
    }
    void operator()(const decide::Scale& action) const {
        require(world.fresh, "the workload is scaled on a fresh look only");
        const auto& holder = world.server->lock.active_restore;
        require(!holder || holder->uid == world.restore.meta.uid, "nobody else's workload is scaled");
        require(action.replicas != 0 || world.restore.status.stop_time || !world.server->lock.fence,
                "nothing is stopped before the status says so");
    }
    void operator()(const decide::Speak& action) const {
        require(!json{{"reason", action.reason}, {"message", action.message}}.dump().empty(),
                "an event can be sent");
    }
    template <typename Other>
    void operator()(const Other&) const {}
};

void check(std::string_view input) {
    Worlds worlds;
    worlds.restore.settings.agent_image = worlds.server.settings.agent_image = "agent:1";
    while (!input.empty()) {
        const json patch = json::parse(take_until(input, "\n"), nullptr, false);
        if (patch.is_object()) add(worlds, patched(patch));
    }
    worlds.server.pods = worlds.restore.pods;
    worlds.server.jobs = worlds.restore.jobs;

    const decide::Plan plan = decide::decide(worlds.restore);
    for (const auto& action : plan.actions) std::visit(Checker{worlds.restore}, action);
    require(!plan.look_again_after || plan.look_again_after->count() >= 0, "nobody looks again in the past");
    require(decide::decide(worlds.restore).why == plan.why, "the same world gives the same plan", plan.why);

    if (!worlds.has_server) return;
    const decide::Plan server_plan = decide::decide_server(worlds.server);
    for (const auto& action : server_plan.actions) std::visit(Checker{worlds.restore}, action);
    require(!server_plan.look_again_after || server_plan.look_again_after->count() >= 0,
            "nobody looks again in the past");
}

}  // namespace
}  // namespace dbrestore::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    dbrestore::fuzz::check(dbrestore::fuzz::text_of(data, size));
    return 0;
}
