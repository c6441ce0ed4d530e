#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hsmd confines itself, and starts the same from a hostile place.
. "$WORK/tests/lib/common.sh"

code=0
hsmd --self-test >report || code=$?
cat report
if [ -n "$SANITIZED" ]; then
	[ $code -eq 0 ] || [ $code -eq 2 ] || die "exit $code"
	skip "a sanitizer needs more than the sandbox leaves"
fi
[ $code -eq 0 ] || [ $code -eq 2 ] || die "exit $code"
grep -q "known answers" report
if grep "tried, and it worked" report; then
	die "the sandbox leaks"
fi

new_volume
echo text >"$MNT/file"
pid=$(pids_of hsmd)
status() {
	sed -n "s/^$1:[[:space:]]*//p" "/proc/$pid/status"
}
same "no new privileges" "$(status NoNewPrivs)" 1
same "seccomp" "$(status Seccomp)" 2
# Not dumpable: its own user may not even look at its descriptors.
if [ "$(id -u)" -ne 0 ]; then
	! ls "/proc/$pid/fd" >/dev/null 2>&1 || die "hsmd is dumpable"
fi
close_volume

# Passphrases at their usual cost: the threads for it live in the sandbox too.
mkdir usual
hsmsetup luksFormat -q --no-recovery --key-file "$KEY" --pbkdf-force-iterations 2 \
	--pbkdf-memory 65536 --pbkdf-parallel 4 usual
kill_all hsmd TERM

# Without standard streams, with an environment made to mislead, few files and odd masks.
(
	export TSS2_LOG=all+TRACE TSS2_LOGFILE=$T/leak TSS2_TCTI=nonsense TZ=:/etc/passwd
	export OPENSSL_CONF=$T/evil.cnf OPENSSL_MODULES=$T SSLKEYLOGFILE=$T/leak LANG=xx_YY
	export MALLOC_CHECK_=3 MALLOC_PERTURB_=1 LIBTPMS_DEBUG=1
	echo "[nonsense" >"$T/evil.cnf"
	ulimit -n 64
	umask 0
	hsmsetup open --key-file "$KEY" "$ENC" "$MNT" <&- >&- 2>&-
)
is_mounted "$MNT" || die "did not start"
same "content" "$(cat "$MNT/file")" text
[ ! -e "$T/leak" ] || die "the environment reached a library"
[ -z "$(find "$HSMFS_STATE_DIR" "$HSMFS_RUNTIME_DIR" -perm /077 ! -type l)" ] ||
	die "others may use: $(find "$HSMFS_STATE_DIR" "$HSMFS_RUNTIME_DIR" -perm /077)"
close_volume
kill_all hsmd TERM

for closed in '<&-' '>&-' '2>&-' '<&- >&- 2>&-'; do
	eval "hsmd --idle-exit 1 $closed" &
	pid=$!
	wait $pid || die "hsmd $closed ended with $?"
done
