#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# The engines and handles that hsmd measures by itself, and hsmsetup, which shows them beside what
# it measures through the ring.
. "$WORK/tests/lib/common.sh"

# All engines there are, one of them the default; figures of those that can run, and only those.
check_engines() {
	jq -e '
		(.engines | map(.engine) | index("openssl")) and
		(.engines | map(select(.default)) | length == 1) and
		(.engines | all(.available or (.default | not))) and
		(.engines | all(if .available
			then (.extents | map(.extent_kib)) == [4, 64, 1024] and
			     (.extents | all(.seal_mib_s > 0 and .open_mib_s > 0))
			else .extents == [] end))
	' "$1" >/dev/null || die "engines: $(cat "$1")"
	[ "$(uname -m)" != x86_64 ] || jq -e '.engines | map(.engine) | index("ipsec-mb")' "$1" >/dev/null ||
		die "no ipsec-mb: $(cat "$1")"
}

check_handles() {
	jq -e '.handles | .extent_kib == 4 and .kept_ns > 0 and .rotating_ns > 0' "$1" >/dev/null ||
		die "handles: $(cat "$1")"
}

# By itself it serves nobody: no socket, no state, no folder for them.
expect_exit 0 env HSMFS_RUNTIME_DIR="$T/no-run" HSMFS_STATE_DIR="$T/no-state" hsmd --benchmark
check_engines out
check_handles out
same "said" "$(cat err)" ""
if [ -e no-run ] || [ -e no-state ]; then
	die "hsmd --benchmark made a folder"
fi
expect_exit 0 hsmd --benchmark
same "left in the folders" "$(find "$HSMFS_RUNTIME_DIR" "$HSMFS_STATE_DIR" -mindepth 1)" ""
same "hsmd that stays" "$(pids_of hsmd)" ""
code=0
hsmd --benchmark >/dev/full 2>err || code=$?
same "exit code for a full disk" "$code" 1
expect_sentence 'no space'

hsmsetup benchmark --json >all
check_engines all
check_handles all
jq -e '.kdf.iterations > 0 and (.ring | length > 0 and all(.seal_mib_s > 0 and .open_mib_s > 0))' all >/dev/null ||
	die "kdf or ring: $(cat all)"

# No hsmd to run, though one may serve; and stand-ins for other versions of it.
mkdir other
cp "$WORK/bin/hsmsetup" other
expect_exit 1 env PATH=/nonexistent other/hsmsetup benchmark --json
expect_sentence 'installed beside'
cat >other/hsmd <<END
#!/bin/sh
[ "\$1" = --benchmark ] || exec "$WORK/bin/hsmd" "\$@"
. "$T/answer"
END
chmod 755 other/hsmd

# refused SENTENCE ANSWER: what a stand-in does that is not taken.
refused() {
	printf '%s\n' "$2" >answer
	expect_exit 1 other/hsmsetup benchmark --json
	expect_sentence "$1"
	same "printed for: $2" "$(cat out)" ""
}
refused 'hsmd --benchmark failed' "echo 'hsmd: no such option' >&2; exit 1"
refused 'hsmd --benchmark failed' "kill -KILL \$\$"
refused 'hsmd --benchmark' "exec yes '{'"
refused 'same version' :
refused 'same version' "echo garbage"
hsmd --benchmark >good
refused 'same version' "head -c 200 '$T/good'"
for change in '.engines = []' '.engines = 1' '.handles = null' '.more = 1' 'del(.handles)' \
	'.engines[-1].engine = "\u001b[2J"' '.engines[-1].engine = ""' '.engines[-1].available = false' \
	'.engines[-1].extents[0].seal_mib_s = 0' '.engines[-1].extents[0].open_mib_s = "1"' \
	'.engines[-1].extents[0].extent_kib = -4' '.handles.kept_ns = -1' '.handles.rotating_ns = null'; do
	jq "$change" good >bad
	refused 'same version' "cat '$T/bad'"
done

# Engines that this processor cannot run are named, too.
jq '.engines += [{"engine": "other", "available": false, "default": false, "extents": []}]' good >with-other
echo "cat '$T/with-other'" >answer
expect_exit 0 other/hsmsetup benchmark
same "said" "$(cat err)" ""
grep -q '^ *other not available' out || die "does not name what is not available: $(cat out)"
for name in $(jq -r '.engines[] | select(.available).engine' good); do
	same "figures of $name" "$(grep -cE "^ *$name +[0-9]+ +[0-9.]+ MiB/s +[0-9.]+ MiB/s$" out)" 3
done
grep -qE '^# hsmd takes [a-z-]+ if none is named' out
grep -qE '^handles +4 KiB sealed in [0-9]+ ns with handles that rotate, [0-9]+ ns ' out
