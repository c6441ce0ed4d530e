#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# A volume's life on the embedded TPM, on a swtpm process, and with an hsmd that has both.
. "$WORK/tests/lib/common.sh"

command -v swtpm >/dev/null || skip "swtpm is not installed"

PORT=$((20000 + RANDOM % 20000))
start_swtpm() {
	mkdir -p swtpm
	swtpm socket --tpm2 --tpmstate "dir=$T/swtpm" --flags not-need-init \
		--server "type=tcp,bindaddr=127.0.0.1,port=$PORT" \
		--ctrl "type=tcp,bindaddr=127.0.0.1,port=$((PORT + 1))" >swtpm.log 2>&1 &
	swtpm=$!
	sleep 0.5
	kill -0 $swtpm || die "swtpm: $(cat swtpm.log)"
}

# start_hsmd OPTION...: as an administrator would.
start_hsmd() {
	hsmd "$@" 2>hsmd.log &
	hsmd=$!
	for _ in $(seq 200); do
		[ -S "$HSMFS_RUNTIME_DIR/hsmd.sock" ] && hsmd_ready && return
		kill -0 $hsmd 2>/dev/null || die "hsmd: $(cat hsmd.log)"
		sleep 0.05
	done
	die "hsmd is not ready"
}
hsmd_ready() {
	jq -e "select(.event == \"token\" and .hsmd == $hsmd)" \
		"$HSMFS_STATE_DIR/audit.jsonl" >/dev/null 2>&1
}
stop_hsmd() {
	kill $hsmd
	wait $hsmd || die "hsmd ended with $?: $(cat hsmd.log)"
}

SWTPM=tcti=swtpm:host=127.0.0.1,port=$PORT
life() {
	ENC=$T/enc-$1
	start_hsmd --token "$2"
	new_volume
	same "token" "$(hsmsetup status --json "$MNT" | jq -r .token)" "$1"
	random_bytes 300000 x >"$MNT/file"
	mkdir "$MNT/dir"
	hsmsetup luksSuspend "$MNT"
	hsmsetup luksResume --key-file "$KEY" "$MNT"
	cmp "$MNT/file" <(random_bytes 300000 x)
	close_volume
	printf wrong >wrong
	expect_exit 2 hsmsetup open --key-file wrong "$ENC" "$MNT"
	stop_hsmd
	start_hsmd --token "$2"
	open_volume
	cmp "$MNT/file" <(random_bytes 300000 x)
	close_volume
	stop_hsmd
}

start_swtpm
life libtpms tcti=libtpms
life swtpm "$SWTPM"

# Each wants its own TPM, and says which.
start_hsmd --token tcti=libtpms
expect_exit 2 hsmsetup open --key-file "$KEY" "$T/enc-swtpm" "$MNT"
expect_sentence "libtpms"
wanted=$(hsmsetup luksDump --json "$T/enc-swtpm" | grep -o '000b[0-9a-f]*' | head -n 1 | cut -c5-20)
grep -q "wants $wanted" err || die "does not name $wanted: $(cat err)"
stop_hsmd

# With both, each slot finds its own.
start_hsmd --token "$SWTPM" --token tcti=libtpms
for volume in libtpms swtpm; do
	ENC=$T/enc-$volume
	open_volume
	cmp "$MNT/file" <(random_bytes 300000 x)
	close_volume
done
stop_hsmd

# A TPM that is not there is said at the start.
kill $swtpm
wait $swtpm || true
code=0
hsmd --token "$SWTPM" 2>hsmd.log || code=$?
same "exit code without the TPM" "$code" 1
grep -q "cannot reach a TPM" hsmd.log
