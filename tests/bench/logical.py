#!/usr/bin/env python3
"""A dump in a .tar.gz on an S3 server, restored in three ways, one after the other, again and again.

  seed       the procedure that dbrestore replaces: download, tar -xvzf, pg_restore --clean … into the running server
  by hand    the best that a good administrator does on a running server: unpacked while it comes, pg_restore -j into a
             new database, tuned, analyzed, renamed
  dbrestore  prepare, verify and commit of the agent, as its pods run them: from the start of Preparing to the end of
             Committing; preflight, which reads the same backup while the database still runs, has its own column

Prints the table of docs/benchmarks.md. Servers listen on the loopback, everything lies in a temporary folder."""
import argparse
import json
import os
import pathlib
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
AGENT = ROOT / "build/release/bin/dbrestore-agent"
POSTGRES = pathlib.Path("/usr/lib/postgresql/15/bin")
KEYS = ("bench-access", "bench-secret")
UID = "0a1b2c3d-1111-4222-8333-444455556666"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(*command, user=None, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, user=user, check=False, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr[-2000:]}{done.stdout[-500:]}")
    return done.stdout


class Server:
    """PostgreSQL as Debian configures it, on a real disk with its real fsync."""

    def __init__(self, folder):
        self.folder, self.data, self.port = folder, folder / "data", free_port()
        run(POSTGRES / "initdb", "-D", self.data, "-U", "boss", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", user="postgres")
        self.process = None

    def start(self):
        options = ["-c", "listen_addresses=127.0.0.1", "-c", f"port={self.port}", "-c", f"unix_socket_directories={self.folder}"]
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen([POSTGRES / "postgres", "-D", self.data, *options], user="postgres", stdout=log, stderr=log)
        while subprocess.run([POSTGRES / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False).returncode:
            time.sleep(0.1)

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(300)

    def sql(self, text, database="postgres", *options):
        arguments = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", *options, "-c", text]
        return run(POSTGRES / "psql", *arguments, "-h", "127.0.0.1", "-p", self.port, "-U", "boss", "-d", database).strip()

    def url(self, database):
        return f"postgresql://boss@127.0.0.1:{self.port}/{database}"


class Store:
    """versitygw, with TLS by an authority of its own."""

    def __init__(self, folder):
        self.folder, self.port = folder, free_port()
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        run("openssl", "req", "-x509", *key, "-subj", "/CN=ca", "-keyout", folder / "ca.key", "-out", folder / "ca.crt")
        run("openssl", "req", "-x509", *key, "-subj", "/CN=s3", "-addext", "subjectAltName=IP:127.0.0.1", "-CA", folder / "ca.crt",
            "-CAkey", folder / "ca.key", "-keyout", folder / "tls.key", "-out", folder / "tls.crt")
        (folder / "buckets").mkdir()
        command = ["versitygw", "--access", KEYS[0], "--secret", KEYS[1], "--region", "eu-1", "--port", f"127.0.0.1:{self.port}",
                   "--cert", folder / "tls.crt", "--key", folder / "tls.key", "posix", folder / "buckets"]
        with open(folder / "s3.log", "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self.endpoint = f"https://127.0.0.1:{self.port}"
        time.sleep(2)
        self.ask("", "-X", "PUT")

    def command(self, path, *options):
        return ["curl", "-sS", "--fail", "--cacert", str(self.folder / "ca.crt"), "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD",
                "--aws-sigv4", "aws:amz:eu-1:s3", "--user", ":".join(KEYS), *options, f"{self.endpoint}/bench{path}"]

    def ask(self, path, *options):
        run(*self.command(path, *options))


class Bench:
    def __init__(self, folder, scale):
        self.folder, self.work = folder, folder / "work"
        self.work.mkdir()
        self.server, self.store = Server(folder), Store(folder)
        self.server.start()
        self.server.sql("CREATE DATABASE shop")
        sample = ROOT / "tests/support/sample_database.sql"
        run(POSTGRES / "psql", "-X", "-q", "-v", f"scale={scale}", "-f", sample, self.server.url("shop"))
        self.server.sql("VACUUM ANALYZE", "shop")
        self.database_bytes = int(self.server.sql("SELECT pg_database_size('shop')"))
        dump = self.work / "shop.dump"
        run(POSTGRES / "pg_dump", "-Fc", "-f", dump, self.server.url("shop"))
        self.dump_bytes = dump.stat().st_size
        archive = self.work / "shop.tar.gz"
        run("tar", "-C", self.work, "-czf", archive, "shop.dump")
        self.archive_bytes = archive.stat().st_size
        self.store.ask("/nightly/shop.tar.gz", "-T", str(archive))
        dump.unlink()
        archive.unlink()
        self.make_secrets()
        self.agent_peak_bytes = 0

    def make_secrets(self):
        for name, text in (("store/credentials/AWS_ACCESS_KEY_ID", KEYS[0]), ("store/credentials/AWS_SECRET_ACCESS_KEY", KEYS[1]),
                           ("store/ca/ca.crt", (self.folder / "ca.crt").read_text()), ("secret/username", "boss"),
                           ("secret/password", "none")):
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for name in ("tmp", "source"):
            (self.folder / name).mkdir(exist_ok=True)
            shutil.chown(self.folder / name, "postgres")

    def settle(self):
        """What an earlier run left to be written is no part of the next one."""
        self.server.sql("CHECKPOINT")
        os.sync()

    def seed(self):
        self.settle()
        started = time.monotonic()
        run(*self.store.command("/nightly/shop.tar.gz", "-o", str(self.work / "shop.tar.gz")))
        run("tar", "-C", self.work, "-xvzf", self.work / "shop.tar.gz")
        flags = ["--clean", "--if-exists", "--no-owner", "--no-privileges", "--no-comments"]
        # With partitioned tables these flags end with 1, "errors ignored", also where all data is there.
        subprocess.run([POSTGRES / "pg_restore", *flags, "--dbname", self.server.url("shop"), self.work / "shop.dump"],
                       capture_output=True, check=False)
        seconds = time.monotonic() - started
        for file in self.work.iterdir():
            file.unlink()
        return {"seconds": seconds}

    def by_hand(self):
        self.settle()
        jobs = str(os.cpu_count())
        tuned = {**os.environ, "PGOPTIONS": "-c maintenance_work_mem=512MB -c synchronous_commit=off"}
        started = time.monotonic()
        self.server.sql("ALTER SYSTEM SET max_wal_size = '4GB'")
        self.server.sql("SELECT pg_reload_conf()")
        download = subprocess.Popen(self.store.command("/nightly/shop.tar.gz"), stdout=subprocess.PIPE)
        run("tar", "-C", self.work, "-xzf", "-", stdin=download.stdout)
        download.wait()
        self.server.sql("CREATE DATABASE shop_new TEMPLATE template0")
        run(POSTGRES / "pg_restore", "-j", jobs, "--dbname", self.server.url("shop_new"), self.work / "shop.dump", env=tuned)
        run(POSTGRES / "vacuumdb", "--analyze-only", "-j", jobs, "-d", self.server.url("shop_new"), env=tuned)
        self.server.sql("ALTER DATABASE shop RENAME TO shop_old")
        self.server.sql("ALTER DATABASE shop_new RENAME TO shop")
        seconds = time.monotonic() - started
        self.server.sql("DROP DATABASE shop_old")
        self.server.sql("ALTER SYSTEM RESET max_wal_size")
        self.server.sql("SELECT pg_reload_conf()")
        for file in self.work.iterdir():
            file.unlink()
        return {"seconds": seconds}

    def dbrestore(self):
        self.settle()
        preflight = self.step("preflight", host="127.0.0.1")
        self.server.stop()
        parts = {step: self.step(step) for step in ("prepare", "verify", "commit")}
        self.server.start()
        self.server.sql("DROP DATABASE dbrestore_old_0a1b2c3d")
        shutil.rmtree(self.server.data / ".dbrestore")
        return {"seconds": sum(parts.values()), "preflight": preflight, **parts}

    def step(self, step, **more):
        s3 = {"endpoint": self.store.endpoint, "bucket": "bench", "prefix": "nightly", "region": "eu-1",
              "credentialsSecretRef": {"name": "keys"}, "caSecretRef": {"name": "ca"}}
        request = {"step": step, "restoreName": f"bench-{time.time_ns()}", "restoreUID": UID, "dataDirectory": str(self.server.data),
                   "port": self.server.port, "userKey": "username", "passwordKey": "password", "database": "shop",
                   "store": {"name": "nightly", "kind": "Scheduled", "s3": s3}, "backupName": "shop.tar.gz",
                   "newDatabase": "dbrestore_new_0a1b2c3d", "oldDatabase": "dbrestore_old_0a1b2c3d", "role": "dbrestore_0a1b2c3d", **more}
        environment = {**os.environ, "DBRESTORE_REQUEST": json.dumps(request), "DBRESTORE_POD_UID": "bench",
                       "DBRESTORE_SOURCE_DIRECTORY": str(self.folder / "source"), "DBRESTORE_SECRET_DIRECTORY": str(self.folder / "secret"),
                       "DBRESTORE_STORE_DIRECTORY": str(self.folder / "store"), "DBRESTORE_TEMPORARY_DIRECTORY": str(self.folder / "tmp"),
                       "DBRESTORE_TERMINATION_LOG": str(self.folder / "tmp/termination")}
        started = time.monotonic()
        with open(self.folder / "agent.log", "wb") as log:
            agent = subprocess.Popen([self.folder / "dbrestore-agent", step], env=environment, user="postgres", stdout=log, stderr=log)
        watcher = threading.Thread(target=self.watch_memory, args=(agent,))
        watcher.start()
        status = agent.wait()
        seconds = time.monotonic() - started
        watcher.join()
        if status != 0:
            raise RuntimeError(f"{step} ended with {status}: {(self.folder / 'agent.log').read_text()[-3000:]}")
        return seconds

    def watch_memory(self, agent):
        while agent.poll() is None:
            try:
                lines = pathlib.Path(f"/proc/{agent.pid}/status").read_text().splitlines()
            except OSError:
                return
            for line in lines:
                if line.startswith("VmHWM:"):
                    self.agent_peak_bytes = max(self.agent_peak_bytes, int(line.split()[1]) * 1024)
            time.sleep(0.2)

    def close(self):
        for process in (self.server.process, self.store.process):
            process.kill()
            process.wait()


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def report(bench, runs, arguments):
    median = {way: statistics.median(r["seconds"] for r in results) for way, results in runs.items()}
    version = run(POSTGRES / "postgres", "--version").strip()
    print(f"\n`hack/bench logical --scale {arguments.scale} --pairs {arguments.pairs}` on {time.strftime('%Y-%m-%d')}: {version}, "
          f"{os.cpu_count()} × {processor()}. Database {bench.database_bytes / 1e9:.1f} GB, dump {bench.dump_bytes / 1e6:.0f} MB, "
          f".tar.gz {bench.archive_bytes / 1e6:.0f} MB.\n")
    print("| way | median s | each s | time, seed = 1 | time, by hand = 1 |\n| --- | --- | --- | --- | --- |")
    for way, results in runs.items():
        each = ", ".join(f"{r['seconds']:.1f}" for r in results)
        print(f"| {way} | {median[way]:.1f} | {each} | {median[way] / median['seed']:.2f} | {median[way] / median['by hand']:.2f} |")
    ours = runs["dbrestore"]
    parts = ", ".join(f"{part} {statistics.median(r[part] for r in ours):.1f} s" for part in ("preflight", "prepare", "verify", "commit"))
    print(f"\ndbrestore is {median['seed'] / median['dbrestore']:.2f} times as fast as the seed. Its parts (medians): {parts}. "
          f"The agent's own memory at its peak: {bench.agent_peak_bytes / 2**20:.0f} MiB.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=int, default=4_000_000, help="orders in the database, 1 kB each (default 4 GB)")
    parser.add_argument("--pairs", type=int, default=5, help="how often each way is taken (default 5)")
    parser.add_argument("--folder", type=pathlib.Path, help="on which disk (default: where temporary files lie)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dbrestore-bench-", dir=arguments.folder) as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        shutil.chown(folder, "postgres")
        shutil.copy(AGENT, folder / "dbrestore-agent")
        bench = Bench(folder, arguments.scale)
        try:
            ways = {"seed": bench.seed, "by hand": bench.by_hand, "dbrestore": bench.dbrestore}
            runs = {way: [] for way in ways}
            for number in range(arguments.pairs):
                for way, take in ways.items():
                    runs[way].append(take())
                    print(f"    {number + 1}  {way:<10} {runs[way][-1]['seconds']:7.1f} s", flush=True)
            report(bench, runs, arguments)
        finally:
            bench.close()


sys.exit(main())
