"""What the end-to-end tests share: the cluster, and for each file an operator and a database."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from every_step import ENGINES, shops_for  # noqa: E402
from processes import Held  # noqa: E402
from release import installed_operator, story  # noqa: E402
from shop import Shop  # noqa: E402
from support import api  # noqa: E402
from support.kubectl import ROOT, environment, kubectl, wait_for  # noqa: E402

TEST_IMAGES = (
    "test-postgres:15",
    "test-postgres:17",
    "test-postgres:18-layout",
    "test-bitnami-style:15",
    "test-s3:dev",
)
IMAGES = {f"localhost/dbrestore-{name}" for name in ("operator:dev", "agent:dev", *TEST_IMAGES)}
CRD_NAMES = ["databaserestores.dbrestore.dev", "postgresservers.dbrestore.dev"]


def images_of_the_node():
    images = api.get("node", "dbrestore")["status"]["images"]
    return {name for image in images for name in image.get("names") or []}


@pytest.fixture(scope="session")
def cluster():
    """The cluster of hack/cluster with this checkout's images and CRDs."""
    environment()
    # The node tells a little later what was imported.
    wait_for(f"the images {IMAGES} in the cluster (hack/images)", lambda: IMAGES <= images_of_the_node())
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    kubectl("wait", "--for=condition=Established", "crd", *CRD_NAMES, "--timeout=30s")


@pytest.fixture(scope="module")
def operator(cluster, request):
    """An operator in a namespace of this file's own."""
    name = request.module.__name__.removeprefix("test_").replace("_", "-")
    with installed_operator(f"e2e-{name}") as release:
        yield release


@pytest.fixture(scope="module")
def namespace(operator):
    return operator.namespace


@pytest.fixture(scope="module")
def shared_shop(namespace):
    return Shop(namespace).deploy().fill().register()


@pytest.fixture(scope="module", params=ENGINES)
def shops(namespace, request):
    """Two databases for two restores at once (every_step.py)."""
    with shops_for(request.param, namespace, ["shop", "store"]) as databases:
        yield databases


@pytest.fixture
def shop(shared_shop):
    """A database that runs, with no restore at work on it, whatever the test before left."""
    Held.resume_all()
    kubectl("delete", "databaserestores", "--all", "--timeout=120s", namespace=shared_shop.namespace)
    shared_shop.scale(1)
    shared_shop.wait_ready()
    wait_for("the lock is free", lambda: "activeRestore" not in shared_shop.server_status())
    return shared_shop


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows what happened in the namespace of a test that failed."""
    report = (yield).get_result()
    release = getattr(item, "funcargs", {}).get("operator")
    if report.failed and release is not None:
        report.sections.append(("the cluster", story(release.namespace)))
