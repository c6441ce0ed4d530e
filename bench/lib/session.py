# SPDX-License-Identifier: Apache-2.0
"""One run over all file systems: rounds, steps, measurements."""

import json
import mmap
import os
import sys
import time
from collections import defaultdict

from process import Failed, Hung, available_bytes, cpu_seconds, resident_mib, run

JOBS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "jobs")
MAX_FAILURES = 3


class Bench:
    """What a workload group sees: one file system, and how to measure steps on it."""

    def __init__(self, session, fs, number):
        self.session = session
        self.fs = fs
        self.round = number
        self.settings = session.settings
        self.tarball, self.small_tarball = session.tarballs

    def path(self, name):
        return os.path.join(self.fs.mnt, name) if name else self.fs.mnt

    def shell(self, command, **more):
        return run(command, self.settings.timeout, **more)

    def mkdir(self, name):
        self.shell(["mkdir", self.path(name)])

    def remove(self, *names):
        self.shell(["rm", "-rf", *(self.path(name) for name in names)])

    def flush(self):
        """So that one step's writeback is not in the next one's time."""
        self.shell(["sync", "-f", self.fs.mnt])
        if self.fs.mnt != self.fs.backing:
            self.shell(["sync", "-f", self.fs.backing])

    def remount(self):
        self.fs.remount()

    def drop_caches(self):
        self.flush()
        if self.session.can_drop:
            with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
                file.write("3")
        else:
            self.remount()

    def timed(self, name, command, **more):
        """Measures the seconds that a command takes."""
        cpu, start = cpu_seconds(self.fs.pids), time.perf_counter()
        self.shell(command, **more)
        taken = time.perf_counter() - start
        self.session.record(name, self.fs, taken, cpu_seconds(self.fs.pids) - cpu)

    def rate(self, name, count, command, **more):
        """Measures operations per second; the command prints its seconds."""
        cpu = cpu_seconds(self.fs.pids)
        taken = float(self.shell(command, **more).split()[-1])
        self.session.record(name, self.fs, count / taken, cpu_seconds(self.fs.pids) - cpu)

    def fio(self, job, name=None, clients=8, record=True):
        s, name = self.settings, name or job
        jobs = clients if job.startswith("clients") else 8 if job.endswith("-8") else 1
        env = {"BENCH_DIR": self.fs.mnt, "BENCH_SIZE": f"{s.file_mib}m",
               "BENCH_IO": f"{s.io_mib * 1024 // jobs}k", "BENCH_CAP": f"{s.cap}s",
               "BENCH_CLIENTS": str(clients)}
        cpu = cpu_seconds(self.fs.pids)
        try:
            out = self.shell(["fio", "--output-format=json", os.path.join(JOBS, job + ".fio")],
                             env=env, cwd=self.session.scratch)
        except Hung:
            raise
        except Failed as error:  # not every file system has O_DIRECT everywhere
            self.session.note(self.fs, name, error)
            return
        cpu = cpu_seconds(self.fs.pids) - cpu
        if not record:
            return
        result = json.loads(out[out.index("{"):])["jobs"][0]
        way = result["read"] if result["read"]["total_ios"] else result["write"]
        whole = s.file_mib if job.startswith("seq") else s.io_mib
        # of what was cut short by the time limit, as if it had gone on
        cpu *= max(1.0, whole * 2**20 / max(1, way["io_bytes"]))
        value = way["bw_bytes"] / 1e6 if job.startswith("seq") else way["iops"]
        self.session.record(name, self.fs, value, cpu)


class Session:
    def __init__(self, settings, filesystems, groups, scratch, tarballs, say):
        self.settings = settings
        self.filesystems = list(filesystems)
        self.groups = groups
        self.scratch = scratch
        self.tarballs = tarballs
        self.say = say
        self.can_drop = os.access("/proc/sys/vm/drop_caches", os.W_OK)
        self.values = defaultdict(lambda: defaultdict(list))
        self.cpu = defaultdict(lambda: defaultdict(list))
        self.failures = defaultdict(list)
        self.nr_restarts = defaultdict(int)
        self.memory = {}
        self.idle = {}
        self.taken = defaultdict(float)
        self.seconds = 0.0

    def record(self, name, fs, value, cpu):
        self.values[name][fs.name].append(value)
        self.cpu[name][fs.name].append(cpu)

    def warm_memory(self):
        """Pages that a virtual machine touches for the first time are slow."""
        size = min(self.settings.touch_mib * 2**20, available_bytes() // 2)
        with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as area:
            for at in range(0, size, 4096):
                area[at] = 1

    def note(self, fs, what, error):
        self.failures[fs.name].append(f"{what}: {error}")
        self.say(f"\n{fs.name}: {what}: {error}")

    def fail(self, fs, what, error):
        """Starts over with an empty file system, or does without it."""
        self.note(fs, what, error)
        self.nr_restarts[fs.name] += 1
        if isinstance(error, Hung) and hasattr(fs, "abort"):
            fs.abort()
        fs.destroy()
        if self.nr_restarts[fs.name] < MAX_FAILURES:
            try:
                fs.make()
                return
            except (Failed, OSError) as again:
                self.note(fs, "mount", again)
                fs.destroy()
        self.filesystems.remove(fs)

    def run_round(self, number):
        """A B C, then B C A: what drifts hits all alike."""
        for group in self.groups:
            start = time.monotonic()
            self.warm_memory()
            shift = number % max(1, len(self.filesystems))
            for fs in self.filesystems[shift:] + self.filesystems[:shift]:
                self.say(f"\rround {number + 1} of {self.settings.rounds}: "
                         f"{group.__name__} on {fs.name}".ljust(60), end="")
                try:
                    group(Bench(self, fs, number))
                except (Failed, OSError, ValueError, LookupError) as error:
                    self.fail(fs, group.__name__, error)
            self.taken[group.__name__] += time.monotonic() - start

    def look_at_daemons(self):
        """Memory after the work, and what is used when there is none."""
        time.sleep(2)
        before = {fs.name: cpu_seconds(fs.pids) for fs in self.filesystems}
        time.sleep(self.settings.idle_s)
        for fs in self.filesystems:
            if not fs.pids:
                continue
            used = cpu_seconds(fs.pids) - before[fs.name]
            self.idle[fs.name] = 100 * used / self.settings.idle_s
            self.memory[fs.name] = [round(resident_mib(pid), 1) for pid in fs.pids]

    def run(self):
        start = time.monotonic()
        try:
            for fs in list(self.filesystems):
                try:
                    fs.make()
                except (Failed, OSError) as error:
                    self.note(fs, "mount", error)
                    fs.destroy()
                    self.filesystems.remove(fs)
            for number in range(self.settings.rounds):
                self.run_round(number)
            self.look_at_daemons()
            self.say("\r" + " " * 60 + "\r", end="")
        finally:
            for fs in self.filesystems:
                fs.destroy()
            self.seconds = time.monotonic() - start
            sys.stdout.flush()
