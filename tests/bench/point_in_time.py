#!/usr/bin/env python3
"""A server whose backup and WAL lie in a pgBackRest repository on an S3 server, taken to a point in time in two ways, one after
the other, again and again.

  bare       `pgbackrest restore` into an empty data directory, and the server started by hand: until it is promoted and takes
             connections
  dbrestore  prepare, verify and commit of the agent, as its pods run them: from the start of Preparing to the end of Committing.
             The old files stay, and a private server has proven the new ones. `pg_checksums`, which reads every
             page again before that, is shown apart: the bare way has no such proof

Then a server on xfs with and without shared blocks (`prepare` begins with a clone of today's files where it can), of which one block
of a hundred has changed since the point in time.

Then servers of two sizes are restored, and the restore is undone, each time the one before: preflight and quiesce while the server
runs, its stop, prepare, verify, commit, its start until it takes connections. "swap" is the part of commit in which no server
could start: from the moment that the stub is in the place of the data directory until other files are.

The start of pods is in none of it. Prints the tables of docs/benchmarks.md. Servers listen on the loopback, everything lies in a
temporary folder."""
import contextlib
import os
import shutil
import statistics
import sys
import threading
import time

import parts
from parts import BUCKET, KEYS, PGBACKREST, REGION, run

# pgBackRest as its guide recommends it: a fast compression. As many processes as the agent takes for a restore.
CONFIGURATION = """[global]
repo1-type=s3
repo1-path=/{name}
repo1-s3-endpoint={store.endpoint}
repo1-s3-bucket={bucket}
repo1-s3-region={region}
repo1-s3-uri-style=path
repo1-s3-key={keys[0]}
repo1-s3-key-secret={keys[1]}
repo1-storage-ca-file={store.authority}
repo1-retention-full=9
compress-type=lz4
process-max={processes}
log-level-file=off
log-level-console=error
lock-path={folder}/lock
start-fast=y

[shop]
pg1-path={server.data}
pg1-port={server.port}
pg1-socket-path={server.folder}
pg1-user=boss
"""
# Filling it is no part of what is measured: it writes WAL only for what cannot do without.
WHILE_FILLED = ["-c", "wal_level=minimal", "-c", "max_wal_senders=0", "-c", "max_wal_size=8GB"]
SAMPLE_SCALE = 500_000
WAL_BYTES_PER_KB, WAL_BYTES_BEFORE_UNDO = 270, 16_000_000
# Some of the pages are written whole into the WAL, others are not; a half of the rows is new.
WRITES = """UPDATE shop.events SET payload = reverse(payload) WHERE id % 16 = {number} % 16;
INSERT INTO shop.events (at, payload, digest) SELECT at, payload, digest FROM shop.events WHERE id % 64 = {number} % 64"""
STEPS = ("prepare", "verify", "commit")
PARTS_OF_UNDO = ("preflight", "quiesce", "stop", *STEPS, "swap", "start", "seconds")
AS_TIME = "to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
ALLOWED_RATIO, ALLOWED_SECONDS = 1.05, 10


def usable_processors():
    return min(len(os.sched_getaffinity(0)), 8)


class ArchivingServer(parts.Server):
    """Its database `shop` has a size, one backup, and WAL after that; all of it is archived."""

    def __init__(self, folder, closing, store, scale, wal_bytes):
        self.repository = store.folder / "buckets" / BUCKET / folder.name
        folder.mkdir()
        shutil.chown(folder, "postgres")
        super().__init__(folder, closing, "--data-checksums")
        self.agent = parts.Agent(folder)
        configuration = CONFIGURATION.format(name=folder.name, folder=self.agent.folder / "tmp", store=store, server=self, keys=KEYS,
                                             bucket=BUCKET, region=REGION, processes=usable_processors())
        self.agent.write({"repository/pgbackrest.conf": configuration})
        self.start(*WHILE_FILLED)
        self.fill_to(scale)
        self.stop()
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as settings:
            command = " ".join(self.pgbackrest("archive-push"))
            settings.write(f"archive_mode = on\ntrack_commit_timestamp = on\narchive_command = '{command} %p'\n")
        self.start()
        self.bytes = int(self.sql("SELECT sum(pg_database_size(oid)) FROM pg_database"))
        run(*self.pgbackrest("stanza-create"), user="postgres")
        run(*self.pgbackrest("backup", "--type=full"), user="postgres")
        # When it ended is known to the second.
        time.sleep(1.1)
        self.wal_bytes = self.write_wal(wal_bytes)
        self.time = self.pass_a_point()

    def remove(self):
        self.close()
        shutil.rmtree(self.folder)
        shutil.rmtree(self.repository)

    def pgbackrest(self, *arguments):
        return [str(PGBACKREST), f"--config={self.agent.folder}/repository/pgbackrest.conf", "--stanza=shop", *arguments]

    def fill_to(self, scale):
        """Sample data, and then tables of it, since those are made fast."""
        self.fill(min(scale, SAMPLE_SCALE))
        number = 0
        while int(self.sql("SELECT pg_database_size('shop')")) < scale * 1024:
            number += 1
            self.sql(f"CREATE TABLE shop.more_{number} AS TABLE shop.events", "shop")
        rows = f"SELECT {scale}::bigint * 1024 / 100 / (pg_relation_size('shop.events') / count(*)) FROM shop.events"
        self.sql(f"CREATE TABLE shop.hundredth AS SELECT * FROM shop.events LIMIT ({rows})", "shop")
        self.sql("CREATE TABLE shop.marks (number serial PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp())", "shop")
        self.sql("VACUUM ANALYZE", "shop")

    def write_wal(self, wanted):
        begin, written, number = self.sql("SELECT pg_current_wal_lsn()"), 0, 0
        while written < wanted:
            self.sql(WRITES.format(number=number), "shop")
            written = int(self.sql(f"SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '{begin}')"))
            number += 1
        return written

    def pass_a_point(self):
        """A time between the commits of the first mark and the second. The server's clock is read in each, before it commits."""
        self.sql("INSERT INTO shop.marks DEFAULT VALUES", "shop")
        self.sql("INSERT INTO shop.marks DEFAULT VALUES", "shop")
        self.archive_all()
        return self.sql(f"SELECT {AS_TIME} FROM shop.marks WHERE number = 2", "shop")

    def archive_all(self):
        last = self.sql("SELECT pg_walfile_name(pg_switch_wal())")
        while self.sql(f"SELECT coalesce(last_archived_wal COLLATE \"C\" >= '{last}', false) FROM pg_stat_archiver") != "t":
            time.sleep(0.2)

    def step(self, step, uid, **request):
        return self.agent.step(step, self, restoreName=uid, restoreUID=uid, stanza="shop", role="dbrestore_bench", **request)

    def to_the_point(self, step, uid):
        only_the_first = {"query": "SELECT string_agg(number::text, ' ') FROM shop.marks", "expect": "1"}
        return self.step(step, uid, pointInTime={"time": self.time}, verification=only_the_first)


def settle():
    """What an earlier run left to be written is no part of the next one."""
    os.sync()


class Restores:
    """To the point in time, of a server that is stopped, and has its old files back after each."""

    def __init__(self, server):
        self.server, self.count = server, 0
        server.stop()

    def bare(self):
        server, away = self.server, self.server.folder / "away"
        server.data.rename(away)
        server.data.mkdir(0o700)
        shutil.chown(server.data, "postgres")
        settle()
        started = time.monotonic()
        target = ["--type=time", f"--target={server.time.replace('T', ' ').replace('Z', '+00')}", "--target-action=promote"]
        run(*server.pgbackrest("restore", *target, f"--process-max={usable_processors()}"), user="postgres")
        copied = time.monotonic()
        # It archives nothing, so that the next one finds the repository as this one did.
        server.start("-c", "archive_command=")
        while server.sql("SELECT pg_is_in_recovery()") == "t":
            time.sleep(0.1)
        ended = time.monotonic()
        marks = server.sql("SELECT string_agg(number::text, ' ') FROM shop.marks", "shop")
        if marks != "1":
            raise RuntimeError(f"the bare restore has the marks {marks}")
        server.stop()
        shutil.rmtree(server.data)
        away.rename(server.data)
        return {"seconds": ended - started, "restore": copied - started, "start": ended - copied}

    def dbrestore(self, look=lambda: None):
        self.count += 1
        uid = f"restore-{self.count}"
        settle()
        steps = {step: self.server.to_the_point(step, uid) for step in STEPS}
        seen = look()
        # Nobody was served: the old files come back as they were.
        self.server.to_the_point("rollback", uid)
        checksums = steps["verify"].get("pg_checksums", 0)
        return {"seconds": sum(seconds["all"] for seconds in steps.values()) - checksums, "checksums": checksums, "steps": steps,
                "seen": seen}


class XfsVolume:
    """On a loop device; its files can share blocks, or cannot."""

    def __init__(self, folder, closing, shares_blocks, kilobytes):
        image, self.folder = folder.with_suffix(".img"), folder
        folder.mkdir()
        image.touch()
        os.truncate(image, kilobytes * 1024)
        run("mkfs.xfs", "-q", "-m", f"reflink={int(shares_blocks)}", image)
        run("mount", "-o", "loop", image, folder)
        closing.callback(run, "umount", folder)
        folder.chmod(0o755)

    def used_bytes(self):
        os.sync()
        state = os.statvfs(self.folder)
        return (state.f_blocks - state.f_bfree) * state.f_frsize


class Clones:
    """To the point in time, where one of a hundred blocks has changed since: all in one table."""

    def __init__(self, folder, closing, store, way, scale):
        self.store = store
        self.volume = XfsVolume(folder / f"volume-{way}", closing, way == "clone", 6 * scale + 4_000_000)
        self.server = ArchivingServer(self.volume.folder / f"server-{way}", closing, store, scale, 0)
        self.share = int(self.server.sql("SELECT pg_relation_size('shop.hundredth')", "shop")) / self.server.bytes
        self.server.sql("UPDATE shop.hundredth SET payload = reverse(payload)", "shop")
        self.server.archive_all()
        self.restores = Restores(self.server)

    def restore(self):
        sent, used = self.store.sent_bytes(), self.volume.used_bytes()
        result = self.restores.dbrestore(lambda: self.volume.used_bytes() - used)
        return {"seconds": result["steps"]["prepare"]["all"], "sent": self.store.sent_bytes() - sent, "taken": result["seen"]}


class Swap(threading.Thread):
    """For how long a stub stands where the data directory was."""

    def __init__(self, data):
        super().__init__()
        self.version, self.seconds, self.ended = data / "PG_VERSION", 0, threading.Event()

    def is_hidden(self):
        with contextlib.suppress(OSError):
            return self.version.read_text().startswith("dbrestore:")
        return True

    def run(self):
        last = time.monotonic()
        while not self.ended.wait(0.001):
            now, hidden = time.monotonic(), self.is_hidden()
            if hidden:
                self.seconds += now - last
            last = now

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()


class Undos:
    """A server that was restored, and serves. Each Undo takes back what came before it."""

    def __init__(self, server):
        self.server, self.count, self.undone = server, 0, "restore-1"
        self.marks_served, self.marks_kept = 1, 2
        server.stop()
        for step in STEPS:
            server.to_the_point(step, self.undone)
        server.start()
        self.serve()

    def serve(self):
        marks = int(self.server.sql("SELECT count(*) FROM shop.marks", "shop"))
        if marks != self.marks_served:
            raise RuntimeError(f"{marks} marks are served, and not {self.marks_served}")
        self.marks_served += 1
        self.server.sql("INSERT INTO shop.marks DEFAULT VALUES", "shop")
        self.server.archive_all()

    def step(self, step, uid, **request):
        return self.server.step(step, uid, pointInTime={"latest": True}, undo=True, undoneUID=self.undone, **request)["all"]

    def undo(self):
        server = self.server
        self.count += 1
        uid = f"undo-{self.count}"
        settle()
        started = time.monotonic()
        seconds = {step: self.step(step, uid, host="127.0.0.1") for step in ("preflight", "quiesce")}
        before = time.monotonic()
        server.stop()
        seconds["stop"] = time.monotonic() - before
        for step in STEPS:
            with Swap(server.data) as swap:
                seconds[step] = self.step(step, uid)
        seconds["swap"] = swap.seconds
        before = time.monotonic()
        server.start()
        ended = time.monotonic()
        seconds.update(start=ended - before, seconds=ended - started)
        self.undone = uid
        self.marks_served, self.marks_kept = self.marks_kept, self.marks_served
        self.serve()
        return seconds


def median_of(results, key):
    return statistics.median(result[key] for result in results)


def each_of(results, key):
    return ", ".join(f"{result[key]:.1f}" for result in results)


def judged(holds):
    return "held" if holds else "MISSED"


def parts_of_step(results, step):
    """Medians of the step, and in it of what ran for longer than a moment."""
    whole, names = statistics.median(r["steps"][step]["all"] for r in results), {}
    for name in {name for r in results for name in r["steps"][step]} - {"all"}:
        names[name] = statistics.median(r["steps"][step].get(name, 0) for r in results)
    told = ", ".join(f"{name} {seconds:.1f}" for name, seconds in sorted(names.items(), key=lambda n: -n[1]) if seconds >= 0.1)
    return f"`{step}` {whole:.1f} s ({told})"


def report_restores(server, runs):
    median = {way: median_of(results, "seconds") for way, results in runs.items()}
    print(f"\nDatabases of {server.bytes / 1e9:.2f} GB with data checksums, {server.wal_bytes / 1e9:.2f} GB of WAL after the backup; "
          f"process-max {usable_processors()}, lz4.\n")
    print("| way | median s | each s | time, bare = 1 |\n| --- | --- | --- | --- |")
    for way, results in runs.items():
        print(f"| {way} | {median[way]:.1f} | {each_of(results, 'seconds')} | {median[way] / median['bare']:.2f} |")
    allowed = median["bare"] * ALLOWED_RATIO + ALLOWED_SECONDS
    print(f"\nGoal, at most 5 % and 10 s more than bare: {median['dbrestore']:.1f} s of {allowed:.1f} s, "
          f"{judged(median['dbrestore'] <= allowed)}. bare (medians): restore {median_of(runs['bare'], 'restore'):.1f} s, "
          f"start until promoted {median_of(runs['bare'], 'start'):.1f} s. dbrestore (medians, in brackets what ran in it, looked at "
          f"20 times a second): {', '.join(parts_of_step(runs['dbrestore'], step) for step in STEPS)}. "
          f"`pg_checksums`, not in these figures: {median_of(runs['dbrestore'], 'checksums'):.1f} s. "
          f"The agent's own memory at its peak: {server.agent.peak_bytes / 2**20:.0f} MiB.")


def report_undos(undos):
    print("\n| Undo at | " + " | ".join(PARTS_OF_UNDO[:-1]) + " | all, median s | each s |")
    print("| --- " * (len(PARTS_OF_UNDO) + 2) + "|")
    for size, results in undos:
        print(f"| {size / 1e9:.2f} GB | " + " | ".join(f"{median_of(results, part):.2f}" for part in PARTS_OF_UNDO) +
              f" | {each_of(results, 'seconds')} |")
    swap = max(result["swap"] for _, results in undos for result in results)
    longest = max(result["seconds"] for _, results in undos for result in results)
    medians = [median_of(results, "seconds") for _, results in undos]
    apart = max(medians) - min(medians)
    print(f"\nGoals: swap at most 1 s: {swap:.2f} s at most, {judged(swap <= 1)}; from preflight to accepted connections, without the "
          f"start of pods, at most 20 s: {longest:.1f} s at most, {judged(longest <= 20)}; sizes within 2 s of each other: medians "
          f"{apart:.1f} s apart, {judged(apart <= 2)}.")


def measure_restores(folder, closing, store, arguments):
    server = ArchivingServer(folder / "main", closing, store, arguments.scale, arguments.scale * WAL_BYTES_PER_KB)
    restores = Restores(server)
    runs = parts.take_in_turn({"bare": restores.bare, "dbrestore": restores.dbrestore}, arguments.pairs)
    server.remove()
    return server, runs


def measure_undos(folder, closing, store, scale, times):
    server = ArchivingServer(folder / f"undo-{scale}", closing, store, scale, WAL_BYTES_BEFORE_UNDO)
    way = f"Undo, {server.bytes / 1e9:.2f} GB"
    runs = parts.take_in_turn({way: Undos(server).undo}, times)
    server.remove()
    return server.bytes, runs[way]


def measure_clones(folder, closing, store, scale, pairs):
    ways = {way: Clones(folder, closing, store, way, scale) for way in ("full", "clone")}
    runs = parts.take_in_turn({way: clones.restore for way, clones in ways.items()}, pairs)
    for clones in ways.values():
        clones.server.remove()
    return ways["clone"], runs


def report_clones(clones, runs):
    print(f"\nOn xfs, {clones.server.bytes / 1e9:.2f} GB, {clones.share:.1%} of the blocks changed, in one table:\n")
    print("| `prepare` | median s | each s | sent by the store, MB | taken of the volume, MB |\n| --- | --- | --- | --- | --- |")
    for way, results in runs.items():
        print(f"| {way} | {median_of(results, 'seconds'):.1f} | {each_of(results, 'seconds')} | {median_of(results, 'sent') / 1e6:.0f} | "
              f"{median_of(results, 'taken') / 1e6:.0f} |")
    ratio = {key: median_of(runs["clone"], key) / median_of(runs["full"], key) for key in ("seconds", "sent", "taken")}
    print(f"\nclone / full: {ratio['seconds']:.2f} of the time, {ratio['sent']:.3f} of the transfer, {ratio['taken']:.3f} of the space.")


def main():
    parser = parts.arguments_parser(__doc__, "the size of the databases in kB; a quarter of that is WAL to replay")
    parser.add_argument("--undo-scales", type=int, nargs="+", default=[1_000_000, 8_000_000],
                        help="the same of the servers of which a restore is undone (default 1 GB and 8 GB)")
    parser.add_argument("--clone-scale", type=int, default=1_000_000, help="of the server on a volume that can clone (default 1 GB)")
    arguments = parser.parse_args()
    with parts.place(arguments.folder) as (folder, closing):
        store = parts.Store(folder, closing)
        server, runs = measure_restores(folder, closing, store, arguments)
        clones = measure_clones(folder, closing, store, arguments.clone_scale, arguments.pairs)
        undos = [measure_undos(folder, closing, store, scale, arguments.pairs) for scale in arguments.undo_scales]
    print(f"\n`hack/bench {' '.join(['point-in-time', *sys.argv[1:]])}` {parts.surroundings()}, {run(PGBACKREST, 'version').strip()}.")
    report_restores(server, runs)
    report_clones(*clones)
    report_undos(undos)


sys.exit(main())
