"""Looks at objects of hack/cluster through one API client that keeps its connections.

A test looks several times a second for minutes. As a kubectl process each, these looks would take most of the
processors from what is tested. What a person does, and what is shown to a person, goes through kubectl (kubectl.py).
"""

import base64
import functools
import tempfile

import requests
import yaml

from support.kubectl import CommandError, environment

DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
TIMEOUT_SECONDS = 30


def file_of(encoded):
    """A file that lives as long as this process, since requests takes certificates as files only."""
    file = tempfile.NamedTemporaryFile(suffix=".pem")
    file.write(base64.b64decode(encoded))
    file.flush()
    return file


@functools.lru_cache
def client():
    """The API server's address and a session that is the cluster's administrator."""
    with open(environment()["KUBECONFIG"]) as file:
        config = yaml.safe_load(file)
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    session = requests.Session()
    session.trust_env = False  # no proxy stands between this machine and its own cluster
    session.files = [
        file_of(cluster["certificate-authority-data"]),
        file_of(user["client-certificate-data"]),
        file_of(user["client-key-data"]),
    ]
    session.verify, *cert = (file.name for file in session.files)
    session.cert = tuple(cert)
    session.mount("https://", requests.adapters.HTTPAdapter(pool_maxsize=16))
    return cluster["server"], session


def request(path, **parameters):
    """The answer to a GET as an object. Raises CommandError for whatever is no answer, as kubectl would."""
    headers = {"Accept": DISCOVERY} if path in ("/api", "/apis") else {}
    server, session = client()
    try:
        answer = session.get(server + path, params=parameters, headers=headers, timeout=TIMEOUT_SECONDS)
    except requests.RequestException as error:
        raise CommandError(["GET", path], 1, "", str(error)) from None
    if answer.status_code != 200:
        raise CommandError(["GET", path], answer.status_code, "", answer.text)
    return answer.json()


@functools.lru_cache
def paths():
    """Where each kind is, by its plural, plural.group or singular name: (prefix, plural, is namespaced)."""
    found = {}
    for root in ("/api", "/apis"):
        for group in request(root)["items"]:
            name = group["metadata"].get("name", "")
            version = group["versions"][0]
            prefix = f"{root}/{name}/{version['version']}" if name else f"{root}/{version['version']}"
            for resource in version["resources"]:
                plural = resource["resource"]
                place = prefix, plural, resource["scope"] == "Namespaced"
                found.setdefault(plural, place)
                found.setdefault(resource.get("singularResource"), place)
                found[f"{plural}.{name}"] = place
    return found


def path_of(kind, namespace):
    if kind not in paths():
        paths.cache_clear()  # a CRD may be new
    if kind not in paths():
        raise CommandError(["GET", kind], 404, "", "the API server has no such kind")
    prefix, plural, is_namespaced = paths()[kind]
    return f"{prefix}/namespaces/{namespace}/{plural}" if is_namespaced else f"{prefix}/{plural}"


def get(kind, name, namespace=None):
    """One object. `kind` is as in `kubectl get`."""
    return request(f"{path_of(kind, namespace)}/{name}")


def items(kind, namespace=None, labels="", fields=""):
    """All objects of a kind, or those that the selectors choose."""
    return request(path_of(kind, namespace), labelSelector=labels, fieldSelector=fields)["items"]


def exists(kind, name, namespace=None):
    try:
        return bool(get(kind, name, namespace))
    except CommandError as error:
        if error.returncode == 404:
            return False
        raise
