# SPDX-License-Identifier: Apache-2.0
"""
scale.py file PATH BYTES OPERATIONS   4 KiB reads and writes at random places of one file
scale.py tree PATH COUNT              makes, lists and removes COUNT files, 1,000 a directory

Prints the seconds it took.
"""

import os
import random
import shutil
import sys
import time

BLOCK = 4096
PER_DIRECTORY = 1000


def one_file(path, size, operations):
    data = os.urandom(BLOCK)
    chosen = random.Random(size)
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
    os.ftruncate(fd, size)
    start = time.perf_counter()
    for _ in range(operations):
        at = chosen.randrange(max(1, size - BLOCK + 1))
        os.pwrite(fd, data[:size], at)
        os.pread(fd, BLOCK, chosen.randrange(max(1, size - BLOCK + 1)))
    os.fsync(fd)
    taken = time.perf_counter() - start
    os.close(fd)
    os.unlink(path)
    return taken


def one_tree(path, count):
    start = time.perf_counter()
    os.mkdir(path)
    for first in range(0, count, PER_DIRECTORY):
        folder = os.path.join(path, str(first))
        os.mkdir(folder)
        for number in range(first, min(count, first + PER_DIRECTORY)):
            os.close(os.open(os.path.join(folder, str(number)),
                             os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    for folder, _, names in os.walk(path):
        for name in names:
            os.lstat(os.path.join(folder, name))
    shutil.rmtree(path)
    return time.perf_counter() - start


def main():
    what, path, *numbers = sys.argv[1:]
    print((one_file if what == "file" else one_tree)(path, *map(int, numbers)))


main()
