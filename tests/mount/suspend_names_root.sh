#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# needs: root
# timeout: 180
# While a volume is suspended, hsmfs' memory has no names, attributes or targets of links,
# and the kernel gives out no list of a directory and no target.
. "$WORK/tests/lib/common.sh"

[ -z "$SANITIZED" ] || skip "a sanitizer keeps what was freed"
new_volume
hsmfs=$(pids_of hsmfs)
dir=$MNT/directory-that-is-secret
mkdir "$dir"
for i in $(seq 200); do
	echo text >"$dir/entry-that-is-secret-$i"
done
ln -s target-that-is-secret "$MNT/link"
setfattr -n user.attribute-that-is-secret -v value-that-is-secret "$dir/entry-that-is-secret-1"
mv "$dir/entry-that-is-secret-2" "$dir/moved-that-is-secret"
rm "$dir/entry-that-is-secret-3"

# Who has begun to list a directory, and goes on when told to.
wide=$MNT/wide
mkdir "$wide"
(cd "$wide" && seq -f 'listed-that-is-secret-%g' 1500 | xargs touch)
mkfifo go-on
cat >lister.py <<'END'
import os, sys
with os.scandir(sys.argv[1]) as listing:
    names = {next(listing).name}
    open("begun", "w").close()
    open("go-on").read()
    for entry in listing:
        assert entry.name not in names, entry.name
        names.add(entry.name)
assert len(names) == 1500, len(names)
END
python3 lister.py "$wide" &
lister=$!
for _ in $(seq 600); do
	[ ! -e begun ] || break
	sleep 0.1
done

# By a descriptor from before, which needs no key to be opened.
exec 7<"$dir"
list() {
	timeout "$1" python3 -c 'import os; print(len(os.listdir(7)))'
}
for _ in 1 2; do
	ls -lR "$MNT" >/dev/null
	same "entries" "$(list 60)" 199
	readlink "$MNT/link" >/dev/null
	getfattr -d "$dir/entry-that-is-secret-1" >/dev/null
done
for word in directory entry moved target attribute value listed; do
	printf '%s %s\n' "$(printf %s "$word-that-is-secret" | xxd -p)" "$word"
done >marker
expect_exit 0 memsearch find "$hsmfs" marker
hsmsetup luksSuspend "$MNT"

# What a thread has not wiped yet because it does not run, it does when it runs.
tries=50
until code=0 && { memsearch find "$hsmfs" marker >out || code=$?; } && [ $code -eq 1 ]; do
	[ $((tries--)) -gt 0 ] || die "$(cat out)"
	sleep 0.2
done
timeout 1 readlink "$MNT/link" >got || true
list 3 >>got || true
same "what came while suspended" "$(cat got)" ""
hsmsetup luksResume --key-file "$KEY" "$MNT"
same "entries" "$(list 60)" 199
same "target" "$(readlink "$MNT/link")" target-that-is-secret
exec 7<&-
echo >go-on
wait $lister || die "the listing that had begun"
