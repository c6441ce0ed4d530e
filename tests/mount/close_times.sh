#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
# The times of files that were written back long after they were written, and closed right
# before unmounting: the kernel does not wait for the file system to hear of a closing.
. "$WORK/tests/lib/common.sh"

new_volume
for round in 1 2 3; do
	python3 - "$MNT" "$round" >"$T/times" <<'EOF'
import os
import sys
import time

fds = []
for i in range(40):
    path = f"{sys.argv[1]}/{sys.argv[2]}-{i}"
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    os.write(fd, b"x" * 5000)
    fds.append((path, fd))
time.sleep(0.05)
for path, fd in fds:
    # starts writing back
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    print(os.path.basename(path), os.fstat(fd).st_mtime_ns)
EOF
	close_volume
	open_volume
	while read -r name time; do
		same "mtime of $name" "$(date -r "$MNT/$name" +%s%N)" "$time"
	done <"$T/times"
done
close_volume
