#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# install and uninstall leave nothing behind, and a build leaves no untracked file.
. "$WORK/tests/lib/common.sh"

[ -z "$SANITIZED" ] || skip "builds without sanitizers anyway"
git clone -q "$WORK/repo.git" clone
cd clone
make -s CFLAGS=-O0 all
make -s CFLAGS=-O0 DESTDIR="$T/root" PREFIX=/usr install >/dev/null
"$T/root/usr/bin/hsmsetup" --help >/dev/null
# Who may not read what he runs may not trace it either, from its first instruction on.
for program in hsmd hsmfs hsmsetup; do
	same "mode of $program" "$(stat -c %a "$T/root/usr/bin/$program")" 711
done
[ -x "$T/root/usr/sbin/mkfs.hsmfs" ] && [ -x "$T/root/usr/sbin/mount.hsmfs" ]
make -s DESTDIR="$T/root" PREFIX=/usr uninstall >/dev/null
same "left after uninstall" "$(find "$T/root" ! -type d)" ""
same "untracked" "$(git status --porcelain)" ""
make -s clean
same "ignored files after clean" "$(git status --porcelain --ignored)" ""

# Every target that help lists is there.
make -s help | awk '{ print $1 }' >targets
[ "$(wc -l <targets)" -gt 10 ]
while read -r target; do
	grep -qE "^$target( [a-z-]+)*:" Makefile || die "no target $target"
done <targets
