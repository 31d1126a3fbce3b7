"""Other shapes in which people run PostgreSQL, made of the shop's manifests. All are imitations of our own: of the real
images and charts they have the paths, users and variables, and nothing else."""

IMAGE_17 = "localhost/dbrestore-test-postgres:17"
IMAGE_18 = "localhost/dbrestore-test-postgres:18-layout"
BITNAMI_STYLE = "localhost/dbrestore-test-bitnami-style:15"
WITHOUT_PRIVILEGES = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True}


def pod_of(objects):
    return objects["StatefulSet"]["spec"]["template"]["spec"]


def container_of(objects):
    return pod_of(objects)["containers"][0]


def variable(objects, name, value):
    """Sets a variable; None removes it."""
    container = container_of(objects)
    container["env"] = [entry for entry in container["env"] if entry["name"] != name]
    if value is not None:
        container["env"].append({"name": name, **(value if isinstance(value, dict) else {"value": value})})


def of_secret(objects, key):
    name = objects["Secret"]["metadata"]["name"]
    return {"valueFrom": {"secretKeyRef": {"name": name, "key": key}}}


def of_version_17(objects):
    container_of(objects)["image"] = IMAGE_17


def mount(objects, name, path, volume=None):
    """Mounts a volume, or another place of the one that is mounted already."""
    mounts = container_of(objects)["volumeMounts"]
    mounts[:] = [other for other in mounts if other["name"] != name]
    mounts.append({"name": name, "mountPath": path})
    if volume:
        pod_of(objects)["volumes"].append({"name": name, **volume})


def official_from_18(objects):
    """The image has a data directory for each major version, and the volume is mounted above them."""
    container_of(objects)["image"] = IMAGE_18
    variable(objects, "PGDATA", None)
    mount(objects, "data", "/var/lib/postgresql")


def on_a_sub_path(objects):
    """One of several folders of a volume."""
    next(m for m in container_of(objects)["volumeMounts"] if m["name"] == "data")["subPath"] = "databases/shop"


def on_an_existing_claim(objects):
    """A StatefulSet that makes no claims of its own."""
    name = objects["StatefulSet"]["metadata"]["name"]
    del objects["StatefulSet"]["spec"]["volumeClaimTemplates"]
    pod_of(objects)["volumes"].append({"name": "data", "persistentVolumeClaim": {"claimName": f"{name}-disk"}})


def bitnami_style(objects):
    """As a hand-written manifest for Bitnami's image: the application's user is not the superuser."""
    container = container_of(objects)
    container |= {"name": "postgresql", "image": BITNAMI_STYLE}
    del container["args"]
    probe = "exec pg_isready -U postgres -h 127.0.0.1 -p 5432"
    for name in ("startupProbe", "readinessProbe"):
        container[name] = container[name] | {"exec": {"command": ["/bin/sh", "-c", probe]}}
    password = objects["Secret"]["stringData"].pop("password")
    objects["Secret"]["stringData"] = {"password": password[::-1], "postgres-password": password}
    container["env"] = []
    variable(objects, "POSTGRESQL_USERNAME", "shopkeeper")
    variable(objects, "POSTGRESQL_PASSWORD", of_secret(objects, "password"))
    variable(objects, "POSTGRESQL_POSTGRES_PASSWORD", of_secret(objects, "postgres-password"))
    variable(objects, "POSTGRESQL_DATABASE", objects["StatefulSet"]["metadata"]["name"])
    variable(objects, "POSTGRESQL_SHARED_PRELOAD_LIBRARIES", "pg_stat_statements")
    pod_of(objects)["securityContext"] = {"fsGroup": 1001}
    container["securityContext"] = WITHOUT_PRIVILEGES | {"runAsUser": 1001, "runAsGroup": 1001, "readOnlyRootFilesystem": True}
    mount(objects, "data", "/bitnami/postgresql")
    mount(objects, "conf", "/opt/bitnami/postgresql/conf", {"emptyDir": {}})
    mount(objects, "work", "/opt/bitnami/postgresql/tmp", {"emptyDir": {}})
    mount(objects, "tmp", "/tmp", {"emptyDir": {}})


def bitnami_chart_style(objects):
    """As Bitnami's chart: other names of the variables, passwords in files, and an exporter beside the server."""
    bitnami_style(objects)
    container = container_of(objects)
    container["env"] = []
    folder = "/opt/bitnami/postgresql/secrets"
    name = objects["StatefulSet"]["metadata"]["name"]
    settings = {
        "POSTGRESQL_PORT_NUMBER": "5432",
        "POSTGRESQL_VOLUME_DIR": "/bitnami/postgresql",
        "PGDATA": "/bitnami/postgresql/data",
        "POSTGRES_USER": "shopkeeper",
        "POSTGRES_PASSWORD_FILE": f"{folder}/password",
        "POSTGRES_POSTGRES_PASSWORD_FILE": f"{folder}/postgres-password",
        "POSTGRES_DATABASE": name,
        "POSTGRESQL_SHARED_PRELOAD_LIBRARIES": "pg_stat_statements",
    }
    for key, value in settings.items():
        variable(objects, key, value)
    secret = {"secret": {"secretName": objects["Secret"]["metadata"]["name"]}}
    mount(objects, "postgresql-password", folder + "/", secret)
    exporter = {"name": "metrics", "image": "localhost/dbrestore-test-postgres:15", "command": ["sleep", "1d"]}
    pod_of(objects)["containers"].append(exporter)


def cloudpirates_style(objects):
    """As CloudPirates' chart: the official image without root, its configuration in a ConfigMap."""
    name = objects["StatefulSet"]["metadata"]["name"]
    container = container_of(objects)
    container["args"] = ["postgres", "-c", "config_file=/etc/postgresql/postgresql.conf"]
    password = objects["Secret"]["stringData"]["password"]
    objects["Secret"]["stringData"] = {"postgres-password": password}
    variable(objects, "POSTGRES_USER", None)
    variable(objects, "POSTGRES_PASSWORD", of_secret(objects, "postgres-password"))
    variable(objects, "POSTGRES_DB", name)
    pod_of(objects)["securityContext"] = {"fsGroup": 999}
    container["securityContext"] = WITHOUT_PRIVILEGES | {"runAsUser": 999, "runAsGroup": 999}
    objects["ConfigMap"] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {
            "postgresql.conf": "listen_addresses = '*'\nmax_connections = 80\nhba_file = '/etc/postgresql/pg_hba.conf'\n"
            "shared_preload_libraries = 'pg_stat_statements'\n",
            "pg_hba.conf": "local all all trust\nhost all all 127.0.0.1/32 trust\nhost all all all md5\n",
        },
    }
    mount(objects, "config", "/etc/postgresql", {"configMap": {"name": name, "optional": True}})
    mount(objects, "run", "/var/run/postgresql", {"emptyDir": {}})
    mount(objects, "tmp", "/tmp", {"emptyDir": {}})


def cloudpirates_style_from_18(objects):
    cloudpirates_style(objects)
    container_of(objects)["image"] = IMAGE_18
    variable(objects, "PGDATA", "/var/lib/postgresql/18/docker")
    mount(objects, "data", "/var/lib/postgresql")
