#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The borders between the folders: which may include which, and the few libraries that
# only certain files may see. Run from the top of the tree.
set -u
bad=0

# allow FOLDER-PATTERN ALLOWED: every quoted include in the files must match ALLOWED.
allow() {
	local files=$1 allowed=$2 line
	# shellcheck disable=SC2086 # the pattern is meant to expand
	while IFS= read -r line; do
		echo "includes: not allowed: $line" >&2
		bad=1
	done < <(grep -nE '^#[[:space:]]*include[[:space:]]+"' $files /dev/null |
		grep -vE "\"($allowed)\"")
}

# only HEADERS FILES: no file but FILES includes a system header that matches HEADERS.
only() {
	local headers=$1 files=$2 line
	while IFS= read -r line; do
		echo "includes: only $files may: $line" >&2
		bad=1
	done < <(grep -rnE "^#[[:space:]]*include[[:space:]]+<($headers)" hsm fs mkfs |
		grep -vE "^($files):")
}

shopt -s nullglob
allow 'hsm/api/*.[ch]' 'hsm/api/[a-z0-9_]+\.h'
allow 'hsm/*.[ch] hsm/token/*.[ch] hsm/crypto/*.[ch]' 'hsm/[a-z0-9_/]+\.h'
allow 'fs/volume/*.[ch]' '(fs/volume|hsm/api)/[a-z0-9_]+\.h'
allow 'fs/*.[ch]' '(fs/[a-z0-9_/]+|hsm/api/[a-z0-9_]+)\.h'
allow 'mkfs/*.[ch]' '(mkfs|fs/volume|hsm/api)/[a-z0-9_]+\.h'
only 'fuse|linux/fuse' 'fs/(fuse_[a-z]+|mount|main)\.[ch]'
only 'libtpms' 'hsm/token/[a-z_]*libtpms[a-z_]*\.c'
exit $bad
