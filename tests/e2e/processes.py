"""Processes in pods as the host sees them: what a test stops, continues and kills to be a bad day."""

import concurrent.futures
import os
import re
import select
import signal
import threading
import time


def command_of(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().decode(errors="replace").rstrip("\0").split("\0")


def environment_of(pid):
    with open(f"/proc/{pid}/environ", "rb") as file:
        entries = file.read().decode(errors="replace").split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def find_process(matches, settled=None):
    """The first process that matches by its command and its id, or None. Who looks again passes the same set
    `settled`, in which it keeps the processes that stay what they are."""
    settled = set() if settled is None else settled
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or entry in settled:
            continue
        try:
            words = command_of(entry)
            if matches(words, entry):
                return int(entry)
            if words[0] and "runc" not in words[0]:  # what runc starts becomes a container's own program
                settled.add(entry)
        except OSError:
            continue
    return None


class Held:
    """A process under the test's hand. It is known by a pidfd, so that no other process is ever hit."""

    all_held = []

    def __init__(self, pid):
        self.pid = pid
        self.handle = os.pidfd_open(pid)
        Held.all_held.append(self)

    def send(self, number):
        signal.pidfd_send_signal(self.handle, number)

    def stop(self):
        self.send(signal.SIGSTOP)

    def resume(self):
        self.send(signal.SIGCONT)

    def kill(self):
        self.send(signal.SIGKILL)

    def wait_until_ended(self, timeout_seconds=30):
        if not select.select([self.handle], [], [], timeout_seconds)[0]:
            raise AssertionError(f"process {self.pid} did not end within {timeout_seconds} s")

    @classmethod
    def resume_all(cls):
        """So that a test that failed leaves no process behind that answers nothing."""
        for held in cls.all_held:
            try:
                held.resume()
            except ProcessLookupError:
                pass
            os.close(held.handle)
        cls.all_held.clear()


def runs_in_the_pod_of(pid, program):
    """Whether the process has company of that name: everything else in its pod's PID namespace."""
    namespace = os.readlink(f"/proc/{pid}/ns/pid")

    def is_beside(words, entry):
        return (
            os.path.basename(words[0]).rstrip(":") == program
            and os.readlink(f"/proc/{entry}/ns/pid") == namespace
        )

    return find_process(is_beside) is not None


def agent_in(pods):
    """Matches the process of an agent whose pod's name is matched by this pattern."""

    def matches(words, entry):
        is_agent = len(words) == 2 and words[0].endswith("/dbrestore-agent")
        return is_agent and re.match(pods, environment_of(entry).get("HOSTNAME", "")) is not None

    return matches


def pods_of(restore_uid, step):
    """A pattern of the names of the pods of a step. The step `verify` is not `verify-live`."""
    return rf"dbr-{restore_uid[:8]}-{step}-\d+-"


def catch_agent(restore_uid, step, beside=None, timeout_seconds=90):
    """Stops the agent as it begins a step or, if `beside` is given, once that program runs with it."""
    is_agent = agent_in(pods_of(restore_uid, step))
    deadline = time.monotonic() + timeout_seconds
    held, settled = None, set()
    while time.monotonic() < deadline:
        if held is None:
            pid = find_process(is_agent, settled)
            held = Held(pid) if pid is not None else None
        if held is not None and (beside is None or runs_in_the_pod_of(held.pid, beside)):
            held.stop()
            return held
        time.sleep(0.01)
    raise AssertionError(f"no agent ({beside=}) was at the step {step} within {timeout_seconds} s")


def catch_pgbackrest(restore_uid, does, timeout_seconds=90):
    """Stops the pgBackRest that fills the copy of a restore: one that copies files, or fetches a segment of WAL."""

    def matches(words, entry):
        if os.path.basename(words[0]) != "pgbackrest" or not any(restore_uid in word for word in words):
            return False
        return words[-1] == "restore:local" if does == "copies" else re.fullmatch("[0-9A-F]{24}", words[-2]) is not None

    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        pid = find_process(matches)
        if pid is not None:
            held = Held(pid)
            held.stop()
            return held
        time.sleep(0.01)
    raise AssertionError(f"no pgBackRest {does} within {timeout_seconds} s")


class Traps:
    """Stops many agents, each as it begins its step. A thread of its own looks at new processes again and again,
    since some steps last for milliseconds only. A trap is to be set before its step begins."""

    interval_seconds = 0.002
    new_for_seconds = 10

    def __init__(self):
        self.set_traps = {}
        self.caught = {}
        self.changed = threading.Condition()
        self.done = False
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *failure):
        self.done = True
        self.thread.join()

    def set(self, restore_uid, step):
        with self.changed:
            self.set_traps[restore_uid, step] = agent_in(pods_of(restore_uid, step))

    def wait(self, restore_uid, step, timeout_seconds=120):
        with self.changed:
            trap = restore_uid, step
            if not self.changed.wait_for(lambda: trap in self.caught, timeout_seconds):
                raise AssertionError(f"no agent began the step {step} within {timeout_seconds} s")
            return self.caught[trap]

    def watch(self):
        first_seen = {}
        while not self.done:
            now = time.monotonic()
            there = [entry for entry in os.listdir("/proc") if entry.isdigit()]
            first_seen = {entry: first_seen.get(entry, now) for entry in there}
            # A container's process is one of runc first, so one look at it is not enough.
            for entry, since in first_seen.items():
                if now - since < self.new_for_seconds:
                    self.look_at(entry)
            time.sleep(self.interval_seconds)

    def look_at(self, entry):
        try:
            words = command_of(entry)
            for trap, matches in list(self.set_traps.items()):
                if matches(words, entry):
                    self.catch(trap, int(entry))
        except OSError:
            pass  # it has ended

    def catch(self, trap, pid):
        held = Held(pid)
        held.stop()
        with self.changed:
            del self.set_traps[trap]
            self.caught[trap] = held
            self.changed.notify_all()


def at_once(function, items):
    """The results in the order of the items. Most of what a test does is waiting."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=16) as pool:
        return list(pool.map(function, items))
