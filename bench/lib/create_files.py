# SPDX-License-Identifier: Apache-2.0
"""create_files.py DIRECTORY COUNT BYTES: makes files and prints the seconds it took."""

import os
import sys
import time


def main():
    directory, count, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    data = os.urandom(size)
    os.mkdir(directory)
    os.chdir(directory)
    start = time.perf_counter()
    for number in range(count):
        fd = os.open(f"file-{number}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        os.write(fd, data)
        os.close(fd)
    print(time.perf_counter() - start)


main()
