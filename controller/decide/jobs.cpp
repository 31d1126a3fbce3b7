#include "decide/jobs.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "decide/inference.h"
#include "resources/json_fields.h"

namespace dbrestore::decide {

using nlohmann::json;
using resources::field;
using resources::Inferred;
using resources::list_at;
using resources::text_at;
using resources::Workload;

namespace {

// Long enough that a person can read the logs of yesterday's failure.
constexpr int64_t job_kept_seconds = 86400;

json restricted_container_context() {
    return {{"allowPrivilegeEscalation", false},
            {"readOnlyRootFilesystem", true},
            {"capabilities", {{"drop", {"ALL"}}}}};
}

// fsGroup is never set: the kubelet would change the modes of the data directory, which PostgreSQL then
// refuses. Its value becomes a supplemental group instead.
json pod_context(const JobRecipe& recipe, const Workload& workload) {
    json context{{"runAsNonRoot", true},
                 {"runAsUser", recipe.uid},
                 {"runAsGroup", recipe.gid},
                 {"seccompProfile", {{"type", "RuntimeDefault"}}}};
    const json& theirs = field(workload.pod_spec, "securityContext");
    json groups = list_at(theirs, "supplementalGroups");
    if (const auto& group = field(theirs, "fsGroup"); group.is_number_integer()) groups.push_back(group);
    if (!groups.empty()) context["supplementalGroups"] = groups;
    if (const auto& options = field(theirs, "seLinuxOptions"); options.is_object())
        context["seLinuxOptions"] = options;
    return context;
}

json labels(const JobRecipe& recipe) {
    return {{managed_by_label, "dbrestore"},
            {restore_uid_label, recipe.restore_uid},
            {restore_name_label, recipe.restore_name},
            {server_label, recipe.server_name},
            {step_label, recipe.step},
            {attempt_label, std::to_string(recipe.attempt)}};
}

// Whoever evicts pods, and service meshes, are asked to keep off.
json pod_annotations() {
    return {{"cluster-autoscaler.kubernetes.io/safe-to-evict", "false"},
            {"karpenter.sh/do-not-disrupt", "true"},
            {"sidecar.istio.io/inject", "false"},
            {"linkerd.io/inject", "disabled"}};
}

// Configuration that the database reads from outside its data directory. Under names of ours: theirs may be
// the same.
void add_config_maps(const Inferred& inferred, const Workload& workload, json& mounts, json& volumes) {
    for (const auto& mount :
         list_at(container_named(workload.pod_spec, inferred.container), "volumeMounts")) {
        for (const auto& volume : list_at(workload.pod_spec, "volumes")) {
            if (text_at(volume, "name") != text_at(mount, "name") || !volume.contains("configMap")) continue;
            const std::string name = "config-" + std::to_string(volumes.size());
            mounts.push_back(mount);
            mounts.back()["name"] = name;
            volumes.push_back(volume);
            volumes.back()["name"] = name;
        }
    }
}

// Where pgbackrest.conf names a folder, the database archives to it on another claim of its own: at the same
// place, to be read only.
void add_other_claims(const Inferred& inferred, const Workload& workload, json& mounts, json& volumes) {
    for (const auto& mount :
         list_at(container_named(workload.pod_spec, inferred.container), "volumeMounts")) {
        const std::string claim = claim_of(workload, text_at(mount, "name"));
        if (claim.empty() || claim == inferred.claim_name) continue;
        const std::string name = "claim-" + std::to_string(volumes.size());
        mounts.push_back(mount);
        mounts.back()["name"] = name;
        mounts.back()["readOnly"] = true;
        volumes.push_back(
            {{"name", name}, {"persistentVolumeClaim", {{"claimName", claim}, {"readOnly", true}}}});
    }
}

// Optional: so that the agent starts and names what is missing, among its other findings.
void add_secret(const std::string& name, const std::string& path, const std::string& secret, json& mounts,
                json& volumes) {
    mounts.push_back({{"name", name}, {"mountPath", path}, {"readOnly", true}});
    volumes.push_back(
        {{"name", name}, {"secret", {{"secretName", secret}, {"optional", true}, {"defaultMode", 0444}}}});
}

void add_store(const resources::Store& store, json& mounts, json& volumes) {
    if (!store.claim_name.empty()) {
        mounts.push_back(
            {{"name", "source"}, {"mountPath", resources::source_directory}, {"readOnly", true}});
        volumes.push_back({{"name", "source"},
                           {"persistentVolumeClaim", {{"claimName", store.claim_name}, {"readOnly", true}}}});
    }
    const std::string folder = resources::store_directory;
    const auto add = [&](const char* what, const std::string& secret) {
        if (!secret.empty())
            add_secret(std::string("store-") + what, folder + "/" + what, secret, mounts, volumes);
    };
    if (store.s3) {
        add("credentials", store.s3->credentials_secret);
        add("ca", store.s3->ca_secret);
    }
    if (store.http) {
        add("headers", store.http->headers_secret);
        add("ca", store.http->ca_secret);
    }
}

void add_volumes(const JobRecipe& recipe, const Inferred& inferred, const Workload& workload, json& pod,
                 json& agent) {
    json mounts = {{{"name", "bundle"}, {"mountPath", resources::bundle_directory}, {"readOnly", true}},
                   {{"name", "tmp"}, {"mountPath", "/tmp"}},
                   {{"name", "shm"}, {"mountPath", "/dev/shm"}}};
    json volumes = {{{"name", "bundle"}, {"emptyDir", json::object()}},
                    {{"name", "tmp"}, {"emptyDir", json::object()}},
                    {{"name", "shm"}, {"emptyDir", {{"medium", "Memory"}}}}};
    if (recipe.data != DataMount::none) {
        const bool read_only = recipe.data == DataMount::read_only;
        json mount{{"name", "data"}, {"mountPath", inferred.mount_path}, {"readOnly", read_only}};
        if (!inferred.sub_path.empty()) mount["subPath"] = inferred.sub_path;
        mounts.push_back(mount);
        // Read-only at the volume too: then CSI neither changes owners nor labels beside the running server.
        volumes.push_back(
            {{"name", "data"},
             {"persistentVolumeClaim", {{"claimName", inferred.claim_name}, {"readOnly", read_only}}}});
        add_config_maps(inferred, workload, mounts, volumes);
    }
    if (recipe.store) add_store(*recipe.store, mounts, volumes);
    if (!recipe.repository_secret.empty()) {
        add_secret("repository", resources::repository_directory, recipe.repository_secret, mounts, volumes);
        add_other_claims(inferred, workload, mounts, volumes);
    }
    if (!inferred.secret_name.empty())
        add_secret("secret", resources::secret_directory, inferred.secret_name, mounts, volumes);
    agent["volumeMounts"] = mounts;
    pod["volumes"] = volumes;
}

// Not by nodeName: the scheduler would not be asked, nor say what is wrong.
json on_node(const std::string& node) {
    const json field{{"key", "metadata.name"}, {"operator", "In"}, {"values", {node}}};
    return {{"requiredDuringSchedulingIgnoredDuringExecution",
             {{"nodeSelectorTerms", {{{"matchFields", {field}}}}}}}};
}

// Where the database may run, the pod may run; and what its node asks for, it brings.
void follow_database(const JobRecipe& recipe, const Inferred& inferred, const Workload& workload, json& pod,
                     json& agent) {
    for (const char* name : {"nodeSelector", "tolerations", "imagePullSecrets", "runtimeClassName",
                             "priorityClassName", "schedulerName"}) {
        if (const auto& value = field(workload.pod_spec, name); !value.is_null()) pod[name] = value;
    }
    if (!recipe.node.empty()) {
        pod["affinity"]["nodeAffinity"] = on_node(recipe.node);
    } else if (const auto& affinity = field(workload.pod_spec, "affinity.nodeAffinity");
               !affinity.is_null()) {
        pod["affinity"]["nodeAffinity"] = affinity;
    }
    const auto& theirs = field(container_named(workload.pod_spec, inferred.container), "resources");
    // Beside the running database its resources may not be free a second time.
    if (recipe.database_stopped && theirs.is_object() && !theirs.empty()) {
        agent["resources"] = theirs;
    } else {
        agent["resources"] = {{"requests", {{"cpu", "50m"}, {"memory", "64Mi"}}}};
    }
}

// The kubelet expands $(NAME) in values, and takes $$ for $; in JSON a dollar stands in texts only, and may
// be escaped.
std::string as_value(const json& request) {
    std::string value;
    for (const char c : request.dump()) {
        if (c == '$')
            value += "\\u0024";
        else
            value += c;
    }
    return value;
}

}  // namespace

std::string short_uid(const std::string& uid) {
    return uid.substr(0, 8);
}

std::string job_name(const std::string& restore_uid, const std::string& step, int64_t attempt) {
    return "dbr-" + short_uid(restore_uid) + "-" + step + "-" + std::to_string(attempt);
}

int64_t attempt_of(const resources::Job& job) {
    const std::string text = job.meta.label(attempt_label);
    int64_t attempt = 0;
    std::from_chars(text.data(), text.data() + text.size(), attempt);
    // Anybody may edit a label; the next number must still be one that the API takes.
    return attempt >= std::numeric_limits<int32_t>::max() ? 0 : std::max<int64_t>(attempt, 0);
}

bool is_of_server(const resources::ObjectMeta& meta) {
    const std::string step = meta.label(step_label);
    return step == "cleanup" || step == catalog_step;
}

std::string new_database_name(const std::string& restore_uid) {
    return "dbrestore_new_" + short_uid(restore_uid);
}
std::string old_database_name(const std::string& restore_uid) {
    return "dbrestore_old_" + short_uid(restore_uid);
}
std::string temporary_role_name(const std::string& restore_uid) {
    return "dbrestore_" + short_uid(restore_uid);
}

std::string node_with_claim(const std::vector<resources::Pod>& pods, const std::string& claim) {
    for (const auto& pod : pods) {
        if (!pod.finished() && !pod.node_name.empty() && std::ranges::count(pod.claim_names, claim) > 0)
            return pod.node_name;
    }
    return {};
}

resources::AgentRequest base_request(const Inferred& inferred, const Workload& workload,
                                     const std::string& restore_name, const std::string& restore_uid) {
    resources::AgentRequest request;
    request.restore_name = restore_name;
    request.restore_uid = restore_uid;
    request.data_directory = inferred.data_directory;
    request.server_arguments = server_arguments(container_named(workload.pod_spec, inferred.container));
    request.port = inferred.port;
    request.user = inferred.user.value;
    request.user_key = inferred.user.secret_key;
    request.password_key = inferred.password.secret_key;
    request.database = inferred.database.value;
    request.database_key = inferred.database.secret_key;
    request.new_database = new_database_name(restore_uid);
    request.old_database = old_database_name(restore_uid);
    request.role = temporary_role_name(restore_uid);
    return request;
}

json job_manifest(const JobRecipe& recipe, const Inferred& inferred, const Workload& workload) {
    json request = to_json(recipe.request);
    json agent{
        {"name", "agent"},
        {"image", inferred.image},
        {"command", {std::string(resources::bundle_directory) + "/dbrestore-agent", recipe.request.step}},
        {"env",
         {{{"name", resources::request_variable}, {"value", as_value(request)}},
          {{"name", resources::pod_uid_variable},
           {"valueFrom", {{"fieldRef", {{"fieldPath", "metadata.uid"}}}}}}}},
        {"securityContext", restricted_container_context()}};
    json pod{{"restartPolicy", "Never"},
             {"automountServiceAccountToken", false},
             {"enableServiceLinks", false},
             {"activeDeadlineSeconds", recipe.deadline_seconds},
             {"securityContext", pod_context(recipe, workload)}};
    add_volumes(recipe, inferred, workload, pod, agent);
    follow_database(recipe, inferred, workload, pod, agent);
    pod["initContainers"] = {
        {{"name", "install"},
         {"image", recipe.agent_image},
         {"command", {std::string(resources::bundle_directory) + "/dbrestore-agent", "install", "/bundle"}},
         {"volumeMounts", {{{"name", "bundle"}, {"mountPath", "/bundle"}}}},
         {"resources", {{"requests", {{"cpu", "10m"}, {"memory", "16Mi"}}}}},
         {"securityContext", restricted_container_context()}}};
    pod["containers"] = json::array({agent});
    return {{"apiVersion", "batch/v1"},
            {"kind", "Job"},
            {"metadata",
             {{"name", job_name(recipe.restore_uid, recipe.step, recipe.attempt)},
              {"namespace", recipe.namespace_name},
              {"labels", labels(recipe)}}},
            {"spec",
             {{"backoffLimit", 0},
              {"ttlSecondsAfterFinished", job_kept_seconds},
              {"template",
               {{"metadata", {{"labels", labels(recipe)}, {"annotations", pod_annotations()}}},
                {"spec", pod}}}}}};
}

}  // namespace dbrestore::decide
