# SPDX-License-Identifier: Apache-2.0
"""How cost grows: series of one operation at growing sizes, and the groups that measure them."""

import os
from collections import namedtuple

from workloads import Workload

CLIENTS = (1, 2, 4, 8, 16)
FILE_KIB = (1, 64, 1024, 65536, 1048576, 16777216)
STREAM_KIB = FILE_KIB[3:]
ENTRIES = (10, 1000, 10000, 100000, 1000000)
FILES = (1000, 10000, 100000, 1000000)

OPERATIONS = 10000       # at least so many, if there are so many
FILES_PER_DIRECTORY = 100
FILE_BYTES = 1024

Series = namedtuple("Series", "name title sizes")

SERIES = (
    Series("clients-read", "random read 4 KiB O_DIRECT, by number of clients", CLIENTS),
    Series("clients-write", "random write 4 KiB O_DIRECT, by number of clients", CLIENTS),
    Series("file-write", "random write 4 KiB O_DIRECT, by KiB of the file", FILE_KIB),
    Series("file-read", "random read 4 KiB O_DIRECT, by KiB of the file", FILE_KIB),
    Series("stream-write", "sequential write + fsync, each MiB, by KiB of the file", STREAM_KIB),
    Series("stream-read", "sequential read, each MiB, by KiB of the file", STREAM_KIB),
    Series("directory-create", "create, by entries of the directory", ENTRIES),
    Series("directory-lookup", "lookup of a random name, by entries of the directory", ENTRIES),
    Series("directory-list", "list, each entry, by entries of the directory", ENTRIES),
    Series("directory-remove", "remove, by entries of the directory", ENTRIES),
    Series("tree-create", "create with 1 KiB, by files of the tree", FILES),
    Series("tree-ls", "ls -lR after remount, each file, by files of the tree", FILES),
    Series("tree-read", "read of a random file after remount, by files of the tree", FILES),
    Series("tree-remove", "remove, by files of the tree", FILES),
)

WORKLOADS = {f"{s.name}-{size}": Workload(f"{s.name}-{size}", f"{s.title}: {size}", "op/s")
             for s in SERIES for size in s.sizes}

SCALE = os.path.join(os.path.dirname(__file__), "scale.py")


def measure(b, name, count, what, *words):
    b.rate(name, count, ["python3", SCALE, what, *map(str, words)])


def this_round(b, sizes):
    """The largest takes longest: once."""
    return sizes if b.round == 0 else sizes[:-1]


def clients(b):
    b.fio("seq-write", record=False)
    for number in CLIENTS:
        b.fio("clients-read", f"clients-read-{number}", clients=number)
    for number in CLIENTS:
        b.fio("clients-write", f"clients-write-{number}", clients=number)
        b.flush()
    b.remove("data")


def has_room(b, size):
    """For the file, and its pages in memory."""
    space = os.statvfs(b.fs.backing)
    room = space.f_bavail * space.f_frsize
    return 2 * size < room


def files(b):
    path = b.path("file")
    for kib in this_round(b, FILE_KIB):
        size = kib * 1024
        filled = has_room(b, size)
        if filled and kib in STREAM_KIB:
            measure(b, f"stream-write-{kib}", size // 2**20, "fill", path, size)
            b.drop_caches()
            measure(b, f"stream-read-{kib}", size // 2**20, "drain", path, size)
        elif filled:
            b.shell(["python3", SCALE, "fill", path, str(size)])
        else:
            b.shell(["truncate", "-s", str(size), path])
        for what in ("write", "read"):
            measure(b, f"file-{what}-{kib}", OPERATIONS, f"random-{what}", path, size, OPERATIONS)
        b.remove("file")


def cold(b):
    b.flush()
    b.remount()
    b.drop_caches()


def directories(b):
    for entries in this_round(b, ENTRIES):
        number = max(1, OPERATIONS // entries)
        path, count = b.path("entries"), number * entries
        looked_up = min(count, OPERATIONS)
        measure(b, f"directory-create-{entries}", count, "create", path, number, entries, 0)
        cold(b)
        measure(b, f"directory-lookup-{entries}", looked_up, "lookup", path, number, entries,
                looked_up)
        cold(b)
        measure(b, f"directory-list-{entries}", count, "list", path, number)
        cold(b)
        measure(b, f"directory-remove-{entries}", count, "remove", path, number)


def trees(b):
    for count in this_round(b, FILES):
        number, path = count // FILES_PER_DIRECTORY, b.path("tree")
        sample = min(count, OPERATIONS)
        measure(b, f"tree-create-{count}", count, "create", path, number, FILES_PER_DIRECTORY,
                FILE_BYTES)
        cold(b)
        measure(b, f"tree-ls-{count}", count, "ls", path)
        cold(b)
        measure(b, f"tree-read-{count}", sample, "read", path, number, FILES_PER_DIRECTORY, sample)
        cold(b)
        measure(b, f"tree-remove-{count}", count, "remove", path, number)


GROUPS = (clients, files, directories, trees)
