#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# needs: root
# timeout: 240
# A store that gives out errors which are the kernel's own, as some network stores do
# ("Unknown error 524"): whoever meets one gets an error, and does not wait for ever.
. "$WORK/tests/lib/common.sh"

[ "$(id -u)" -eq 0 ] || skip "needs root" # to have a system call fail
case $(uname -m) in
x86_64) llistxattr=195 ;;
aarch64) llistxattr=12 ;;
*) skip "no number of llistxattr(2) for this architecture" ;;
esac

# failing ERRNO COMMAND...: in it and all that it starts, llistxattr(2) fails so (seccomp(2))
failing() {
	python3 - "$llistxattr" "$@" <<-'PYTHON'
		import ctypes, os, struct, sys
		number, error, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
		code = b"".join(struct.pack("HBBI", *one) for one in (
		    (0x20, 0, 0, 0),  # load the system call's number
		    (0x15, 0, 1, number),  # another one: skip
		    (0x06, 0, 0, 0x00050000 | error),  # fail
		    (0x06, 0, 0, 0x7FFF0000)))  # allow
		filters = ctypes.create_string_buffer(code)
		program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(filters))
		libc = ctypes.CDLL(None, use_errno=True)
		if libc.prctl(22, 2, ctypes.c_char_p(program), 0, 0):
		    sys.exit(f"no filter: {os.strerror(ctypes.get_errno())}")
		os.execvp(command[0], command)
	PYTHON
}

format_volume
mkdir "$MNT"
for error in 512 524 999; do
	failing $error hsmsetup open --key-file "$KEY" "$ENC" "$MNT"
	echo text >"$MNT/file"
	python3 -c 'import os, sys; os.listxattr(sys.argv[1])' "$MNT/file" 2>err &
	lister=$!
	for _ in $(seq 300); do
		kill -0 $lister 2>/dev/null || break
		sleep 0.1
	done
	! kill -0 $lister 2>/dev/null || die "errno $error: nobody answers"
	! wait $lister || die "errno $error: no error"
	grep -q 'Input/output error' err || die "errno $error: $(cat err)"
	same "content" "$(cat "$MNT/file")" text
	close_volume
done
