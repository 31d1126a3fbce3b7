"""The chart as Helm renders it, and what hack/generate writes."""

import shutil
import subprocess

import pytest
import yaml

from support.kubectl import ROOT, CommandError, run

from conftest import CHART, CRD_NAMES

CLUSTER_KINDS = {
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}
SHARED_ONCE = "crds.install=false,userRoles.create=false"


def render(*settings, namespace="shop", kube_version="1.34.4"):
    """The objects of a release, by kind and name."""
    arguments = [f"--set={setting}" for setting in settings]
    text = run(
        "helm",
        "template",
        "dbrestore",
        CHART,
        f"--namespace={namespace}",
        f"--kube-version={kube_version}",
        *arguments,
    )
    return {(item["kind"], item["metadata"]["name"]): item for item in yaml.safe_load_all(text) if item}


def container(objects):
    return objects["Deployment", "dbrestore"]["spec"]["template"]["spec"]["containers"][0]


def test_helm_finds_no_fault():
    run("helm", "lint", "--strict", CHART)


def test_default_release_is_namespaced():
    objects = render()
    cluster_wide = {key for key in objects if key[0] in ("ClusterRole", "ClusterRoleBinding")}
    assert cluster_wide == {("ClusterRole", "dbrestore-viewer"), ("ClusterRole", "dbrestore-restorer")}
    assert container(objects)["args"] == [
        "--namespace=shop",
        "--agent-image=localhost/dbrestore-agent:0.1.0",
        "--metrics-address=0.0.0.0:8080",
        "--health-address=0.0.0.0:8081",
        "--workers=2",
        "--log-level=info",
        "--leader-elect",
    ]
    for part in ("fence", "jobs"):
        policy = objects["ValidatingAdmissionPolicy", f"dbrestore-{part}.shop"]
        selector = policy["spec"]["matchConstraints"]["namespaceSelector"]
        assert selector == {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}


def test_cluster_wide_release_watches_every_namespace():
    objects = render("clusterWide=true")
    assert ("ClusterRole", "dbrestore.shop") in objects and (
        "ClusterRoleBinding",
        "dbrestore.shop",
    ) in objects
    namespaced = {key for key in objects if key[0] in ("Role", "RoleBinding")}
    assert namespaced == {("Role", "dbrestore-leader"), ("RoleBinding", "dbrestore-leader")}
    assert not any(argument.startswith("--namespace") for argument in container(objects)["args"])
    for part in ("fence", "jobs"):
        policy = objects["ValidatingAdmissionPolicy", f"dbrestore-{part}.shop"]
        all_but_the_clusters_own = {
            "key": "kubernetes.io/metadata.name",
            "operator": "NotIn",
            "values": ["kube-system"],
        }
        selector = policy["spec"]["matchConstraints"]["namespaceSelector"]
        assert selector == {"matchExpressions": [all_but_the_clusters_own]}


@pytest.mark.parametrize("scope", ["clusterWide=false", "clusterWide=true"])
def test_two_releases_of_one_name_do_not_meet(scope):
    first, second = (
        {key for key in render(SHARED_ONCE, scope, namespace=namespace) if key[0] in CLUSTER_KINDS}
        for namespace in ("shop", "billing")
    )
    assert first and not first & second


def test_no_role_of_the_operator_names_secrets_or_patches_workloads():
    role = render()["Role", "dbrestore"]
    for rule in role["rules"]:
        assert not {"secrets", "*"} & {*rule["resources"], *rule["verbs"], *rule["apiGroups"]}
        if {"statefulsets", "deployments"} & set(rule["resources"]):
            assert set(rule["verbs"]) == {"get", "list", "watch"}


@pytest.mark.parametrize("replicas", [1, 2])
def test_an_update_makes_a_new_operator_ready_before_it_ends_an_old_one(replicas):
    deployment = render(f"replicaCount={replicas}")["Deployment", "dbrestore"]["spec"]
    assert deployment["replicas"] == replicas
    assert deployment["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
    }


def test_replicas_prefer_different_nodes_unless_told_otherwise():
    def affinity(*settings):
        return render(*settings)["Deployment", "dbrestore"]["spec"]["template"]["spec"]["affinity"]

    (preferred,) = affinity()["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert preferred["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"
    assert affinity("affinity.nodeAffinity.a=b") == {"nodeAffinity": {"a": "b"}}


def test_operator_runs_without_rights_and_is_probed_on_the_health_port():
    deployment = render()["Deployment", "dbrestore"]["spec"]
    pod = deployment["template"]["spec"]
    assert pod["securityContext"]["runAsUser"] == 65532
    operator = pod["containers"][0]
    assert operator["securityContext"]["readOnlyRootFilesystem"] is True
    assert operator["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "health"}
    assert operator["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "health"}
    assert {port["name"]: port["containerPort"] for port in operator["ports"]} == {
        "metrics": 8080,
        "health": 8081,
    }


def test_policy_allows_the_agent_that_the_operator_is_told_to_use():
    objects = render("agentImage.repository=registry.example.com/agent,agentImage.tag=v2")
    assert "--agent-image=registry.example.com/agent:v2" in container(objects)["args"]
    rules = objects["ValidatingAdmissionPolicy", "dbrestore-jobs.shop"]["spec"]["validations"]
    assert any("'registry.example.com/agent:v2'" in rule["expression"] for rule in rules)


def test_crds_are_those_of_the_source_and_are_kept():
    objects = render()
    for name in CRD_NAMES:
        source = yaml.safe_load((ROOT / "crds" / f"{name.split('.')[0]}.yaml").read_text())
        assert objects["CustomResourceDefinition", name] == source
        assert source["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_crds_roles_and_fence_can_be_left_out():
    objects = render(SHARED_ONCE, "fence.enabled=false")
    assert not any(kind in ("CustomResourceDefinition", "ClusterRole") for kind, _ in objects)
    assert [name for kind, name in objects if kind == "ValidatingAdmissionPolicy"] == [
        "dbrestore-cronjobs.shop",
        "dbrestore-jobs.shop",
    ]


@pytest.mark.parametrize(
    "setting",
    [
        "fense.enabled=true",
        "fence.enable=true",
        "fence.jobControllerUsers={a' || 'b}",
        "image.pullPolicy=Sometimes",
        "agentImage.repository=a'b",
        "agentImage.tag=a b",
        "workers=0",
        "logLevel=loud",
        "clusterWide=yes",
        "replicas=2",
        "replicaCount=two",
    ],
)
def test_value_that_the_chart_does_not_know_is_refused(setting):
    with pytest.raises(CommandError, match="values don't meet the specifications of the schema"):
        render(setting)


def test_old_kubernetes_is_refused():
    with pytest.raises(CommandError, match="incompatible with Kubernetes v1.30.0"):
        render(kube_version="1.30.0")


def test_readme_names_every_value():
    def paths(values, prefix=""):
        for name, value in values.items():
            if isinstance(value, dict) and value and name != "resources":
                yield from paths(value, f"{prefix}{name}.")
            else:
                yield prefix + name

    readme = (ROOT / "charts/dbrestore/README.md").read_text()
    values = yaml.safe_load((ROOT / "charts/dbrestore/values.yaml").read_text())
    assert [path for path in paths(values) if f"`{path}`" not in readme] == []


def test_generated_files_are_up_to_date():
    done = subprocess.run([ROOT / "hack/generate", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "changed",
    [
        "crds/postgresservers.yaml",
        "charts/dbrestore/files/crds/databaserestores.yaml",
        "docs/api-reference.md",
    ],
)
def test_drift_is_found_and_repaired(changed, tmp_path):
    for path in ("crds", "charts/dbrestore/files"):
        shutil.copytree(ROOT / path, tmp_path / path)
    for path in ("hack/generate", "docs/api-reference.md"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    with open(tmp_path / changed, "a", encoding="utf-8") as file:
        file.write("# changed\n")

    def generate(*arguments):
        return subprocess.run([tmp_path / "hack/generate", *arguments], capture_output=True, text=True)

    found = generate("--check")
    assert found.returncode == 1 and "Run hack/generate and commit what it writes." in found.stderr
    assert generate().returncode == 0
    assert generate("--check").returncode == 0


def test_every_field_is_described():
    def undescribed(schema, path):
        for name, field in schema.get("properties", {}).items():
            if not field.get("description") and path + name != "metadata":
                yield path + name
            yield from undescribed(field.get("items", field), f"{path}{name}.")

    for name in CRD_NAMES:
        crd = yaml.safe_load((ROOT / "crds" / f"{name.split('.')[0]}.yaml").read_text())
        assert list(undescribed(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "")) == []
