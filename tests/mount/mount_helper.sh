#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# mount.hsmfs as mount(8) calls it: SPEC DIR [-sfnv] -o OPTIONS, options of every kind.
. "$WORK/tests/lib/common.sh"

format_volume
mkdir "$MNT"
mount.hsmfs "$ENC" "$MNT" -o rw,noauto,user,nofail,_netdev,noatime,x-systemd.automount <"$KEY"
is_mounted "$MNT" || die "not mounted"
echo text >"$MNT/file"
awk -v m="$MNT" '$5 == m' /proc/self/mountinfo >info
grep -q 'fuse.hsmfs' info || die "type: $(cat info)"
grep -q 'nosuid' info || die "setuid is allowed: $(cat info)"
hsmsetup close "$MNT"

mount.hsmfs "$ENC" "$MNT" -n -v -o ro <"$KEY"
same "content" "$(cat "$MNT/file")" text
! touch "$MNT/new" 2>/dev/null || die "not read-only"
hsmsetup close "$MNT"

# The kernel knows the root's attributes from the beginning: else who comes while they are dropped
# from its cache is denied everything.
hsmsetup open --key-file "$KEY" "$ENC" "$MNT"
same "root" "$(stat --cached=always -c %a "$MNT")" "$(stat -c %a "$ENC")"
hsmsetup close "$MNT"

# umount as people do it; the volume is closed cleanly all the same.
mount.hsmfs "$ENC" "$MNT" <"$KEY"
echo more >>"$MNT/file"
hsmfs=$(pids_of hsmfs)
fusermount3 -u "$MNT"
wait_gone "$hsmfs"
same "state" "$(jq -r .hsmfs.state "$ENC/.hsmfs/header")" clean
open_volume
same "lines" "$(wc -l <"$MNT/file")" 2
close_volume

# mount(8) knows these codes: 1 wrong usage or permissions, 32 the mount failed. Ours are
# cryptsetup's; what counts is that failure is not 0 and nothing is mounted.
! mount.hsmfs "$ENC" "$MNT" -o rw < <(printf wrong) 2>err || die "mounted with a wrong passphrase"
grep -qi passphrase err || die "$(cat err)"
! mount.hsmfs "$ENC" 2>/dev/null || die "took no mount point for one"
! is_mounted "$MNT" || die "mounted"
