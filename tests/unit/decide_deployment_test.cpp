// A Deployment in place of a StatefulSet: its pods are known by their ReplicaSets' names, and several of them
// may be there at once.

#include <gtest/gtest.h>

#include "support/decision_table.h"

namespace dbrestore::testing {
namespace {

resources::Pod a_pod_of(const std::string& deployment, const std::string& hash) {
    resources::Pod pod = a_database_pod();
    pod.meta.name = deployment + "-" + hash + "-abcde";
    pod.meta.labels["pod-template-hash"] = hash;
    pod.owner_kind = "ReplicaSet";
    pod.owner_name = deployment + "-" + hash;
    pod.owner_uid = "replica-set-uid";
    return pod;
}

void as_deployment(World& world) {
    world.workload->kind = world.server->workload_kind = "Deployment";
    std::erase_if(world.pods, [](const resources::Pod& pod) { return pod.owner_uid == "workload-uid"; });
}

WorldBuilder of_a_deployment(WorldBuilder builder) {
    return builder.where(as_deployment);
}

TEST(PodsOfADeployment, are_those_of_its_replica_sets) {
    resources::Workload workload = the_workload();
    workload.kind = "Deployment";
    EXPECT_TRUE(is_pod_of(workload, a_pod_of("shop", "5d9c")));
    EXPECT_FALSE(is_pod_of(workload, a_pod_of("shop-web", "5d9c"))) << "another Deployment's";
    resources::Pod pod = a_pod_of("shop", "5d9c");
    pod.owner_kind = "Job";
    EXPECT_FALSE(is_pod_of(workload, pod));
    pod = a_pod_of("shop", "5d9c");
    pod.meta.labels.clear();
    EXPECT_FALSE(is_pod_of(workload, pod));
    EXPECT_FALSE(is_pod_of(the_workload(), a_pod_of("shop", "5d9c"))) << "that is a StatefulSet";
    EXPECT_TRUE(is_pod_of(the_workload(), a_database_pod()));
}

TEST(RestoreOfADeployment, asks_and_starts_its_pod) {
    const auto stopping = [] {
        return of_a_deployment(a_restore().in(Phase::stopping).with_lock().executed());
    };
    const auto started = [](const std::string& deployment) {
        WorldBuilder builder = a_restore().in(Phase::starting).asked_to_stop().in_step("start", 1);
        return of_a_deployment(builder).with_pod(a_pod_of(deployment, "5d9c")).seen_fresh();
    };
    check({
        {"its pod is asked for a checkpoint", stopping().with_pod(a_pod_of("shop", "5d9c")),
         "SaveRestore(Stopping)"},
        {"without a pod nobody is asked", stopping(), "LookFresh"},
        {"its pod is ready", started("shop"), "SaveRestore(Starting)", "Starting", "through the network"},
        {"a pod of another Deployment is not waited for", started("web"), ""},
    });
}

TEST(RestoreOfADeployment, is_refused_while_two_servers_use_the_data) {
    const auto checked = [] {
        return of_a_deployment(
            a_restore().in(Phase::validating).with_lock().with_job("preflight", 1).that_ended(done()));
    };
    const auto ended = [](resources::Pod pod) {
        pod.meta.deleting = true;
        return pod;
    };
    const resources::Pod before = a_pod_of("shop", "5d9c"), after = a_pod_of("shop", "77bf");
    const std::string goes_on = "SaveRestore(Stopping) Speak(Stopping)";
    check({
        {"one pod", checked().with_pod(before), goes_on},
        {"two pods", checked().with_pod(before).with_pod(after),
         "SaveRestore(RollingBack) Speak(RollingBack)", "RollingBack", "a rollout is under way"},
        {"the old one is ending", checked().with_pod(ended(before)).with_pod(after), goes_on},
    });
    const World rolling =
        checked().with_pod(before).where([](World& w) { w.workload->starts_beside_old = true; });
    const auto status = status_after(rolling, decide::decide(rolling));
    const auto warning =
        std::ranges::find(status.preflight, std::string("RollingUpdate"), &PreflightFinding::check);
    ASSERT_NE(warning, status.preflight.end());
    EXPECT_EQ(warning->outcome, PreflightFinding::Outcome::warning);
    EXPECT_NE(warning->message.find("must be Recreate"), std::string::npos) << warning->message;
}

}  // namespace
}  // namespace dbrestore::testing
