"""A database that archives to an encrypted pgBackRest repository on the S3 server, and the one writer of its numbered rows."""

import contextlib
import dataclasses
import json
import time

from layouts import container_of, mount, variable
from processes import at_once
from s3 import ACCESS_KEY, REGION, S3, SECRET_KEY
from shop import Copies, Shop
from support.kubectl import kubectl, wait_for

AS_POSTGRES = ("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups")
PASSPHRASE = "the-passphrase-of-the-repository"
# Where a restore's pod has the Secret, so that the path of the authority is right in both.
SECRET_FOLDER = "/dbrestore-repository"
# On the claim for dumps.
REPOSITORY_FOLDER = "/dumps/repository"
DATA_DIRECTORY = "/var/lib/postgresql/data/pgdata"
CONFIGURATION = """[global]
repo1-type=s3
repo1-path=/continuous
repo1-s3-endpoint={endpoint}
repo1-s3-bucket={bucket}
repo1-s3-region={region}
repo1-s3-uri-style=path
repo1-s3-key={access_key}
repo1-s3-key-secret={secret_key}
repo1-storage-ca-file={folder}/ca.crt
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass={passphrase}
repo1-bundle=y
repo1-retention-full=9
log-level-file=off
start-fast=y
{settings}
[{stanza}]
pg1-path={data_directory}
pg1-user={user}
"""
# Each in a transaction of its own, with the server's clock read inside of it; psql sends one after the other.
TABLE = "CREATE TABLE IF NOT EXISTS shop.written (number integer PRIMARY KEY, at timestamptz NOT NULL);\n"
ROW = "INSERT INTO shop.written SELECT coalesce(max(number), 0) + 1, clock_timestamp() FROM shop.written;\n"
PAUSE = "SELECT pg_sleep(0.003);\n"
AS_TIME = "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"


def archive_all(shop):
    """All WAL that there is lies in the archive afterwards."""
    last = shop.value("SELECT pg_walfile_name(pg_switch_wal())")
    archived = f"SELECT last_archived_wal COLLATE \"C\" >= '{last}' FROM pg_stat_archiver"
    wait_for("the WAL is archived", lambda: shop.value(archived) == "t")


@dataclasses.dataclass
class Point:
    """A moment between two commits, the last row before it, and what the database held."""

    time: str
    row: int
    content: str


class ArchivingShop(Shop):
    def __init__(self, namespace, s3, name="shop", data_mb=2000, settings=""):
        self.s3 = s3
        self.settings = settings
        super().__init__(namespace, name, data_mb=data_mb, adapt=self.archiving)

    @property
    def repository_secret(self):
        return f"{self.name}-pgbackrest"

    def archiving(self, objects):
        container_of(objects)["args"] += ["-c", "archive_mode=on", "-c", "archive_command=pgbackrest archive-push %p"]
        variable(objects, "PGBACKREST_STANZA", self.name)
        variable(objects, "PGBACKREST_CONFIG", f"{SECRET_FOLDER}/pgbackrest.conf")
        mount(objects, "repository", SECRET_FOLDER, {"secret": {"secretName": self.repository_secret}})
        configuration = CONFIGURATION.format(
            endpoint=self.s3.endpoint,
            bucket=self.s3.bucket,
            region=REGION,
            access_key=ACCESS_KEY,
            secret_key=SECRET_KEY,
            folder=SECRET_FOLDER,
            passphrase=PASSPHRASE,
            settings=self.settings,
            stanza=self.name,
            data_directory=DATA_DIRECTORY,
            user=objects["Secret"]["stringData"]["username"],
        )
        texts = {"pgbackrest.conf": configuration, "ca.crt": self.s3.authority}
        objects["the repository's Secret"] = S3.secret(self.repository_secret, texts)

    def register(self, **postgres):
        super().register(**postgres)
        repository = {"stanza": self.name, "configSecretRef": {"name": self.repository_secret}}
        patch = json.dumps({"spec": {"pointInTimeRecovery": {"pgBackRest": repository}}})
        kubectl("patch", f"pgs/{self.name}", "--type=merge", f"--patch={patch}", namespace=self.namespace)
        return self

    def pgbackrest(self, *arguments):
        return self.execute(*AS_POSTGRES, "pgbackrest", *arguments)

    def back_up(self):
        if REPOSITORY_FOLDER in self.settings:
            self.execute("install", "-d", "-o", "postgres", "-g", "postgres", REPOSITORY_FOLDER)
        self.pgbackrest("stanza-create")
        self.pgbackrest("backup", "--type=full")
        # When it ended is known to the second: only what comes after that is certain to come after it.
        time.sleep(1.1)
        return self

    def archived(self):
        """The names of what its archive holds."""
        return set(self.pgbackrest("repo-ls", f"archive/{self.name}/15-1").split())

    def must_archive(self):
        """With no gap, on the timeline that it is on."""
        archive_all(self)
        self.pgbackrest("check")
        assert self.value("SELECT failed_count FROM pg_stat_archiver") == "0"
        assert f"{self.timeline():08X}.history" in self.archived()

    def timeline(self):
        return int(self.value("SELECT timeline_id FROM pg_control_checkpoint()"))

    def write_rows(self, count=10):
        self.sql(TABLE + (ROW + PAUSE) * count)

    def last_row(self):
        return int(self.value("SELECT max(number) FROM shop.written"))

    def read_clock_for(self, row):
        """The time in the row, which is later than the commit before it and earlier than its own."""
        return self.value(f"SELECT {AS_TIME.format('at')} FROM shop.written WHERE number = {row}")

    def pass_a_point(self):
        """Commits rows before and after it."""
        self.write_rows()
        row, content = self.last_row(), self.fingerprint()
        self.write_rows()
        return Point(self.read_clock_for(row + 1), row, content)

    def remember_and_change(self):
        point = self.pass_a_point()
        self.change()
        return Copies("", point.content, self.fingerprint(), point.time)

    def must_be_at(self, point):
        assert self.last_row() == point.row
        self.must_hold(point.content, but_unlogged=True)

    def change_password(self, password):
        """Of its superuser; the connection Secret knows it."""
        self.sql(f"ALTER ROLE {self.user()} PASSWORD '{password}'")
        self.password = password
        patch = json.dumps({"stringData": {"password": password}})
        kubectl("patch", f"secret/{self.name}-connection", f"--patch={patch}", namespace=self.namespace)

    def history_of(self, restore):
        """What its PostgresServer remembers of a restore."""
        return next(entry for entry in self.server_status()["history"] if entry["restore"] == restore.name)

    def kept_files(self, restore_uid):
        """The folder in which a restore keeps the old files, below the data directory and on the host."""
        folder = f".dbrestore/beside-{restore_uid}"
        return folder, self.data_on_host / "pgdata" / folder


def stop(shop):
    shop.scale(0)
    shop.wait_stopped()


@contextlib.contextmanager
def archiving_shops(namespace, names, **options):
    """Filled, and each with one backup."""
    s3 = S3(namespace, "continuous-backups").deploy()
    shops = at_once(
        lambda name: ArchivingShop(namespace, s3, name, **options).deploy().fill().register().back_up(), names
    )
    yield shops
    # They archive their last WAL before they end: while there is something to archive to.
    at_once(stop, shops)


@contextlib.contextmanager
def archiving_shop(namespace, **options):
    with archiving_shops(namespace, ["shop"], **options) as shops:
        yield shops[0]
