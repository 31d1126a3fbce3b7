"""What hack/quickstart refuses before it builds or changes anything. Its whole way is the quickstart itself."""

import subprocess

import pytest
from support.kubectl import ROOT, kubectl


def refusal(*arguments):
    command = [ROOT / "hack" / "quickstart", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode != 0, ended.stdout
    return ended.stderr


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--context"], "--context must have a value"),
        (["--context", "mine"], "--context must come with --registry"),
        (["--registry", "registry.invalid/demo"], "--registry is for a cluster of your own"),
        (["--nothing"], 'unknown argument "--nothing"'),
    ],
)
def test_arguments_that_do_not_fit_are_named(arguments, words):
    assert words in refusal(*arguments)


def test_a_cluster_that_does_not_answer_is_named():
    assert 'context "nowhere" does not answer' in refusal("--context", "nowhere", "--registry", "registry.invalid/demo")


def test_a_cluster_must_have_a_default_storage_class():
    # The tests' own has none: each of its volumes has a class of its own.
    context = kubectl("config", "current-context").strip()
    assert "must have a default StorageClass" in refusal("--context", context, "--registry", "registry.invalid/demo")
