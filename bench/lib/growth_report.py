# SPDX-License-Identifier: Apache-2.0
"""How cost grows, for people: a table for each series, and a picture."""

import os
import shutil

from growth import SERIES, WORKLOADS
from report import Report, draw, factor, layout

PLOT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "growth.gp")
YARDSTICK = "passthrough"


def growth(costs):
    """The last in terms of the first."""
    return costs[-1] / costs[0] if len(costs) > 1 and costs[0] and costs[-1] else None


class GrowthReport(Report):
    KNOWN = WORKLOADS
    PICTURES = "growth.png"

    def costs(self, series, name):
        """Microseconds for each operation, None where there is no figure."""
        rates = (self.median(WORKLOADS[f"{series.name}-{size}"], name) for size in series.sizes)
        return [1e6 / rate if rate else None for rate in rates]

    def shown(self):
        """The series that ran, with the sizes that did."""
        for series in SERIES:
            sizes = [size for size in series.sizes
                     if f"{series.name}-{size}" in self.session.values]
            if sizes:
                yield series._replace(sizes=sizes)

    def series_table(self, series):
        costs = {name: self.costs(series, name) for name in self.names}
        rows = [[series.title, *map(str, series.sizes), "last / first"]]
        rows += [["  " + name, *("-" if c is None else f"{c:.1f}" for c in costs[name]),
                  factor(growth(costs[name]))] for name in self.names]
        if YARDSTICK in self.names:
            yardstick = costs[YARDSTICK] + [growth(costs[YARDSTICK])]
            for name in self.names:
                if name != YARDSTICK:
                    rows += [[f"  {name} / {YARDSTICK}", *(
                        factor(ours / theirs if ours and theirs else None) for ours, theirs
                        in zip(costs[name] + [growth(costs[name])], yardstick))]]
        return rows

    def summary(self):
        """Above 1: hsmfs' cost grows faster, or at the largest is higher."""
        rows = [["cost at the largest of that at the smallest", YARDSTICK, "hsmfs",
                 "hsmfs' of the other's", "cost at the largest"]]
        for series in self.shown():
            ours, theirs = self.costs(series, "hsmfs"), self.costs(series, YARDSTICK)
            grown = [growth(theirs), growth(ours)]
            rows += [[f"{series.title}: {series.sizes[0]} to {series.sizes[-1]}",
                      *map(factor, grown),
                      factor(grown[1] / grown[0] if all(grown) else None),
                      factor(ours[-1] / theirs[-1] if ours[-1] and theirs[-1] else None)]]
        return layout(rows)

    def table(self):
        lines = [self.heading(), "", "Microseconds for each operation, medians:"]
        for series in self.shown():
            lines += [""] + layout(self.series_table(series))
        if {YARDSTICK, "hsmfs"} <= set(self.names):
            lines += [""] + self.summary()
        return "\n".join(lines + self.ending()) + "\n"

    def plot(self, folder):
        """One block of lines for each series: size, then the cost of each file system."""
        if not shutil.which("gnuplot"):
            return ["gnuplot is not installed: no plots"]
        data = os.path.join(folder, "plot.tsv")
        titles = []
        with open(data, "w", encoding="utf-8") as file:
            for series in self.shown():
                titles.append(series.title)
                columns = [self.costs(series, name) for name in self.names]
                print("size", *self.names, sep="\t", file=file)
                for size, *costs in zip(series.sizes, *columns):
                    print(size, *("?" if c is None else f"{c:.3f}" for c in costs), sep="\t",
                          file=file)
                print("\n", file=file)
        return draw(PLOT, data=data, folder=folder, nr=len(self.names),
                    titles="\t".join(titles))
