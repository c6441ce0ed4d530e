# SPDX-License-Identifier: Apache-2.0
"""
scale.py create PATH DIRECTORIES ENTRIES BYTES   makes directories with so many files in each
scale.py lookup PATH DIRECTORIES ENTRIES COUNT   asks for attributes of that many, directory by directory
scale.py list PATH DIRECTORIES                   reads the directories
scale.py ls PATH                                 ls -lR
scale.py read PATH DIRECTORIES ENTRIES COUNT     reads that many of all files
scale.py remove PATH DIRECTORIES                 removes everything
scale.py fill PATH BYTES, drain PATH BYTES       writes or reads a file, 1 MiB at a time
scale.py random-write PATH BYTES COUNT, random-read likewise    4 KiB past the page cache

What is chosen is chosen at random, the same each time. Prints the seconds it took.
"""

import mmap
import os
import random
import subprocess
import sys
import time

BLOCK = 4096
MIB = 2**20


def directory(path, number):
    return os.path.join(path, f"directory-{number}")


def create(path, directories, entries, size):
    data = os.urandom(size)
    os.mkdir(path)
    for number in range(directories):
        os.mkdir(directory(path, number))
        os.chdir(directory(path, number))
        for entry in range(entries):
            fd = os.open(f"file-{entry}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            if size:
                os.write(fd, data)
            os.close(fd)


def lookup(path, directories, entries, count):
    chosen = random.Random(entries)
    for number in range(directories):
        os.chdir(directory(path, number))
        for entry in chosen.sample(range(entries), count // directories):
            os.stat(f"file-{entry}")


def list_all(path, directories):
    for number in range(directories):
        os.listdir(directory(path, number))


def ls(path):
    subprocess.run(["ls", "-lR", path], stdout=subprocess.DEVNULL, check=True)


def read(path, directories, entries, count):
    for at in random.Random(entries).sample(range(directories * entries), count):
        name = os.path.join(directory(path, at // entries), f"file-{at % entries}")
        fd = os.open(name, os.O_RDONLY)
        os.read(fd, BLOCK)
        os.close(fd)


def remove(path, directories):
    for number in range(directories):
        os.chdir(directory(path, number))
        for name in os.listdir("."):
            os.unlink(name)
        os.chdir(path)
        os.rmdir(directory(path, number))
    os.rmdir(path)


def fill(path, size):
    data = os.urandom(min(size, MIB))
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    for _ in range(0, size, len(data)):
        os.write(fd, data)
    os.fsync(fd)
    os.close(fd)


def drain(path, size):
    fd = os.open(path, os.O_RDONLY)
    for at in range(0, size, MIB):
        os.pread(fd, MIB, at)
    os.close(fd)


def at_random(operation, flags):
    def go(path, size, count):
        chosen = random.Random(size)
        fd = os.open(path, flags | os.O_DIRECT)
        with mmap.mmap(-1, BLOCK) as buffer:
            part = memoryview(buffer)[:min(size, BLOCK)]
            for _ in range(count):
                operation(fd, [part], chosen.randrange(max(1, size // BLOCK)) * BLOCK)
            part.release()
        os.close(fd)
    return go


COMMANDS = {"create": create, "lookup": lookup, "list": list_all, "ls": ls, "read": read,
            "remove": remove, "fill": fill, "drain": drain,
            "random-write": at_random(os.pwritev, os.O_WRONLY),
            "random-read": at_random(os.preadv, os.O_RDONLY)}


def main():
    what, path, *numbers = sys.argv[1:]
    start = time.perf_counter()
    COMMANDS[what](path, *map(int, numbers))
    print(time.perf_counter() - start)


main()
