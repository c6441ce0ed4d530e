#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# A volume's life on the embedded TPM, on a swtpm process, and with an hsmd that has both;
# its move from one to the other; and slots that want PCRs unchanged.
. "$WORK/tests/lib/common.sh"

command -v swtpm >/dev/null || skip "swtpm is not installed"

# Below the ports that the kernel gives to others.
PORT=$((10000 + RANDOM % 20000))
listens() {
	grep -q "^ *[0-9]*: 0100007F:$(printf %04X "$1") 00000000:0000 0A" /proc/net/tcp
}
try_swtpm() {
	swtpm socket --tpm2 --tpmstate "dir=$T/swtpm" --flags not-need-init \
		--server "type=tcp,bindaddr=127.0.0.1,port=$PORT" \
		--ctrl "type=tcp,bindaddr=127.0.0.1,port=$((PORT + 1))" >swtpm.log 2>&1 &
	swtpm=$!
	while kill -0 $swtpm 2>/dev/null; do
		if listens "$PORT" && listens $((PORT + 1)); then
			return 0
		fi
		sleep 0.05
	done
	return 1
}
start_swtpm() {
	mkdir -p swtpm
	for _ in $(seq 10); do
		SWTPM=tcti=swtpm:host=127.0.0.1,port=$PORT
		! try_swtpm || return 0
		PORT=$((PORT + 2)) # somebody else's
	done
	die "swtpm: $(cat swtpm.log)"
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

# The move of a volume: a slot on the second TPM, with a passphrase of its own.
ENC=$T/enc-libtpms
printf 'another passphrase' >second
start_hsmd --token tcti=libtpms
expect_exit 2 hsmsetup luksAddKey --token swtpm --key-file "$KEY" "$ENC"
expect_sentence "no TPM swtpm"
stop_hsmd
start_hsmd --token tcti=libtpms --token "$SWTPM"
hsmsetup token list >tokens
same "tokens" "$(cut -d' ' -f1 tokens | tr '\n' ' ')" "libtpms swtpm "
hsmsetup luksAddKey --token "$(awk '/^swtpm/ { print substr($2, 1, 16) }' tokens)" \
	--key-file "$KEY" --new-keyfile second "${CHEAP[@]}" "$ENC"
for key in "$KEY" second; do
	hsmsetup open --key-file "$key" "$ENC" "$MNT"
	cmp "$MNT/file" <(random_bytes 300000 x)
	# The header is the mount's now.
	expect_exit 5 hsmsetup luksAddKey --key-file "$KEY" "$ENC"
	expect_sentence "mounted"
	close_volume
done
stop_hsmd

# opens_with KEY TOKEN: and only with that
opens_with() {
	start_hsmd --token "$2"
	hsmsetup open --key-file "$1" "$ENC" "$MNT"
	cmp "$MNT/file" <(random_bytes 300000 x)
	close_volume
}
opens_with second "$SWTPM"
expect_exit 2 hsmsetup open --key-file "$KEY" "$ENC" "$MNT"
stop_hsmd
opens_with "$KEY" tcti=libtpms
expect_exit 2 hsmsetup open --key-file second "$ENC" "$MNT"
stop_hsmd

# And off the first.
start_hsmd --token tcti=libtpms --token "$SWTPM"
expect_exit 2 hsmsetup luksKillSlot --key-file "$KEY" "$ENC" 0
hsmsetup luksKillSlot --key-file second "$ENC" 0
expect_exit 2 hsmsetup open --key-file "$KEY" "$ENC" "$MNT"
stop_hsmd
opens_with second "$SWTPM"
stop_hsmd
start_hsmd --token tcti=libtpms
expect_exit 2 hsmsetup open --key-file second "$ENC" "$MNT"
expect_sentence "wants"
stop_hsmd

# extend_pcr NR: TPM2_PCR_Extend, as firmware does
extend_pcr() {
	local command
	command=80020000004100000182$(printf %08x "$1")00000009400000090000000000
	command+=00000001000b$(printf '%064x' 5)
	exec 9<>"/dev/tcp/127.0.0.1/$PORT"
	xxd -r -p <<<"$command" >&9
	same "TPM's answer" "$(timeout 60 head -c 10 <&9 | xxd -p | cut -c 13-)" 00000000
	exec 9>&-
}

# A slot that wants PCRs unchanged.
ENC=$T/enc-pcrs
mkdir "$ENC"
start_hsmd --token "$SWTPM"
hsmsetup luksFormat -q --key-file "$KEY" --recovery-file recovery --tpm2-pcrs 7+11 "${CHEAP[@]}" "$ENC"
hsmsetup luksDump "$ENC" | grep -q "PCRs: *7+11"
open_volume
random_bytes 300000 x >"$MNT/file"
close_volume
stop_hsmd
extend_pcr 8
opens_with "$KEY" "$SWTPM"
stop_hsmd
extend_pcr 11
start_hsmd --token "$SWTPM"
expect_exit 2 hsmsetup open --key-file "$KEY" "$ENC" "$MNT"
expect_sentence "PCR 11 "
jq -es 'any(.event == "unlock" and .result == "ESTALE")' "$HSMFS_STATE_DIR/audit.jsonl" >/dev/null
# The recovery key does not mind, and makes a slot for what is there now.
hsmsetup luksAddKey --key-file recovery --new-keyfile second --tpm2-pcrs 7+11 "${CHEAP[@]}" "$ENC"
stop_hsmd
opens_with second "$SWTPM"
stop_hsmd
extend_pcr 7
opens_with recovery "$SWTPM"
expect_exit 2 hsmsetup open --key-file second "$ENC" "$MNT"
expect_sentence "PCR 7+11 "

# A TPM that went away and came back is found again, from within the sandbox.
kill $swtpm
wait $swtpm || true
expect_exit 1 hsmsetup open --key-file recovery "$ENC" "$MNT"
try_swtpm || die "swtpm: $(cat swtpm.log)"
hsmsetup open --key-file recovery "$ENC" "$MNT"
close_volume
stop_hsmd

# Whoever needs an hsmd while one is ending waits until all is free that the next one takes.
start_hsmd --token "$SWTPM" --token tcti=libtpms
kill -STOP $swtpm # its TPM is slow to take leave
kill $hsmd
while [ -e "$HSMFS_RUNTIME_DIR/hsmd.sock" ]; do
	sleep 0.05
done
(
	sleep 1
	kill -CONT $swtpm
) &
expect_exit 0 hsmsetup token list
grep -q '^libtpms ' out
wait $hsmd
kill_all hsmd

# A TPM that is not there is said at the start.
kill $swtpm
wait $swtpm || true
code=0
hsmd --token "$SWTPM" 2>hsmd.log || code=$?
same "exit code without the TPM" "$code" 1
grep -q "cannot reach a TPM" hsmd.log
