"""What the benchmarks are made of: a server, a store, the agent as its pods run it, and what a report says of the machine."""
import argparse
import contextlib
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
AGENT = ROOT / "build/release/bin/dbrestore-agent"
POSTGRES = pathlib.Path("/usr/lib/postgresql/15/bin")
PGBACKREST = pathlib.Path("/usr/bin/pgbackrest")
KEYS = ("bench-access", "bench-secret")
BUCKET, REGION = "bench", "eu-1"
SAMPLE_SECONDS = 0.05


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def with_its_children(*command, **options):
    """A process that goes with all that it started, should we end before it."""
    process = subprocess.Popen([str(c) for c in command], start_new_session=True, **options)
    try:
        yield process
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise


def run(*command, **options):
    with with_its_children(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options) as process:
        out, errors = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}: {errors[-2000:]}{out[-500:]}")
    return out


class Server:
    """PostgreSQL as Debian configures it, on a real disk with its real fsync."""

    def __init__(self, folder, closing, *initdb_options):
        self.folder, self.data, self.port = folder, folder / "data", free_port()
        options = ["--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", *initdb_options]
        run(POSTGRES / "initdb", "-D", self.data, "-U", "boss", *options, user="postgres")
        self.process = None
        closing.callback(self.close)

    def start(self, *options):
        place = ["-c", "listen_addresses=127.0.0.1", "-c", f"port={self.port}", "-c", f"unix_socket_directories={self.folder}"]
        with open(self.folder / "server.log", "ab") as log:
            command = [POSTGRES / "postgres", "-D", self.data, *place, *options]
            self.process = subprocess.Popen(command, user="postgres", stdout=log, stderr=log)
        while subprocess.run([POSTGRES / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False).returncode:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended: {(self.folder / 'server.log').read_text()[-2000:]}")
            time.sleep(0.1)

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        if self.process.wait(300) != 0:
            raise RuntimeError(f"the server did not stop well: {(self.folder / 'server.log').read_text()[-2000:]}")

    def sql(self, text, database="postgres", *options):
        arguments = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", *options, "-c", text]
        return run(POSTGRES / "psql", *arguments, "-h", "127.0.0.1", "-p", self.port, "-U", "boss", "-d", database).strip()

    def url(self, database):
        return f"postgresql://boss@127.0.0.1:{self.port}/{database}"

    def fill(self, scale):
        """The database `shop` with so many orders, about 1 kB each."""
        self.sql("CREATE DATABASE shop")
        sample = ROOT / "tests/support/sample_database.sql"
        run(POSTGRES / "psql", "-X", "-q", "-v", f"scale={scale}", "-f", sample, self.url("shop"))

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(60)


class Store:
    """versitygw, with TLS by an authority of its own."""

    def __init__(self, folder, closing):
        self.folder, self.port = folder, free_port()
        self.authority = folder / "ca.crt"
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        run("openssl", "req", "-x509", *key, "-subj", "/CN=ca", "-keyout", folder / "ca.key", "-out", self.authority)
        run("openssl", "req", "-x509", *key, "-subj", "/CN=s3", "-addext", "subjectAltName=DNS:localhost", "-CA", self.authority,
            "-CAkey", folder / "ca.key", "-keyout", folder / "tls.key", "-out", folder / "tls.crt")
        (folder / "buckets").mkdir()
        # By its name: pgBackRest 2.45 finds no address in a certificate. It takes the first that the name has.
        address = socket.getaddrinfo("localhost", self.port, type=socket.SOCK_STREAM)[0][4][0]
        listen = f"[{address}]:{self.port}" if ":" in address else f"{address}:{self.port}"
        command = ["versitygw", "--access", KEYS[0], "--secret", KEYS[1], "--region", REGION, "--port", listen,
                   "--cert", folder / "tls.crt", "--key", folder / "tls.key", "posix", folder / "buckets"]
        with open(folder / "s3.log", "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        closing.callback(self.close)
        self.endpoint = f"https://localhost:{self.port}"
        time.sleep(2)
        self.ask("", "-X", "PUT")

    def command(self, path, *options):
        return ["curl", "-sS", "--fail", "--cacert", str(self.authority), "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD",
                "--aws-sigv4", f"aws:amz:{REGION}:s3", "--user", ":".join(KEYS), *options, f"{self.endpoint}/{BUCKET}{path}"]

    def ask(self, path, *options):
        run(*self.command(path, *options))

    def sent_bytes(self):
        """Since it runs; what it wrote to its own files and log is in it."""
        return int(re.search(r"wchar: (\d+)", pathlib.Path(f"/proc/{self.process.pid}/io").read_text())[1])

    def close(self):
        self.process.kill()
        self.process.wait()


def children_of(pid):
    """Each child's process id and arguments."""
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in task.read_text().split():
                yield int(child), pathlib.Path(f"/proc/{child}/cmdline").read_text(errors="replace").split("\0")


def what_runs(pid):
    """What the agent does, by its child: "agent" while it has none."""
    for child, arguments in children_of(pid):
        program = pathlib.Path(arguments[0]).name
        if program in ("", AGENT.name):  # it ends, or begins
            continue
        if program == "postgres":
            # The process that recovers goes once the server is promoted.
            recovers = any(title[0].startswith("postgres: startup") for _, title in children_of(child))
            return "replay" if recovers else "server"
        if program == "pgbackrest":
            return "copy" if "restore" in arguments else "repository"
        return program
    return "agent"


class Agent:
    """Runs steps as the pods of a restore do. Its folder holds what they mount."""

    def __init__(self, folder):
        self.folder = folder
        shutil.copy(AGENT, folder / "dbrestore-agent")
        self.write({"secret/username": "boss", "secret/password": "none"})
        for name in ("tmp", "source"):
            (folder / name).mkdir()
            shutil.chown(folder / name, "postgres")
        self.peak_bytes = 0

    def write(self, texts):
        for name, text in texts.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def step(self, step, server, **request):
        """The seconds that it takes, all of them and by what runs."""
        request = {"step": step, "dataDirectory": str(server.data), "port": server.port, "userKey": "username",
                   "passwordKey": "password", "database": "shop", **request}
        folders = {name: str(self.folder / name.lower()) for name in ("SOURCE", "SECRET", "STORE", "REPOSITORY")}
        environment = {**os.environ, "DBRESTORE_REQUEST": json.dumps(request), "DBRESTORE_POD_UID": "bench",
                       **{f"DBRESTORE_{name}_DIRECTORY": folder for name, folder in folders.items()},
                       "DBRESTORE_PGBACKREST_PROGRAM": str(PGBACKREST), "DBRESTORE_TEMPORARY_DIRECTORY": str(self.folder / "tmp"),
                       "DBRESTORE_TERMINATION_LOG": str(self.folder / "tmp/termination")}
        command, seconds = [self.folder / "dbrestore-agent", step], {}
        started = time.monotonic()
        with open(self.folder / "agent.log", "wb") as log, \
                with_its_children(*command, env=environment, user="postgres", stdout=log, stderr=log) as agent:
            watcher = threading.Thread(target=self.watch, args=(agent, seconds))
            watcher.start()
            status = agent.wait()
        seconds["all"] = time.monotonic() - started
        watcher.join()
        if status != 0:
            raise RuntimeError(f"{step} ended with {status}: {(self.folder / 'agent.log').read_text()[-3000:]}")
        return seconds

    def watch(self, agent, seconds):
        last = time.monotonic()
        while agent.poll() is None:
            with contextlib.suppress(OSError):
                for line in pathlib.Path(f"/proc/{agent.pid}/status").read_text().splitlines():
                    if line.startswith("VmHWM:"):
                        self.peak_bytes = max(self.peak_bytes, int(line.split()[1]) * 1024)
            doing = what_runs(agent.pid)
            time.sleep(SAMPLE_SECONDS)
            now = time.monotonic()
            seconds[doing] = seconds.get(doing, 0) + now - last
            last = now


@contextlib.contextmanager
def place(parent):
    """A folder that goes with us, also when we are asked to end; before it, what is to be closed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="dbrestore-bench-", dir=parent) as name, contextlib.ExitStack() as closing:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        shutil.chown(folder, "postgres")
        yield folder, closing


def arguments_parser(about, scale_help):
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=int, default=4_000_000, help=f"{scale_help} (default 4 GB)")
    parser.add_argument("--pairs", type=int, default=5, help="how often each way is taken (default 5)")
    parser.add_argument("--folder", type=pathlib.Path, help="on which disk (default: where temporary files lie)")
    return parser


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def surroundings():
    """When, with what, on what."""
    store = re.search(r"versitygw (v\S+)", (ROOT / "tests/cluster/versitygw/go.mod").read_text())[1]
    return (f"on {time.strftime('%Y-%m-%d')}: {run(POSTGRES / 'postgres', '--version').strip()}, versitygw {store} with TLS on the "
            f"loopback, {os.cpu_count()} × {processor()}")


def take_in_turn(ways, times):
    """Each way so many times, one after the other; what each gave."""
    runs = {way: [] for way in ways}
    for number in range(times):
        for way, take in ways.items():
            runs[way].append(take())
            print(f"    {number + 1}  {way:<14} {runs[way][-1]['seconds']:7.1f} s", flush=True)
    return runs
