// The Job's manifest against the contract with Kubernetes, the admission policy and the agent.

#include <gtest/gtest.h>

#include "resources/json_fields.h"
#include "support/world_builder.h"

namespace dbrestore::testing {
namespace {

using nlohmann::json;
using resources::field;

decide::JobRecipe recipe(decide::DataMount data) {
    decide::JobRecipe r;
    r.namespace_name = "shop";
    r.server_name = "shop";
    r.restore_name = "bring-it-back";
    r.restore_uid = restore_uid;
    r.step = "prepare";
    r.attempt = 2;
    r.agent_image = "agent:1";
    r.request = decide::base_request(the_inferred(), the_workload(), r.restore_name, r.restore_uid);
    r.request.step = "prepare";
    r.data = data;
    r.store = resources::Store{};
    r.store->claim_name = "dumps";
    r.uid = 999;
    r.gid = 998;
    r.database_stopped = data == decide::DataMount::read_write;
    return r;
}

resources::Workload workload_with(const json& pod_changes) {
    resources::Workload workload = the_workload();
    workload.pod_spec.merge_patch(pod_changes);
    return workload;
}

json pod_of(const json& manifest) {
    return manifest["spec"]["template"]["spec"];
}
json manifest_for(decide::DataMount data, const resources::Workload& workload = the_workload()) {
    return decide::job_manifest(recipe(data), the_inferred(), workload);
}

json named(const json& list, const std::string& name) {
    for (const auto& item : list) {
        if (item["name"] == name) return item;
    }
    return nullptr;
}

TEST(JobManifest, is_named_and_labelled_by_restore_step_and_attempt) {
    const json job = manifest_for(decide::DataMount::read_write);
    EXPECT_EQ(job["kind"], "Job");
    EXPECT_EQ(job["metadata"]["name"], "dbr-11111111-prepare-2");
    const json labels = {{"app.kubernetes.io/managed-by", "dbrestore"},
                         {"dbrestore.dev/restore-uid", restore_uid},
                         {"dbrestore.dev/restore-name", "bring-it-back"},
                         {"dbrestore.dev/server", "shop"},
                         {"dbrestore.dev/step", "prepare"},
                         {"dbrestore.dev/attempt", "2"}};
    EXPECT_EQ(job["metadata"]["labels"], labels);
    EXPECT_EQ(job["spec"]["template"]["metadata"]["labels"], labels);
    EXPECT_FALSE(job["metadata"].contains("ownerReferences"));
    EXPECT_EQ(job["spec"]["backoffLimit"], 0);
    EXPECT_EQ(pod_of(job)["activeDeadlineSeconds"], 600);
    EXPECT_EQ(pod_of(job)["restartPolicy"], "Never");
    EXPECT_EQ(pod_of(job)["automountServiceAccountToken"], false);
}

TEST(JobManifest, runs_the_agent_from_its_bundle_in_the_databases_own_image) {
    const json pod = pod_of(manifest_for(decide::DataMount::read_write));
    ASSERT_EQ(pod["initContainers"].size(), 1u);
    EXPECT_EQ(pod["initContainers"][0]["image"], "agent:1");
    EXPECT_EQ(pod["initContainers"][0]["command"],
              json::parse(R"(["/dbrestore/dbrestore-agent", "install", "/bundle"])"));
    EXPECT_EQ(pod["initContainers"][0]["volumeMounts"],
              json::parse(R"([{"name": "bundle", "mountPath": "/bundle"}])"));
    ASSERT_EQ(pod["containers"].size(), 1u);
    const json agent = pod["containers"][0];
    EXPECT_EQ(agent["name"], "agent");
    EXPECT_EQ(agent["image"], "postgres:15");
    EXPECT_EQ(agent["command"], json::parse(R"(["/dbrestore/dbrestore-agent", "prepare"])"));
    EXPECT_EQ(named(agent["env"], "DBRESTORE_POD_UID")["valueFrom"]["fieldRef"]["fieldPath"], "metadata.uid");
    EXPECT_EQ(named(pod["volumes"], "shm")["emptyDir"]["medium"], "Memory");
    EXPECT_EQ(named(agent["volumeMounts"], "shm")["mountPath"], "/dev/shm");
    EXPECT_EQ(named(agent["volumeMounts"], "bundle")["mountPath"], "/dbrestore");
    EXPECT_EQ(named(agent["volumeMounts"], "tmp")["mountPath"], "/tmp");
}

TEST(JobManifest, keeps_to_the_restricted_standard) {
    for (const auto data :
         {decide::DataMount::none, decide::DataMount::read_only, decide::DataMount::read_write}) {
        const json pod = pod_of(manifest_for(data));
        const json context = pod["securityContext"];
        EXPECT_EQ(context["runAsNonRoot"], true);
        EXPECT_EQ(context["runAsUser"], 999);
        EXPECT_EQ(context["runAsGroup"], 998);
        EXPECT_EQ(context["seccompProfile"]["type"], "RuntimeDefault");
        for (const json& container : {pod["containers"][0], pod["initContainers"][0]}) {
            EXPECT_EQ(
                container["securityContext"],
                json::parse(
                    R"({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}})"));
        }
        for (const auto& volume : pod["volumes"]) {
            const bool allowed = volume.contains("persistentVolumeClaim") || volume.contains("emptyDir") ||
                                 volume.contains("secret") || volume.contains("configMap");
            EXPECT_TRUE(allowed) << volume;
        }
    }
}

TEST(JobManifest, never_sets_fsGroup_but_joins_its_group) {
    const json context = pod_of(
        manifest_for(decide::DataMount::read_write,
                     workload_with({{"securityContext",
                                     {{"fsGroup", 26},
                                      {"supplementalGroups", {7}},
                                      {"seLinuxOptions", {{"level", "s0:c1"}}}}}})))["securityContext"];
    EXPECT_FALSE(context.contains("fsGroup"));
    EXPECT_EQ(context["supplementalGroups"], json::parse("[7, 26]"));
    EXPECT_EQ(context["seLinuxOptions"]["level"], "s0:c1");
}

TEST(JobManifest, mounts_the_data_as_the_database_does_and_read_only_beside_it) {
    resources::Inferred inferred = the_inferred();
    inferred.sub_path = "pg";
    const json beside =
        pod_of(decide::job_manifest(recipe(decide::DataMount::read_only), inferred, the_workload()));
    EXPECT_EQ(
        named(beside["containers"][0]["volumeMounts"], "data"),
        json::parse(
            R"({"name": "data", "mountPath": "/var/lib/postgresql/data", "subPath": "pg", "readOnly": true})"));
    EXPECT_EQ(named(beside["volumes"], "data")["persistentVolumeClaim"],
              json::parse(R"({"claimName": "data-shop-0", "readOnly": true})"));
    const json alone = pod_of(manifest_for(decide::DataMount::read_write));
    EXPECT_EQ(named(alone["volumes"], "data")["persistentVolumeClaim"]["readOnly"], false);
    EXPECT_FALSE(named(alone["containers"][0]["volumeMounts"], "data").contains("subPath"));
    EXPECT_TRUE(named(pod_of(manifest_for(decide::DataMount::none))["volumes"], "data").is_null());
    for (const json& pod : {beside, alone}) {
        EXPECT_EQ(named(pod["volumes"], "source")["persistentVolumeClaim"],
                  json::parse(R"({"claimName": "dumps", "readOnly": true})"));
        EXPECT_EQ(named(pod["containers"][0]["volumeMounts"], "source")["readOnly"], true);
    }
}

TEST(JobManifest, carries_no_secret_in_its_request) {
    const json job = manifest_for(decide::DataMount::read_write);
    const json agent = pod_of(job)["containers"][0];
    const json request = json::parse(named(agent["env"], "DBRESTORE_REQUEST")["value"].get<std::string>());
    EXPECT_EQ(request["passwordKey"], "password");
    EXPECT_FALSE(request.contains("password"));
    EXPECT_EQ(request["serverArguments"], json::parse(R"(["-c", "shared_buffers=64MB"])"));
    EXPECT_EQ(request["newDatabase"], "dbrestore_new_11111111");
    const json secret = named(pod_of(job)["volumes"], "secret")["secret"];
    EXPECT_EQ(secret["secretName"], "shop");
    EXPECT_EQ(secret["optional"], true);
    EXPECT_EQ(named(agent["volumeMounts"], "secret")["mountPath"], "/dbrestore-secret");
    for (const auto& variable : agent["env"])
        EXPECT_TRUE(field(variable, "valueFrom.secretKeyRef").is_null());
}

TEST(JobManifest, takes_the_databases_resources_only_while_it_is_stopped) {
    EXPECT_EQ(pod_of(manifest_for(
                  decide::DataMount::read_write))["containers"][0]["resources"]["requests"]["memory"],
              "1Gi");
    EXPECT_EQ(pod_of(manifest_for(
                  decide::DataMount::read_only))["containers"][0]["resources"]["requests"]["memory"],
              "64Mi");
}

TEST(JobManifest, follows_the_database_to_its_nodes) {
    const json pod = pod_of(manifest_for(
        decide::DataMount::read_write,
        workload_with(json::parse(R"({"nodeSelector": {"disk": "fast"}, "priorityClassName": "high",
        "imagePullSecrets": [{"name": "registry"}], "tolerations": [{"key": "db"}], "nodeName": "node-1", "hostNetwork": true, "serviceAccountName": "db",
        "affinity": {"nodeAffinity": {"a": 1}, "podAntiAffinity": {"b": 2}}})"))));
    EXPECT_EQ(pod["nodeSelector"]["disk"], "fast");
    EXPECT_EQ(pod["priorityClassName"], "high");
    EXPECT_EQ(pod["imagePullSecrets"][0]["name"], "registry");
    EXPECT_EQ(pod["tolerations"][0]["key"], "db");
    EXPECT_EQ(pod["affinity"], json::parse(R"({"nodeAffinity": {"a": 1}})"));
    for (const char* never : {"nodeName", "hostNetwork", "hostPID", "serviceAccountName"})
        EXPECT_FALSE(pod.contains(never)) << never;
}

// A volume that only one node may have must be there already, or the pod would wait for it for ever.
TEST(JobManifest, goes_to_the_node_that_has_the_volume) {
    const World running = a_restore()
                              .in(Phase::validating)
                              .with_lock()
                              .in_step("preflight", 1)
                              .seen_fresh()
                              .where([](World& w) {
                                  w.pods[0].node_name = "node-7";
                                  w.pods.push_back(a_pod("other", "other-claim"));
                                  w.pods.back().node_name = "node-8";
                              });
    const auto plan = decide::decide(running);
    ASSERT_EQ(told(plan), "CreateJob(preflight)");
    EXPECT_EQ(find_action<decide::CreateJob>(plan)
                  ->manifest["spec"]["template"]["spec"]["affinity"]["nodeAffinity"],
              json::parse(R"({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-7"]}]}]}})"));
    EXPECT_EQ(decide::node_with_claim({}, "data-shop-0"), "");
    auto ended = running.pods;
    ended[0].phase = "Succeeded";
    EXPECT_EQ(decide::node_with_claim(ended, "data-shop-0"), "");
}

TEST(JobManifest, brings_configuration_that_lies_outside_the_data_directory_whatever_its_volume_is_called) {
    resources::Workload workload = the_workload();
    workload.pod_spec["volumes"] = json::parse(
        R"([{"name": "tmp", "configMap": {"name": "shop-conf"}}, {"name": "other", "emptyDir": {}}])");
    workload.pod_spec["containers"][0]["volumeMounts"].push_back(
        {{"name", "tmp"}, {"mountPath", "/etc/postgresql"}});
    const json pod = pod_of(manifest_for(decide::DataMount::read_write, workload));
    std::string mounted;
    for (const auto& mount : pod["containers"][0]["volumeMounts"]) {
        if (mount["mountPath"] == "/etc/postgresql") mounted = mount["name"];
    }
    EXPECT_EQ(named(pod["volumes"], mounted)["configMap"]["name"], "shop-conf");
    EXPECT_TRUE(named(pod["volumes"], "tmp").contains("emptyDir"));
}

TEST(JobNames, are_short_enough_for_Kubernetes_and_PostgreSQL) {
    EXPECT_LE(decide::job_name(restore_uid, "verify-live", 1000000).size(), 63u);
    for (const auto& name : {decide::new_database_name(restore_uid), decide::old_database_name(restore_uid),
                             decide::temporary_role_name(restore_uid)}) {
        EXPECT_LE(name.size(), 63u) << name;
    }
}

// The kubelet takes $$ for $, and replaces $(NAME).
TEST(Jobs, what_is_asked_reaches_the_agent_as_it_was_written) {
    decide::JobRecipe asking = recipe(decide::DataMount::none);
    asking.request.verification = resources::Verification{"SELECT $$a$$, '$(HOME)'", "$$"};
    const auto manifest = decide::job_manifest(asking, the_inferred(), the_workload());
    const std::string value = manifest["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"];
    EXPECT_EQ(value.find('$'), std::string::npos);
    EXPECT_EQ(resources::request_from_text(value)->verification, asking.request.verification);
}

}  // namespace
}  // namespace dbrestore::testing
