#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A read-only mount reads everything and changes nothing, on either side.
. "$WORK/tests/lib/common.sh"

new_volume
mkdir "$MNT/d"
echo text >"$MNT/d/file"
ln -s d/file "$MNT/link"
close_volume
fingerprint() {
	find "$ENC" ! -name lock -printf '%p %y %m %s %l %T@\n' | sort
	find "$ENC" -type f -exec sha256sum {} + | sort
}
before=$(fingerprint)
for options in --readonly "-o ro" "-o ro -o cache=none"; do
	# shellcheck disable=SC2086 # an option and its value
	open_volume $options
	same "content" "$(cat "$MNT/link")" text
	for change in "touch $MNT/new" "mkdir $MNT/new" "rm $MNT/d/file" "mv $MNT/d $MNT/e" \
		"ln $MNT/d/file $MNT/new" "ln -s x $MNT/new" "truncate -s 1 $MNT/d/file" \
		"chmod 600 $MNT/d/file" "touch -d 2000-01-01 $MNT/d"; do
		# shellcheck disable=SC2086 # a command
		expect_exit 1 $change
		grep -qi 'read-only' err || die "$change: $(cat err)"
	done
	if (echo x >>"$MNT/d/file") 2>/dev/null; then
		die "appended to a read-only mount"
	fi
	close_volume
	same "volume after $options" "$(fingerprint)" "$before"
done
open_volume
echo more >>"$MNT/d/file"
same "content" "$(tr '\n' ' ' <"$MNT/d/file")" "text more "
