#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# needs: root
# timeout: 120
# Root searches the whole memory of hsmfs for the passphrase and every key: none is there.
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
