"""Processes in pods as the host sees them: what a test stops, continues and kills to be a bad day."""

import os
import signal
import time


def command_of(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().decode(errors="replace").rstrip("\0").split("\0")


def environment_of(pid):
    with open(f"/proc/{pid}/environ", "rb") as file:
        entries = file.read().decode(errors="replace").split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def find_process(matches):
    """The first process whose command and environment match, or None."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            if matches(command_of(entry), lambda entry=entry: environment_of(entry)):
                return int(entry)
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


def catch_agent(restore_uid, step, timeout_seconds=90, after_seconds=0.0):
    """Waits until the agent begins a step of a restore, and stops it there, or so long after its birth."""

    def is_agent(words, environment):
        if len(words) != 2 or not words[0].endswith("/dbrestore-agent") or words[1] != step:
            return False
        return restore_uid in environment().get("DBRESTORE_REQUEST", "")

    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        pid = find_process(is_agent)
        if pid is not None:
            held = Held(pid)
            time.sleep(after_seconds)
            held.stop()
            return held
        time.sleep(0.02)
    raise AssertionError(f"no agent began the step {step} within {timeout_seconds} s")
