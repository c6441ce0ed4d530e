#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 600
# Readers and writers while the store's pages are dropped from memory again and again, and
# the volume is suspended: what they see must not depend on when the store has it.
. "$WORK/tests/lib/common.sh"

new_volume
cat >"$T/clients.py" <<'EOF'
import mmap
import os
import random
import sys
import threading

ENC, MNT = sys.argv[1:]
BLOCK, BLOCKS, THREADS, ROUNDS = 4096, 1024, 6, 500
path = f"{MNT}/data"
content = bytearray(random.Random(1).randbytes(BLOCK * BLOCKS))
with open(path, "wb") as file:
    file.write(content)
    os.fsync(file.fileno())
backing = max((e for e in os.scandir(ENC) if e.is_file()), key=lambda e: e.stat().st_size)
ended = threading.Event()
wrong = []


def drop():
    with open(backing.path, "rb") as file:
        while not ended.is_set():
            os.fdatasync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            ended.wait(0.002)


def client(number):
    """Reads anything, writes only its own blocks; the page cache is passed by."""
    rng = random.Random(number)
    fd = os.open(path, os.O_RDWR | os.O_DIRECT)
    buf = mmap.mmap(-1, BLOCK)
    try:
        for _ in range(ROUNDS):
            block = rng.randrange(BLOCKS)
            mine = block % THREADS == number
            if mine and rng.random() < 0.5:
                buf[:] = rng.randbytes(BLOCK)
                if os.pwrite(fd, buf, block * BLOCK) != BLOCK:
                    raise OSError("short write")
                content[block * BLOCK:(block + 1) * BLOCK] = buf[:]
            elif os.preadv(fd, [buf], block * BLOCK) != BLOCK:
                raise OSError("short read")
            elif mine and buf[:] != content[block * BLOCK:(block + 1) * BLOCK]:
                raise OSError(f"block {block} is wrong")
    except OSError as error:
        wrong.append(error)
    finally:
        os.close(fd)


dropper = threading.Thread(target=drop)
clients = [threading.Thread(target=client, args=(i,)) for i in range(THREADS)]
dropper.start()
for thread in clients:
    thread.start()
for thread in clients:
    thread.join()
ended.set()
dropper.join()
if wrong:
    sys.exit(f"{wrong[0]}")
with open(path, "rb") as file:
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if file.read() != content:
        sys.exit("the file is not what was written")
EOF
timeout 500 python3 "$T/clients.py" "$ENC" "$MNT" &
clients=$!
# Requests that wait for the store when the keys go wait for them, too. Not for ever: on a busy
# machine the clients would get on between two suspensions only.
for _ in $(seq 20); do
	kill -0 "$clients" 2>/dev/null || break
	hsmsetup luksSuspend "$MNT"
	hsmsetup luksResume --key-file "$KEY" "$MNT"
	sleep 0.2
done
wait "$clients" || die "a client failed"
close_volume
