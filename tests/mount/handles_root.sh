#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# needs: root
# timeout: 300
# File handles, as nfsd and backup programs use them, mean the same file for as long as it
# exists, and no other one afterwards: after the kernel has forgotten it and after another
# mount.
. "$WORK/tests/lib/common.sh"

[ "$(id -u)" -eq 0 ] || skip "needs root"
{ handles save "$KEY" probe && handles open "$T" probe; } >probed || skip "no file handles here"
new_volume
printf -v long 'n%0254d' 1
mkdir -p "$MNT/a/b/c" "$MNT/empty"
echo -n top >"$MNT/top"
echo -n deep >"$MNT/a/b/c/deep"
echo -n long >"$MNT/a/$long"
echo -n gone >"$MNT/gone"
echo -n moves >"$MNT/a/moves"
ln "$MNT/top" "$MNT/a/b/second"
for i in $(seq 300); do
	echo "$i" >"$MNT/a/b/other-$i"
done
declare -A at=([top]=top [deep]=a/b/c/deep [long]=a/$long [gone]=gone [moves]=a/moves [dir]=a/b/c [root]=.)
for name in "${!at[@]}"; do
	handles save "$MNT/${at[$name]}" "$T/handle-$name"
done

# opens NAME WANTED
opens() {
	local said
	said=$(timeout 60 handles open "$MNT" "$T/handle-$1") || true
	same "handle of $1" "${said##*: }" "$2"
}
all_open() {
	opens top top
	opens deep deep
	opens long long
	opens moves moves
	same "directory" "$(handles open "$MNT" "$T/handle-dir")" "$MNT/a/b/c: "
	same "root" "$(handles open "$MNT" "$T/handle-root")" "$MNT: "
}

all_open
opens gone gone
cold_reopen
all_open
opens gone gone

# What moves is the same file; what is removed is none, also when its number comes back.
mv "$MNT/a/moves" "$MNT/a/b/c/moved"
rm "$MNT/gone"
for i in $(seq 100); do
	echo "$i" >"$MNT/new-$i"
done
opens gone ESTALE
opens moves moves
cold_reopen
opens gone ESTALE
all_open
rm -r "$MNT/empty"
mv "$MNT/a/b/c" "$MNT/c"
cold_reopen
opens deep deep
same "moved directory" "$(handles open "$MNT" "$T/handle-dir")" "$MNT/c: "
opens moves moves

# The kernel forgets without a new mount: what it drops under pressure.
echo 2 >/proc/sys/vm/drop_caches
opens top top
opens deep deep
opens gone ESTALE
same "moved directory" "$(handles open "$MNT" "$T/handle-dir")" "$MNT/c: "
same "through the names" "$(cat "$MNT/c/deep" "$MNT/top")" deeptop
rm "$MNT/c/deep"
opens deep ESTALE
cold_reopen
opens deep ESTALE

# A tree that is deeper than there are descriptors does not stop the search.
(
	cd "$MNT"
	python3 -c 'import os
for i in range(4000):
    os.mkdir("d")
    os.chdir("d")'
)
close_volume
kill_all hsmd
(
	ulimit -n 3000
	open_volume
)
opens top top
opens moves moves
opens gone ESTALE
