#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What `make quickstart` shows: an encrypted directory of yours, and what it looks like
# from behind. Run it again and it goes on with the volume that is there.
set -eu

bin=$(cd "$1" && pwd)
enc=$HOME/hsmfs-demo.enc
mnt=$HOME/hsmfs-demo
key=${XDG_CONFIG_HOME:-$HOME/.config}/hsmfs-demo.key
hsmsetup=$bin/hsmsetup

die() {
	echo "quickstart: $*" >&2
	exit 1
}

prepare_fuse() {
	if [ "$(id -u)" -eq 0 ]; then
		[ -e /dev/fuse ] || modprobe fuse 2>/dev/null || true
		[ ! -e /dev/fuse ] || [ "$(stat -c %a /dev/fuse)" = 666 ] || chmod 666 /dev/fuse
	fi
	if [ ! -r /dev/fuse ] || [ ! -w /dev/fuse ]; then
		die "/dev/fuse is missing or closed to you: in a container it must be passed in" \
			"(docker run --device /dev/fuse --cap-add SYS_ADMIN)"
	fi
}

# With a terminal you are asked for a passphrase; without one a key file stands in for it.
choose_key() {
	if [ ! -t 0 ] && [ ! -e "$key" ]; then
		[ ! -e "$enc/.hsmfs" ] ||
			die "$enc was made with a passphrase: run this in a terminal"
		mkdir -p "$(dirname "$key")"
		(umask 077 && head -c 32 /dev/urandom >"$key")
		echo "No terminal to ask for a passphrase: made the key file $key"
	fi
}

# Word by word, so that $key may hold spaces: run COMMAND with the key file if there is one.
with_key() {
	if [ -e "$key" ]; then
		"$@" --key-file "$key"
	else
		"$@"
	fi
}

is_mounted() {
	grep -q " $(printf %s "$mnt" | sed 's/ /\\\\040/g') fuse" /proc/self/mounts
}

show() {
	echo
	echo "== $1"
	shift
	"$@"
}

peek() {
	echo "${1##*/}:"
	od -A d -t x1z -N 64 "$1"
}

# The largest file below the volume's root that is not its header.
some_ciphertext() {
	find "$enc" -name .hsmfs -prune -o -type f -printf '%s %p\n' | sort -n | tail -n 1 | cut -d' ' -f2-
}

prepare_fuse
choose_key
mkdir -p "$enc" "$mnt"
if [ ! -e "$enc/.hsmfs" ]; then
	echo "Making a volume in $enc"
	with_key "$hsmsetup" luksFormat -q "$enc"
fi
if ! is_mounted; then
	echo "Mounting it on $mnt"
	with_key "$hsmsetup" open "$enc" "$mnt"
fi
mkdir -p "$mnt/documents"
cp README.md "$mnt/documents/readme.txt"
echo "My secret, of which the disk sees nothing. $(date)" >"$mnt/secret.txt"
sync "$mnt/documents/readme.txt" "$mnt/secret.txt"

show "The plaintext, in $mnt" ls -lR "$mnt"
peek "$mnt/documents/readme.txt"
show "The ciphertext, in $enc" ls -lAR "$enc"
peek "$(some_ciphertext)"
show "Status: hsmfs serves the files and holds no key, hsmd holds the keys" \
	"$hsmsetup" status "$mnt"
cat <<END

== What now
$mnt is yours: put files in.
  close:   $hsmsetup close $mnt
  reopen:  $hsmsetup open $([ ! -e "$key" ] || echo "--key-file $key ")$enc $mnt
END
