"""A real S3 server in the cluster, with TLS by an authority of its own."""

import subprocess
import tempfile
from pathlib import Path

from shop import claim, make_volume
from support import api
from support.kubectl import kubectl, wait_for

ACCESS_KEY = "the-access-key"
SECRET_KEY = "the-secret-key-of-the-store"
REGION = "eu-1"
PORT = 7070


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)


def certificate_for(address, folder):
    """Makes ca.crt, tls.crt and tls.key in the folder."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    openssl("req", "-x509", *key, "-subj", "/CN=the store's", "-keyout", f"{folder}/ca.key", "-out", f"{folder}/ca.crt")
    # An older pgBackRest looks for the address among the names.
    names = f"subjectAltName=IP:{address},DNS:{address}"
    openssl(
        *("req", "-x509", *key, "-subj", "/CN=s3", "-addext", names),
        *("-CA", f"{folder}/ca.crt", "-CAkey", f"{folder}/ca.key"),
        *("-keyout", f"{folder}/tls.key", "-out", f"{folder}/tls.crt"),
    )


def pod():
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "s3", "labels": {"app": "s3"}},
        "spec": {
            "securityContext": {"fsGroup": 65532},
            "containers": [
                {
                    "name": "versitygw",
                    "image": "localhost/dbrestore-test-s3:dev",
                    "args": [
                        *("--access", ACCESS_KEY, "--secret", SECRET_KEY, "--region", REGION, "--port", f":{PORT}"),
                        *("--cert", "/tls/tls.crt", "--key", "/tls/tls.key", "posix", "/buckets"),
                    ],
                    "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
                    "volumeMounts": [
                        {"name": "tls", "mountPath": "/tls"},
                        {"name": "buckets", "mountPath": "/buckets"},
                    ],
                }
            ],
            "volumes": [
                {"name": "tls", "secret": {"secretName": "s3-tls"}},
                {"name": "buckets", "persistentVolumeClaim": {"claimName": "s3-buckets"}},
            ],
        },
    }


class S3:
    """Deployed in a namespace, with one bucket; and the Secrets by which a PostgresServer reads it."""

    def __init__(self, namespace, bucket="shop-backups"):
        self.namespace = namespace
        self.bucket = bucket
        self.folder = tempfile.TemporaryDirectory()

    def deploy(self):
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "s3"},
            "spec": {"selector": {"app": "s3"}, "ports": [{"port": PORT}]},
        }
        kubectl("create", objects=service, namespace=self.namespace)
        address = api.get("service", "s3", self.namespace)["spec"]["clusterIP"]
        self.endpoint = f"https://{address}:{PORT}"
        certificate_for(address, self.folder.name)
        texts = {name: (Path(self.folder.name) / name).read_text() for name in ("ca.crt", "tls.crt", "tls.key")}
        self.authority = texts["ca.crt"]
        keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
        secrets = [self.secret("s3-tls", texts), self.secret("s3-keys", keys)]
        secrets.append(self.secret("s3-ca", {"ca.crt": self.authority}))
        volume = f"{self.namespace}-s3"
        make_volume(volume, 500)
        kubectl("create", objects=[*secrets, claim("s3-buckets", volume)], namespace=self.namespace)
        self.bring_back()
        assert self.asks("--request", "PUT", f"/{self.bucket}")
        return self

    def take_away(self):
        """Its buckets stay."""
        kubectl("delete", "pod", "s3", "--force", "--grace-period=0", namespace=self.namespace)

    def bring_back(self):
        kubectl("create", objects=pod(), namespace=self.namespace)
        wait_for("the S3 server", lambda: self.asks("/"), 90)

    @staticmethod
    def secret(name, texts):
        return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": texts}

    def asks(self, *arguments):
        """By curl; the last argument is the path. True where the server said yes."""
        *options, path = arguments
        command = ["curl", "--silent", "--fail", "--max-time", "60", "--cacert", f"{self.folder.name}/ca.crt"]
        command += ["--header", "x-amz-content-sha256: UNSIGNED-PAYLOAD", "--aws-sigv4", f"aws:amz:{REGION}:s3", "--user", f"{ACCESS_KEY}:{SECRET_KEY}"]
        return subprocess.run([*command, *options, self.endpoint + path], check=False, timeout=90).returncode == 0

    def put(self, file, key):
        assert self.asks("--upload-file", str(file), f"/{self.bucket}/{key}"), key

    def store(self, name, kind, prefix):
        """As it stands in spec.stores of a PostgresServer."""
        return {
            "name": name,
            "kind": kind,
            "s3": {
                "endpoint": self.endpoint,
                "bucket": self.bucket,
                "prefix": prefix,
                "region": REGION,
                "credentialsSecretRef": {"name": "s3-keys"},
                "caSecretRef": {"name": "s3-ca"},
            },
        }
