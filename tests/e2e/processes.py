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
    """The first process that matches by its command and its id, or None."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            if matches(command_of(entry), entry):
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


def runs_in_the_pod_of(pid, program):
    """Whether the process has company of that name: everything else in its pod's PID namespace."""
    namespace = os.readlink(f"/proc/{pid}/ns/pid")

    def is_beside(words, entry):
        return (
            os.path.basename(words[0]).rstrip(":") == program
            and os.readlink(f"/proc/{entry}/ns/pid") == namespace
        )

    return find_process(is_beside) is not None


def catch_agent(restore_uid, step, beside=None, timeout_seconds=90):
    """Stops the agent as it begins a step or, if `beside` is given, once that program runs with it."""

    def is_agent(words, entry):
        if len(words) != 2 or not words[0].endswith("/dbrestore-agent") or words[1] != step:
            return False
        return restore_uid in environment_of(entry).get("DBRESTORE_REQUEST", "")

    deadline = time.monotonic() + timeout_seconds
    held = None
    while time.monotonic() < deadline:
        if held is None:
            pid = find_process(is_agent)
            held = Held(pid) if pid is not None else None
        if held is not None and (beside is None or runs_in_the_pod_of(held.pid, beside)):
            held.stop()
            return held
        time.sleep(0.01)
    raise AssertionError(f"no agent ({beside=}) was at the step {step} within {timeout_seconds} s")
