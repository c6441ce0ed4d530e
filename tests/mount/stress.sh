#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
# stress-ng's file system stressors that pass on a plain directory too, several at once, and
# that nothing is left behind. ("io" is not among them: it syncs every mount of the machine.)
. "$WORK/tests/lib/common.sh"

command -v stress-ng >/dev/null || skip "stress-ng is not installed"
new_volume
mkdir "$MNT/s"

# stress SECONDS STRESSOR...
stress() {
	local seconds=$1 args=() stressor code=0
	shift
	for stressor; do
		args+=("--$stressor" 1)
	done
	stress-ng "${args[@]}" --timeout "$seconds" --verify --temp-path "$MNT/s" \
		--fallocate-bytes 16M --hdd-bytes 16M --iomix-bytes 16M --copy-file-bytes 128M \
		--revio-bytes 16M --seek-size 16M --readahead-bytes 16M --sync-file-bytes 16M \
		--fiemap-bytes 16M >out 2>&1 || code=$?
	# 3: a stressor found nothing it could do here
	[ $code -eq 0 ] || [ $code -eq 3 ] || die "stress-ng ends with $code: $(grep -v 'info:' out)"
	! grep -q 'fail:' out || die "stress-ng: $(grep 'fail:' out)"
}
stress 3 access chdir chmod chown dentry dir dirdeep dirmany filename fstat getdent link mknod \
	open rename symlink touch utime xattr chattr handle inode-flags
stress 3 copy-file fallocate fpunch fsize hdd iomix revio seek readahead sync-file sendfile \
	fiemap file-ioctl msync verity
stress 2 fcntl flock lease locka lockf lockofd dnotify inotify

same "left behind" "$(ls -A "$MNT/s")" ""
cold_reopen
rmdir "$MNT/s"
close_volume
same "left in the volume" "$(find "$ENC" -mindepth 1 -maxdepth 1 ! -name '.hsmfs*')" ""
