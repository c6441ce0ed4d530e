# SPDX-License-Identifier: Apache-2.0
"""Running programs that may hang on a file system that does, and what daemons use."""

import os
import signal
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """A program failed; the message says how."""


class Hung(Failed):
    """A program did not end in time."""


def run(command, timeout, env=None, cwd=None, stdin=b""):
    """Runs a program to its end and returns its standard output; Failed or Hung."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=dict(os.environ, **(env or {})), cwd=cwd, start_new_session=True)
    try:
        out, err = process.communicate(stdin, timeout)
    except subprocess.TimeoutExpired:
        kill_group(process)
        raise Hung(f"{command[0]} took more than {timeout} s") from None
    except BaseException:
        kill_group(process)
        raise
    if process.returncode:
        lines = err.decode(errors="replace").strip().splitlines() or ["no message"]
        raise Failed(f"{command[0]} ended with {process.returncode}: {lines[-1]}")
    return out.decode(errors="replace")


def kill_group(process):
    """A program that sleeps in a dead file system stays until that is aborted."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            pipe.close()
    try:
        process.wait(2)
    except subprocess.TimeoutExpired:
        pass


def stop(pid, name, patience=5):
    """Ends the process, if it is still the one called @name."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if comm(pid) != name:
            return
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        wait_gone(pid, patience)


def wait_gone(pid, patience):
    until = time.monotonic() + patience
    while time.monotonic() < until and state(pid) not in ("", "Z"):
        time.sleep(0.02)


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def comm(pid):
    return read(f"/proc/{pid}/comm").strip()


def state(pid):
    return read(f"/proc/{pid}/stat").rpartition(")")[2].strip()[:1]


def cpu_seconds(pids):
    """User and system time of the processes so far, of all their threads."""
    total = 0
    for pid in pids:
        fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        if len(fields) > 12:
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def resident_mib(pid):
    for line in read(f"/proc/{pid}/status").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def available_bytes():
    """Of memory."""
    for line in read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0
