#!/usr/bin/env python3
"""A dump in a .tar.gz on an S3 server, restored in three ways, one after the other, again and again.

  seed       the procedure that dbrestore replaces: download, tar -xvzf, pg_restore --clean … into the running server
  by hand    the best that a good administrator does on a running server: unpacked while it comes, pg_restore -j into a
             new database, tuned, analyzed, renamed
  dbrestore  prepare, verify and commit of the agent, as its pods run them: from the start of Preparing to the end of
             Committing; preflight, which reads the same backup while the database still runs, has its own column

Prints the table of docs/benchmarks.md. Servers listen on the loopback, everything lies in a temporary folder."""
import os
import shutil
import statistics
import subprocess
import sys
import time

import parts
from parts import BUCKET, KEYS, POSTGRES, REGION, run

UID = "0a1b2c3d-1111-4222-8333-444455556666"


class Bench:
    def __init__(self, folder, closing, scale):
        self.work = folder / "work"
        self.work.mkdir()
        self.server, self.store, self.agent = parts.Server(folder, closing), parts.Store(folder, closing), parts.Agent(folder)
        self.agent.write({"store/credentials/AWS_ACCESS_KEY_ID": KEYS[0], "store/credentials/AWS_SECRET_ACCESS_KEY": KEYS[1],
                          "store/ca/ca.crt": self.store.authority.read_text()})
        self.server.start()
        self.server.fill(scale)
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
        steps = {step: self.step(step) for step in ("prepare", "verify", "commit")}
        self.server.start()
        self.server.sql("DROP DATABASE dbrestore_old_0a1b2c3d")
        shutil.rmtree(self.server.data / ".dbrestore")
        return {"seconds": sum(steps.values()), "preflight": preflight, **steps}

    def step(self, step, **more):
        s3 = {"endpoint": self.store.endpoint, "bucket": BUCKET, "prefix": "nightly", "region": REGION,
              "credentialsSecretRef": {"name": "keys"}, "caSecretRef": {"name": "ca"}}
        seconds = self.agent.step(
            step, self.server, restoreName=f"bench-{time.time_ns()}", restoreUID=UID,
            store={"name": "nightly", "kind": "Scheduled", "s3": s3}, backupName="shop.tar.gz", newDatabase="dbrestore_new_0a1b2c3d",
            oldDatabase="dbrestore_old_0a1b2c3d", role="dbrestore_0a1b2c3d", **more)
        return seconds["all"]


def report(bench, runs, arguments):
    median = {way: statistics.median(r["seconds"] for r in results) for way, results in runs.items()}
    print(f"\n`hack/bench logical --scale {arguments.scale} --pairs {arguments.pairs}` {parts.surroundings()}. "
          f"Database {bench.database_bytes / 1e9:.1f} GB, dump {bench.dump_bytes / 1e6:.0f} MB, "
          f".tar.gz {bench.archive_bytes / 1e6:.0f} MB.\n")
    print("| way | median s | each s | time, seed = 1 | time, by hand = 1 |\n| --- | --- | --- | --- | --- |")
    for way, results in runs.items():
        each = ", ".join(f"{r['seconds']:.1f}" for r in results)
        print(f"| {way} | {median[way]:.1f} | {each} | {median[way] / median['seed']:.2f} | {median[way] / median['by hand']:.2f} |")
    ours = runs["dbrestore"]
    steps = ", ".join(f"{step} {statistics.median(r[step] for r in ours):.1f} s" for step in ("preflight", "prepare", "verify", "commit"))
    print(f"\ndbrestore is {median['seed'] / median['dbrestore']:.2f} times as fast as the seed. Its parts (medians): {steps}. "
          f"The agent's own memory at its peak: {bench.agent.peak_bytes / 2**20:.0f} MiB.")


def main():
    arguments = parts.arguments_parser(__doc__, "orders in the database, 1 kB each").parse_args()
    with parts.place(arguments.folder) as (folder, closing):
        bench = Bench(folder, closing, arguments.scale)
        ways = {"seed": bench.seed, "by hand": bench.by_hand, "dbrestore": bench.dbrestore}
        report(bench, parts.take_in_turn(ways, arguments.pairs), arguments)


sys.exit(main())
