#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Descriptors that are not open when a daemon starts: it takes none of its own files for them.
. "$WORK/tests/lib/common.sh"

# Its lock, its log and its TPM's state would be among those.
exec {closed}>/dev/null {closed}>&-
for fd in 0 1 2 $closed 1025 -1 x; do
	expect_exit 1 timeout 60 hsmd --ready-fd "$fd"
	expect_sentence '--ready-fd wants'
done
same "what was made" "$(ls -A "$HSMFS_RUNTIME_DIR")$(ls -A "$HSMFS_STATE_DIR")" ""

# hsmfs has /dev/null there when it goes to the background, and its volume besides.
format_volume
mkdir without "$MNT"
cp "$(command -v hsmsetup)" "$(command -v hsmd)" without
cat >without/hsmfs <<EOF
#!/bin/bash
exec $(command -v hsmfs) "\$@" >&- 2>&-
EOF
chmod 755 without/hsmfs
without/hsmsetup open --key-file "$KEY" "$ENC" "$MNT"
echo text >"$MNT/file"
close_volume
same "state" "$(hsmsetup luksDump --json "$ENC" | jq -r .state)" clean
open_volume
same "content" "$(cat "$MNT/file")" text
close_volume
