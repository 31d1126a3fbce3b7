// The structs and their JSON: what is written comes back, and the CRDs know every field of it.

#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include "resources/json_fields.h"
#include "support/world_builder.h"

namespace dbrestore::testing {
namespace {

using nlohmann::json;

resources::RestoreStatus a_full_status() {
    resources::RestoreStatus s;
    s.observed_generation = 3;
    s.phase = Phase::committing;
    s.start_time = s.completion_time = s.stop_time = noon;
    s.conditions = {{"Succeeded", Truth::unknown, "Committing", "exchanging", 3, noon}};
    s.target = "dumps/shop.dump";
    s.replaced_database = "shop";
    s.source_store = "nightly";
    s.source_name = "shop.dump";
    s.source_identity = "\"e1\"";
    s.preflight = {{"Space", PreflightFinding::Outcome::warning, "little"}};
    s.plan = resources::RestorePlan{{"stop"}, {"orders"}, 12, 34};
    s.progress = resources::Progress{"prepare", "orders", 50, 1, 2, 3, 4, 5};
    s.downtime_seconds = 7;
    s.original_replicas = 0;
    s.previous_data = resources::PreviousData{true, "old", 9, noon};
    s.step = resources::StepAttempt{"commit", 2, noon, "job-uid"};
    s.data_owner = resources::DataOwner{999, 998};
    s.failure = resources::Failure{"Why", "because", true};
    return s;
}

resources::ServerStatus a_full_server_status() {
    resources::ServerStatus s = the_server().status;
    s.inferred->sub_path = "pg";
    s.inferred->gid = 998;
    s.inferred->user = {"", "user"};
    s.history = {{"r", "uid", "Succeeded", "other", noon, "old", 9, noon}};
    s.listings = 7;
    s.stores = {{"nightly", 3, noon, noon, 250, "StoreAccessDenied", "403", "uid"}};
    s.backups = {{"nightly", "Scheduled", {"a.tar.gz", noon, 12, "", "custom", "15.18"}}};
    return s;
}

resources::LockState a_full_lock() {
    return {resources::ActiveRestore{"r", "uid"},          0,
            resources::Fence{"uid", "r", {"data-shop-0"}}, resources::DataOwner{999, 999},
            {{"backup", false}, {"report", true}},         "other"};
}

TEST(RestoreStatus, comes_back_from_JSON_as_it_was) {
    EXPECT_EQ(resources::restore_from_json({{"status", to_json(a_full_status())}}).status, a_full_status());
    EXPECT_EQ(resources::restore_from_json({{"status", to_json(resources::RestoreStatus{})}}).status,
              resources::RestoreStatus{});
    for (int phase = 0; phase <= static_cast<int>(Phase::cancelled); ++phase) {
        EXPECT_EQ(resources::phase_from_text(to_text(static_cast<Phase>(phase))), static_cast<Phase>(phase));
    }
}

TEST(ServerStatus, comes_back_from_JSON_as_it_was) {
    EXPECT_EQ(resources::server_from_json({{"status", to_json(a_full_server_status())}}).status,
              a_full_server_status());
    EXPECT_EQ(resources::server_from_json({{"status", to_json(a_full_lock())}}).lock, a_full_lock());
    EXPECT_EQ(to_json(resources::LockState{}), json::object()) << "a free lock owns no field";
}

// Where the schema does not know a field, the API server refuses the whole status.
void expect_known(const json& value, const YAML::Node& schema, const std::string& path) {
    const std::string type = schema["type"].as<std::string>("");
    if (value.is_object()) {
        ASSERT_EQ(type, "object") << path;
        for (const auto& [key, member] : value.items()) {
            const YAML::Node known = schema["properties"][key];
            ASSERT_TRUE(known.IsDefined()) << path << "." << key << " is not in the CRD";
            expect_known(member, known, path + "." + key);
        }
    } else if (value.is_array()) {
        ASSERT_EQ(type, "array") << path;
        for (const auto& item : value) expect_known(item, schema["items"], path + "[]");
    } else {
        EXPECT_EQ(type, value.is_string() ? "string" : value.is_boolean() ? "boolean" : "integer") << path;
    }
}

YAML::Node status_schema(const std::string& file) {
    const YAML::Node crd = YAML::LoadFile(std::string(DBRESTORE_SOURCE_DIRECTORY) + "/crds/" + file);
    return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"];
}

TEST(Status, every_field_that_is_written_is_in_the_CRD) {
    expect_known(to_json(a_full_status()), status_schema("databaserestores.yaml"), "DatabaseRestore.status");
    expect_known(to_json(a_full_server_status()), status_schema("postgresservers.yaml"),
                 "PostgresServer.status");
    expect_known(to_json(a_full_lock()), status_schema("postgresservers.yaml"), "PostgresServer.status");
}

TEST(RestoreSpec, has_the_defaults_of_the_CRD) {
    const YAML::Node spec =
        YAML::LoadFile(std::string(DBRESTORE_SOURCE_DIRECTORY) +
                       "/crds/databaserestores.yaml")["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
                                                     ["properties"]["spec"];
    const YAML::Node fields = spec["properties"];
    const resources::RestoreSpec empty;
    EXPECT_EQ(fields["strategy"]["default"].as<std::string>(), empty.strategy);
    EXPECT_EQ(fields["approval"]["default"].as<std::string>(), empty.approval);
    EXPECT_EQ(fields["dryRun"]["default"].as<std::string>(), empty.dry_run);
    EXPECT_EQ(fields["startingDeadlineSeconds"]["default"].as<int64_t>(), empty.starting_deadline_seconds);
    EXPECT_EQ(fields["activeDeadlineSeconds"]["default"].as<int64_t>(), empty.active_deadline_seconds);
    EXPECT_EQ(fields["maxAttempts"]["default"].as<int64_t>(), empty.max_attempts);
    EXPECT_EQ(fields["previousData"]["properties"]["retainSeconds"]["default"].as<int64_t>(),
              empty.retain_seconds);
}

TEST(RestoreSpec, is_read_from_the_object) {
    const auto spec =
        resources::restore_from_json(json::parse(R"({"spec": {"serverRef": {"name": "shop"}, "type": "Dump",
        "dump": {"persistentVolumeClaim": {"claimName": "dumps", "path": "a/b.dump"}}, "logical": {"mode": "Clean", "jobs": 3, "database": "x"},
        "acknowledgeDataLoss": true, "cancelRequested": true, "previousData": {"retainSeconds": 0}, "maxAttempts": 5, "verification": {"query": "q"}}})"))
            .spec;
    EXPECT_EQ(spec.server_name, "shop");
    EXPECT_EQ(spec.backup.claim_name, "dumps");
    EXPECT_EQ(spec.backup.choice.name, "a/b.dump");
    EXPECT_EQ(spec.mode, "Clean");
    EXPECT_EQ(spec.jobs, 3);
    EXPECT_EQ(spec.logical_database, "x");
    EXPECT_TRUE(spec.acknowledge_data_loss && spec.cancel_requested && spec.verification);
    EXPECT_EQ(spec.retain_seconds, 0);
    EXPECT_EQ(spec.max_attempts, 5);
}

TEST(Projections, keep_what_decisions_need) {
    const auto pod = resources::pod_from_json(
        json::parse(R"({"metadata": {"name": "p", "uid": "u", "deletionTimestamp": "2026-11-22T12:00:00Z",
        "ownerReferences": [{"uid": "other"}, {"kind": "ReplicaSet", "name": "rs", "uid": "owner", "controller": true}]},
        "spec": {"nodeName": "n", "volumes": [{"name": "a", "persistentVolumeClaim": {"claimName": "c"}}, {"name": "b", "emptyDir": {}}]},
        "status": {"phase": "Failed", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": "agent", "restartCount": 4, "state": {"terminated": {"exitCode": 7, "message": "bye", "reason": "Error"}}}],
        "initContainerStatuses": [{"name": "install", "state": {"waiting": {"reason": "ErrImagePull", "message": "none"}}}]}})"));
    EXPECT_TRUE(pod.meta.deleting && pod.ready && pod.finished());
    EXPECT_EQ(pod.owner_kind + " " + pod.owner_name + " " + pod.owner_uid, "ReplicaSet rs owner");
    EXPECT_EQ(pod.claim_names, std::vector<std::string>{"c"});
    EXPECT_EQ(pod.containers[0].exit_code, 7);
    EXPECT_EQ(pod.containers[0].termination_message, "bye");
    EXPECT_EQ(pod.containers[0].restart_count, 4);
    EXPECT_EQ(pod.init_containers[0].waiting_reason, "ErrImagePull");
    const auto job = resources::job_from_json(json::parse(
        R"({"status": {"conditions": [{"type": "Complete", "status": "False"}, {"type": "Failed", "status": "True", "reason": "R"}]}})"));
    EXPECT_TRUE(job.failed && !job.complete && job.finished());
    EXPECT_EQ(job.failure_reason, "R");
    EXPECT_FALSE(job.end_time);
    const auto ended = resources::job_from_json(json::parse(
        R"({"status": {"conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": "2026-11-22T12:00:00Z"}]}})"));
    EXPECT_EQ(ended.end_time, noon);
    const auto workload = resources::workload_from_json(
        json::parse(R"({"spec": {"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete"}}})"),
        "StatefulSet");
    EXPECT_EQ(workload.when_scaled, "Delete");
    EXPECT_EQ(workload.replicas, 1) << "the API's default";
    EXPECT_EQ(
        resources::workload_from_json(json::parse(R"({"spec": {"replicas": 0}})"), "StatefulSet").replicas,
        0);
}

TEST(Projections, of_a_workload_without_claims_keep_no_pod_template) {
    const json template_of_pods = json::parse(R"({"spec": {"containers": [{"name": "web"}]}})");
    const auto projected = [&](json spec) {
        spec["template"] = template_of_pods;
        return resources::workload_from_json({{"spec", spec}}, "Deployment");
    };
    EXPECT_TRUE(projected(json::object()).pod_spec.is_null());
    EXPECT_FALSE(
        projected({{"volumeClaimTemplates", {{{"metadata", {{"name", "data"}}}}}}}).pod_spec.is_null());
    json with_claim = template_of_pods;
    with_claim["spec"]["volumes"] =
        json::parse(R"([{"name": "data", "persistentVolumeClaim": {"claimName": "disk"}}])");
    EXPECT_EQ(resources::workload_from_json({{"spec", {{"template", with_claim}}}}, "Deployment").pod_spec,
              with_claim["spec"]);
}

TEST(Projections, tell_whether_a_new_pod_starts_beside_the_old_one) {
    const auto beside = [](const char* spec, const char* kind) {
        return resources::workload_from_json({{"spec", json::parse(spec)}}, kind).starts_beside_old;
    };
    EXPECT_TRUE(beside("{}", "Deployment")) << "the API's default";
    EXPECT_TRUE(beside(R"({"strategy": {"type": "RollingUpdate"}})", "Deployment"));
    EXPECT_FALSE(beside(R"({"strategy": {"type": "Recreate"}})", "Deployment"));
    EXPECT_FALSE(beside("{}", "StatefulSet"));
}

TEST(Projections, a_cron_job_tells_who_paused_it) {
    const auto set_by_others = [](const json& managers) {
        json object{{"spec", {{"suspend", true}}}};
        for (const auto& manager : managers) object["metadata"]["managedFields"].push_back(manager);
        return resources::cron_job_from_json(object).set_by_others;
    };
    const json owns{{"f:spec", {{"f:suspend", json::object()}}}},
        owns_other{{"f:spec", {{"f:schedule", {}}}}};
    EXPECT_FALSE(set_by_others(json::array())) << "it is not known";
    EXPECT_FALSE(set_by_others({{{"manager", "dbrestore"}, {"fieldsV1", owns}}}));
    EXPECT_FALSE(set_by_others({{{"manager", "kubectl"}, {"fieldsV1", owns_other}}}));
    EXPECT_TRUE(set_by_others({{{"manager", "kubectl"}, {"fieldsV1", owns}}}));
    EXPECT_TRUE(set_by_others(
        {{{"manager", "dbrestore"}, {"fieldsV1", owns}}, {{"manager", "argocd"}, {"fieldsV1", owns}}}))
        << "it was applied as we had set it";
}

TEST(Projections, nothing_throws_on_another_shape) {
    for (
        const char* text :
        {"null", "[]", "7", R"({"metadata": 1, "spec": [], "status": "x"})",
         R"({"metadata": {"name": 7, "labels": [1]}, "spec": {"volumes": {}}, "status": {"conditions": [1, null]}})"}) {
        const json object = json::parse(text);
        EXPECT_NO_THROW({
            resources::restore_from_json(object);
            resources::server_from_json(object);
            resources::pod_from_json(object);
            resources::job_from_json(object);
            resources::claim_from_json(object);
            resources::event_from_json(object);
            resources::cron_job_from_json(object);
            resources::workload_from_json(object, "Deployment");
        }) << text;
    }
}

TEST(Integer, beyond_the_largest_counts_as_the_largest) {
    const json document = json::parse(R"({"for_ever": 9223372036854775807, "unsigned": 18446744073709551615,
                                          "never": -9223372036854775808, "real": 1e30})");
    EXPECT_EQ(resources::integer_at(document, "for_ever"), resources::largest_integer);
    EXPECT_EQ(resources::integer_at(document, "unsigned"), resources::largest_integer);
    EXPECT_EQ(resources::integer_at(document, "never"), -resources::largest_integer);
    EXPECT_EQ(resources::integer_at(document, "real", 7), 7) << "no integer is absent";
}

TEST(Conditions, the_transition_time_changes_only_with_the_status) {
    const auto later = noon + std::chrono::seconds(60);
    resources::Conditions conditions;
    resources::set_condition(conditions, {"Ready", Truth::no, "A", "a", 1, noon});
    resources::set_condition(conditions, {"Ready", Truth::no, "B", "b", 2, later});
    ASSERT_EQ(conditions.size(), 1u);
    EXPECT_EQ(conditions[0], (resources::Condition{"Ready", Truth::no, "B", "b", 2, noon}));
    resources::set_condition(conditions, {"Ready", Truth::yes, "C", "c", 2, later});
    EXPECT_EQ(conditions[0].last_transition_time, later);
    resources::set_condition(conditions, {"Other", Truth::unknown, "D", "", 2, later});
    EXPECT_EQ(conditions.size(), 2u);
    EXPECT_EQ(resources::find_condition(conditions, "None"), nullptr);
    EXPECT_FALSE(resources::condition_is(conditions, "None", Truth::unknown));
    EXPECT_EQ(resources::conditions_from_json(to_json(conditions)), conditions);
}

// A client may have written to a pod that was ready, so nothing is taken back from under it.
TEST(Pod, that_was_ready_tells_so_by_the_time_of_its_last_change) {
    const auto pod = [](const char* status, const char* changed) {
        return resources::pod_from_json(
            {{"status",
              {{"startTime", "2026-11-22T12:00:00Z"},
               {"conditions", {{{"type", "Ready"}, {"status", status}, {"lastTransitionTime", changed}}}}}}});
    };
    EXPECT_FALSE(pod("False", "2026-11-22T12:00:00Z").has_been_ready) << "as the kubelet takes it";
    EXPECT_TRUE(pod("True", "2026-11-22T12:00:00Z").has_been_ready);
    EXPECT_TRUE(pod("False", "2026-11-22T12:10:00Z").has_been_ready);
    EXPECT_TRUE(pod("False", "2026-11-22T11:50:00Z").has_been_ready) << "its node's clock was set back";
}

}  // namespace
}  // namespace dbrestore::testing
