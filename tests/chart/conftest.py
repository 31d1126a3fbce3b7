"""What the chart's tests share: the CRDs on the real cluster, and a release of the chart."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.kubectl import ROOT, CommandError, kubectl, run, temporary_namespace  # noqa: E402

CRD_NAMES = ["databaserestores.dbrestore.dev", "postgresservers.dbrestore.dev"]
CHART = str(ROOT / "charts" / "dbrestore")
AGENT_IMAGE = "dbrestore.invalid/agent:test"


def crds_exist():
    try:
        kubectl("get", "crd", *CRD_NAMES)
        return True
    except CommandError:
        return False


@pytest.fixture(scope="session")
def crds():
    """The CRDs of this checkout. They are removed again, unless the cluster had some before."""
    existed_before = crds_exist()
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    kubectl("wait", "--for=condition=Established", "crd", *CRD_NAMES, "--timeout=30s")
    yield
    if not existed_before:
        kubectl("delete", "crd", *CRD_NAMES, "--timeout=60s")


@pytest.fixture(scope="session")
def namespace(crds):
    """A namespace without an operator."""
    with temporary_namespace("chart-schema") as name:
        yield name


@pytest.fixture(scope="session")
def release(crds):
    """The namespace of a release of the chart, restricted by Pod Security. Its images do not exist."""
    with temporary_namespace("chart-release", {"pod-security.kubernetes.io/enforce": "restricted"}) as name:
        run(
            "helm",
            "install",
            "dbrestore",
            CHART,
            f"--namespace={name}",
            "--set=crds.install=false,userRoles.create=false,image.pullPolicy=Never",
            "--set=image.repository=dbrestore.invalid/operator",
            "--set=agentImage.repository=dbrestore.invalid/agent,agentImage.tag=test",
        )
        try:
            yield name
        finally:
            run("helm", "uninstall", "dbrestore", f"--namespace={name}")


@pytest.fixture(scope="session")
def operator(release):
    """The user name of the operator of that release."""
    return f"system:serviceaccount:{release}:dbrestore"
