#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# needs: root
# timeout: 240
# Root searches the whole memory of hsmfs for the passphrase and every key: none is there,
# nor in what a debugger or the kernel can make of hsmd.
. "$WORK/tests/lib/common.sh"

[ "$(id -u)" -eq 0 ] || skip "needs root"
[ -z "$SANITIZED" ] || skip "sanitizers reserve too much memory to search"
PATH=$WORK/test:$PATH
export HSMFS_TEST_KEYS=$T/keys

new_volume
cp -r "$WORK/tests" "$MNT/tests"
marker="a-marker-that-is-in-a-file-$RANDOM$RANDOM"
# (many of it, since later requests use the same memory)
yes "$marker" | head -n 20000 >"$MNT/marker"
cold_reopen
diff -r "$WORK/tests" "$MNT/tests"
cat "$MNT/marker" >/dev/null
ln -s target "$MNT/link"
hsmsetup status "$MNT" >/dev/null

printf '%s passphrase\n' "$(printf %s "$PASS" | xxd -p | tr -d '\n')" >>keys
for label in passphrase vmk name file; do
	grep -qi "$label" keys || die "the test build did not tell the $label key: $(cut -d' ' -f2- keys | sort | uniq -c)"
done
sort -u keys >unique

hsmfs=$(pids_of hsmfs)
hsmd=$(pids_of hsmd)
[ -n "$hsmfs" ] && [ -n "$hsmd" ]
# The search finds what is there: plaintext that hsmfs has just served.
printf '%s marker\n' "$(printf %s "$marker" | xxd -p | tr -d '\n')" >marker
memsearch find "$hsmfs" marker
# ... and no key.
expect_exit 1 memsearch find "$hsmfs" unique
cat out

# hsmd's keys are in pages that not even root can read, and nowhere else. (As text they are
# in the buffers of the hook that told them to us.)
if grep -q secretmem "/proc/$hsmd/maps"; then
	memsearch secret "$hsmd"
	memsearch find "$hsmd" unique >out || true
	tail -n 1 out
	! grep found out | grep -v 'as text' || die "a key lies in hsmd's ordinary memory"
else
	same "key memory" "$(hsmsetup status --json "$MNT" | jq -r .memory)" mlock
fi

# A debugger's dump of hsmd has what it could read: no key.
if command -v gcore >/dev/null && gcore -o core "$hsmd" >gcore.log 2>&1; then
	memsearch file "core.$hsmd" unique >out || true
	tail -n 1 out
	! grep found out | grep -v 'as text' || die "a key is in hsmd's core dump"
	rm -f "core.$hsmd"
else
	echo "no dump by gcore: $(tail -n 1 gcore.log 2>/dev/null || echo it is not installed)"
fi
same "content after the dump" "$(head -n 1 "$MNT/marker")" "$marker"
close_volume
kill_all hsmd

# The kernel dumps no core, even if root allows it to: bash tells whether it did.
cat >crash.sh <<'EOF'
"$@" --ready-fd 3 3>ready &
pid=$!
for i in $(seq 600); do
	[ ! -s ready ] || break
	sleep 0.05
done
prlimit --pid $pid --core=unlimited:unlimited
kill -SEGV $pid
wait $pid
EOF
bash crash.sh hsmd >crash.out 2>&1 || true
grep -q "Segmentation fault" crash.out || die "$(cat crash.out)"
! grep -q "core dumped" crash.out || die "hsmd left a core: $(cat crash.out)"
