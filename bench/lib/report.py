# SPDX-License-Identifier: Apache-2.0
"""What came out, for people and for programs."""

import csv
import json
import math
import os
import shutil
import statistics
import subprocess
from collections import Counter

from process import read
from workloads import WORKLOADS

PLOT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "plot.gp")


def git(*words):
    try:
        return subprocess.run(["git", "-c", "safe.directory=*", *words], capture_output=True, timeout=10,
                              cwd=os.path.dirname(PLOT), check=True).stdout.decode().strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def describe_machine():
    cpu = [line.partition(":")[2].strip() for line in read("/proc/cpuinfo").splitlines()
           if line.startswith("model name")]
    memory = read("/proc/meminfo").split()
    return {"cpu": cpu[0] if cpu else os.uname().machine, "cores": os.cpu_count(),
            "memory_mib": int(memory[1]) // 1024 if len(memory) > 1 else None,
            "kernel": os.uname().release, "load_before": round(os.getloadavg()[0], 2),
            "commit": git("rev-parse", "--short=12", "HEAD"),
            "changed": git("status", "--porcelain") not in ("", "unknown")}


def summarize(values):
    middle = statistics.median(values)
    return {"median": middle, "rounds": values,
            "spread_percent": round(50 * (max(values) - min(values)) / middle, 1)}


def speedup(workload, ours, theirs):
    """How many times as fast as the other; above 1 is faster."""
    return theirs / ours if workload.unit == "s" else ours / theirs


def geometric_mean(ratios):
    return math.exp(statistics.fmean(map(math.log, ratios))) if ratios else None


def draw(program, **variables):
    """Returns what went wrong."""
    sets = "; ".join(f"{name} = {json.dumps(value)}" for name, value in variables.items())
    done = subprocess.run(["gnuplot", "-e", sets, program], capture_output=True, timeout=60,
                          check=False)
    return [] if done.returncode == 0 else ["gnuplot: " + done.stderr.decode().strip()]


class Report:
    KNOWN = WORKLOADS
    PICTURES = "speed.png, cpu.png"

    def __init__(self, session, settings, machine, versions, backing):
        self.session = session
        self.machine = machine
        self.versions = versions
        self.backing = backing
        self.settings = settings
        self.names = [name for name in versions if any(
            name in session.values[w] for w in session.values)]
        self.workloads = [w for name, w in self.KNOWN.items() if name in session.values]

    def title(self, workload):
        return workload.title.format(**vars(self.settings))

    def median(self, workload, name):
        values = self.session.values[workload.name].get(name)
        return statistics.median(values) if values else None

    def ratio(self, workload, other, name="hsmfs"):
        ours, theirs = self.median(workload, name), self.median(workload, other)
        return speedup(workload, ours, theirs) if ours and theirs else None

    def means(self, other):
        ratios = [r for w in self.workloads if (r := self.ratio(w, other))]
        return geometric_mean(ratios)

    def others(self):
        return [n for n in self.names if n not in ("native", "hsmfs")]

    def as_json(self):
        results = [{
            "workload": w.name, "title": self.title(w), "unit": w.unit,
            "better": "less" if w.unit == "s" else "more",
            "filesystems": {name: dict(
                summarize(self.session.values[w.name][name]),
                daemon_cpu_s=round(statistics.median(self.session.cpu[w.name][name]), 3))
                for name in self.names if name in self.session.values[w.name]},
            "hsmfs_speedup": {n: self.ratio(w, n) for n in self.others()}}
            for w in self.workloads]
        return {"machine": self.machine, "versions": self.versions,
                "backing": self.backing, "settings": vars(self.settings),
                "results": results,
                "geometric_mean_speedup": {n: self.means(n) for n in self.others()},
                "resident_mib": self.session.memory,
                "idle_cpu_percent": self.session.idle,
                "failures": self.session.failures,
                "seconds": {**self.session.taken, "all": self.session.seconds}}

    def write_csv(self, path):
        with open(path, "w", encoding="utf-8", newline="") as file:
            out = csv.writer(file)
            out.writerow(["workload", "unit", "filesystem", "median", "spread_percent",
                          "daemon_cpu_s", "speed_vs_passthrough", "speed_vs_gocryptfs"])
            for w in self.workloads:
                for name in self.names:
                    values = self.session.values[w.name].get(name)
                    if not values:
                        continue
                    summary = summarize(values)
                    ratios = [self.ratio(w, other, name)
                              for other in ("passthrough", "gocryptfs")]
                    out.writerow([w.name, w.unit, name, f"{summary['median']:.4g}",
                                  summary["spread_percent"],
                                  round(statistics.median(self.session.cpu[w.name][name]),
                                        3),
                                  *(f"{r:.3f}" if r else "" for r in ratios)])

    def plot(self, folder):
        if not shutil.which("gnuplot"):
            return ["gnuplot is not installed: no plots"]
        if "passthrough" not in self.names:
            return ["no plots: they are relative to the passthrough, which did not run"]
        shown = [n for n in self.names if n not in ("native", "passthrough")]
        data = os.path.join(folder, "plot.tsv")
        with open(data, "w", encoding="utf-8") as file:
            print("workload", *shown, *(n + "-cpu" for n in shown), sep="\t", file=file)
            for w in self.workloads:
                cpu = self.session.cpu[w.name]
                speeds = [self.ratio(w, "passthrough", n) for n in shown]
                costs = [statistics.median(cpu[n]) if n in cpu else None for n in shown]
                print(w.name, *("?" if v is None else f"{v:.4f}" for v in speeds + costs),
                      sep="\t", file=file)
        return draw(PLOT, data=data, folder=folder, nr=len(shown))

    def write(self, folder):
        """results.json, results.csv, table.txt and plots. Returns what went wrong."""
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "results.json"), "w", encoding="utf-8") as file:
            json.dump(self.as_json(), file, indent=2)
            file.write("\n")
        self.write_csv(os.path.join(folder, "results.csv"))
        with open(os.path.join(folder, "table.txt"), "w", encoding="utf-8") as file:
            file.write(self.table())
        return self.plot(folder)

    def table(self):
        lines = [self.heading(), "", "Speed, median and half the spread:"]
        lines += layout([["workload", "unit", *self.names,
                          *("/" + n for n in self.others())]]
                        + [self.speed_row(w) for w in self.workloads]
                        + [["geometric mean of hsmfs' speed", "",
                            *("" for _ in self.names),
                            *(factor(self.means(n)) for n in self.others())]])
        lines += ["", "CPU seconds of all daemons of a file system, medians:"]
        daemons = [n for n in self.names if n != "native"]
        lines += layout([["workload", *daemons]]
                        + [self.cpu_row(w, daemons) for w in self.workloads]
                        + [["resident MiB of each daemon after all",
                            *(" + ".join(map(str, self.session.memory.get(n, ["-"])))
                              for n in daemons)],
                           ["idle CPU, %", *(f"{self.session.idle[n]:.1f}"
                                             if n in self.session.idle else "-"
                                             for n in daemons)]])
        return "\n".join(lines + self.ending()) + "\n"

    def ending(self):
        """What failed, and how long it took."""
        taken = self.session.taken
        parts = ", ".join(f"{name} {seconds:.0f}" for name, seconds in taken.items())
        failures = ((name, text, times) for name, texts in self.session.failures.items()
                    for text, times in Counter(texts).items())
        return ([f"{name} failed: {text}" + (f" ({times} times)" if times > 1 else "")
                 for name, text, times in failures]
                + ["", f"Seconds taken: {parts}; in all {self.session.seconds:.0f}"])

    def heading(self):
        m = self.machine
        versions = ", ".join(f"{n} {v}" for n, v in self.versions.items() if n != "native")
        return (f"{m['cpu']}, {m['cores']} cores, Linux {m['kernel']}, backing store "
                f"{self.backing}\ncommit {m['commit']}{' (changed)' if m['changed'] else ''}, "
                f"{versions}\n{self.settings.rounds} rounds, load before {m['load_before']}"
                "; /NAME: hsmfs' speed as a multiple of NAME's")

    def speed_row(self, workload):
        cells = []
        for name in self.names:
            values = self.session.values[workload.name].get(name)
            cells.append("-" if not values else
                         f"{number(statistics.median(values), workload.unit)} "
                         f"±{summarize(values)['spread_percent']:.0f}%")
        return [self.title(workload), workload.unit, *cells,
                *(factor(self.ratio(workload, n)) for n in self.others())]

    def cpu_row(self, workload, daemons):
        cpu = self.session.cpu[workload.name]
        return [self.title(workload), *(f"{statistics.median(cpu[n]):.2f}"
                                        if n in cpu else "-" for n in daemons)]


def number(value, unit):
    if unit == "s":
        return f"{value:.3f}" if value < 1 else f"{value:.2f}"
    return f"{value / 1000:.1f}k" if value >= 10000 else f"{value:.0f}"


def factor(ratio):
    return f"{ratio:.2f}" if ratio else "-"


def layout(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join([row[0].ljust(widths[0])]
                      + [cell.rjust(w) for cell, w in zip(row[1:], widths[1:])]).rstrip()
            for row in rows]
