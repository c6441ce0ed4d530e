#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 400
# This project, cloned and built inside the mount.
. "$WORK/tests/lib/common.sh"

new_volume
cd "$MNT"
git clone -q "$WORK/repo.git" clone
cd clone
git fsck --full --strict 2>&1 | tee "$T/fsck"
! grep -vqE '^(Checking|notice: HEAD|dangling)' "$T/fsck" || die "git fsck complains"
git -c user.name=t -c user.email=t@localhost commit -q --allow-empty -m "in the mount"
if [ -n "$SANITIZED" ]; then
	jobs=1 goal=build/bin/hsmsetup
else
	jobs=2 goal=all
fi
make -s -j $jobs CFLAGS=-O0 $goal
./build/bin/hsmsetup --help >/dev/null
git status --porcelain >"$T/status"
same "git status after the build" "$(cat "$T/status")" ""
make -q CFLAGS=-O0 $goal || die "a second make has something to do"
cd "$T"
cold_reopen
cd "$MNT/clone"
git fsck --full >"$T/fsck" 2>&1
git gc -q
git fsck --full >"$T/fsck" 2>&1
