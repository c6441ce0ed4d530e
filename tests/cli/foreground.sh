#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# hsmfs --foreground: the process that was started is the one that serves, and that a signal ends.
. "$WORK/tests/lib/common.sh"

# hsmsetup runs the hsmfs that lies beside it.
mkdir bin
cp "$WORK/bin/hsmsetup" "$WORK/bin/hsmd" bin
cat >bin/hsmfs <<'END'
#!/bin/bash
. "$WORK/tests/lib/common.sh"
exec 3<&0
"$WORK/bin/hsmfs" --foreground "$@" <&3 >"$T/said" 2>&1 &
echo $! >"$T/pid"
for _ in $(seq 600); do
	! is_mounted "$MNT" || exit 0
	kill -0 $! || exit 9
	sleep 0.1
done
exit 9
END
chmod 755 bin/hsmfs
format_volume
mkdir "$MNT"
for signal in TERM INT HUP; do
	bin/hsmsetup open --key-file "$KEY" "$ENC" "$MNT"
	pid=$(cat pid)
	echo $signal >"$MNT/file"
	kill -0 "$pid" || die "it is not in the foreground"
	kill -$signal "$pid"
	wait_gone "$pid"
	! is_mounted "$MNT" || die "still mounted after SIG$signal"
	same "said" "$(cat said)" ""
	same "state" "$(hsmsetup luksDump "$ENC" | sed -n 's/^State: *//p')" clean
	open_volume
	same "content" "$(cat "$MNT/file")" $signal
	close_volume
done

# Without a mount it says why, and its code is as in the background.
for how in '' --foreground; do
	head -c 32 /dev/zero >ticket
	# shellcheck disable=SC2086 # nothing, or an option
	expect_exit 2 hsmfs $how "$ENC" "$MNT" <ticket
	expect_sentence 'does not accept the ticket'
done
