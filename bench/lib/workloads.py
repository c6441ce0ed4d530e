# SPDX-License-Identifier: Apache-2.0
"""
The workloads. Each group is a chain of steps of which some are measured, run on one file
system in one round; what it makes it removes.
"""

import os
from collections import namedtuple

# @unit "s": less is better, else more is.
Workload = namedtuple("Workload", "name title unit")

WORKLOADS = {w.name: w for w in (
    Workload("seq-write", "sequential write 1 MiB + fsync", "MB/s"),
    Workload("seq-read", "sequential read 1 MiB, caches dropped", "MB/s"),
    Workload("rand-read-1", "random read 4 KiB O_DIRECT, depth 1", "op/s"),
    Workload("rand-read-8", "random read 4 KiB O_DIRECT, 8 threads", "op/s"),
    Workload("rand-write-1", "random write 4 KiB O_DIRECT, depth 1", "op/s"),
    Workload("rand-write-8", "random write 4 KiB O_DIRECT, 8 threads", "op/s"),
    Workload("rand-write-buffered", "buffered random write 4 KiB + fsync", "op/s"),
    Workload("untar", "untar of {files} files", "s"),
    Workload("ls", "ls -lR after remount", "s"),
    Workload("read-all", "read all files, caches dropped", "s"),
    Workload("rm", "rm -rf", "s"),
    Workload("create", "create 4 KiB files", "op/s"),
    Workload("cold-read", "cold read 1 MiB from the disk", "MB/s"),
    Workload("cold-tree", "cold tar of the tree from the disk", "s"),
    Workload("mmap-read", "mmap random read 4 KiB, caches dropped", "op/s"),
    Workload("mmap-write", "mmap random write 4 KiB + msync", "op/s"),
    Workload("sqlite", "sqlite: {rows} transactions, then a query", "s"),
    Workload("git", "git: add, commit, clone, gc of {git_files} files", "s"),
    Workload("dd-write", "dd 128 KiB x {blocks}, write", "s"),
    Workload("dd-read", "dd 128 KiB x {blocks}, read", "s"),
    Workload("tar-x", "tar x of {files} files, after dd", "s"),
    Workload("md5", "md5sum of all of them", "s"),
    Workload("ls-lr", "ls -lR of them", "s"),
    Workload("rm-rf", "rm -Rf of them", "s"),
)}


def data_file(b):
    b.fio("seq-write")
    b.drop_caches()
    b.fio("seq-read")
    for job in ("rand-read-1", "rand-read-8", "rand-write-1", "rand-write-8",
                "rand-write-buffered"):
        b.fio(job)
        b.flush()
    b.remove("data")


def tree(b):
    b.mkdir("tree")
    b.timed("untar", ["tar", "xf", b.tarball, "-C", b.path("tree")])
    b.flush()
    b.remount()
    b.drop_caches()
    b.timed("ls", ["ls", "-lR", b.path("tree")])
    b.drop_caches()
    b.timed("read-all", ["sh", "-c", "find . -type f -print0 | xargs -0 cat >/dev/null"],
            cwd=b.path("tree"))
    b.timed("rm", ["rm", "-rf", b.path("tree")])


def create(b):
    helper = os.path.join(os.path.dirname(__file__), "create_files.py")
    b.rate("create", b.settings.creates, ["python3", helper, b.path("new"),
                                          str(b.settings.creates), "4096"])
    b.flush()
    b.remove("new")


def mapped(b):
    b.fio("seq-write", record=False)
    b.drop_caches()
    b.fio("mmap-read")
    b.fio("mmap-write")
    b.remove("data")


def cold(b):
    """Only where the backing store is a disk and its cache can be dropped."""
    b.fio("seq-write", record=False)
    b.mkdir("tree")
    b.shell(["tar", "xf", b.tarball, "-C", b.path("tree")])
    b.remount()
    b.drop_caches()
    b.fio("seq-read", name="cold-read")
    b.drop_caches()
    b.timed("cold-tree", ["sh", "-c", "tar cf - . | cat >/dev/null"], cwd=b.path("tree"))
    b.remove("tree", "data")


def sqlite(b):
    rows = b.settings.rows
    script = "".join(
        ["CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, body BLOB);\n"
         "CREATE INDEX i ON t(name);\n"]
        + [f"INSERT INTO t(name, body) VALUES('row {i * 7919 % rows}', "
           "randomblob(500));\n" for i in range(rows)]
        + ["SELECT count(*), sum(length(body)) FROM t WHERE name < 'row 5';\n"])
    b.timed("sqlite", ["sqlite3", "-batch", b.path("db")], stdin=script.encode())
    b.remove("db")


GIT_STEPS = """
export HOME="$PWD" GIT_CONFIG_NOSYSTEM=1
git init -q work && cd work && git config user.name b && git config user.email b@localhost
tar xf "$1" && git add . && git commit -q -m all && git status -s
cd .. && git clone -q --no-local work clone && cd clone && git status -s && git gc -q
"""


def git(b):
    b.mkdir("git")
    b.timed("git", ["sh", "-ec", GIT_STEPS, "git", b.small_tarball], cwd=b.path("git"))
    b.remove("git")


def published(b):
    """The steps of the benchmark that gocryptfs publishes."""
    zero, blocks = b.path("zero"), f"count={b.settings.blocks}"
    b.timed("dd-write", ["dd", "if=/dev/zero", f"of={zero}", "bs=131072", blocks])
    b.flush()
    b.drop_caches()
    b.timed("dd-read", ["dd", f"if={zero}", "of=/dev/null", "bs=131072", blocks])
    b.remove("zero")
    b.mkdir("tree")
    b.timed("tar-x", ["tar", "xf", b.tarball, "-C", b.path("tree")])
    b.timed("md5", ["sh", "-c", "find . -type f -print0 | xargs -0 md5sum >/dev/null"],
            cwd=b.path("tree"))
    b.timed("ls-lr", ["ls", "-lR", b.path("tree")])
    b.timed("rm-rf", ["rm", "-Rf", b.path("tree")])


QUICK = (data_file, tree, create)
FULL = QUICK + (mapped, sqlite, git, published)
