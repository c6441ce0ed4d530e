#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 600
# The kernel gets a small file's content with its first opening. Who opens the same file in the
# same moment loses nothing that he writes, and waits for nobody for ever.
. "$WORK/tests/lib/common.sh"

nr=300

fill() {
	local i
	mkdir "$MNT/dir"
	for i in $(seq $nr); do
		printf '%08192d' "$i" >"$MNT/dir/$i"
	done
}

# meet WHO: opens each file twice at once, to read it and as WHO does
meet() {
	timeout 120 /usr/bin/python3 - "$MNT/dir" "$1" $nr <<-'PYTHON'
		import mmap, os, socket, struct, sys
		directory, who, nr = sys.argv[1], sys.argv[2], int(sys.argv[3])
		shared = mmap.mmap(-1, 4096)
		ends = socket.socketpair()

		def meet(me, number):
		    ends[me].send(b".")
		    ends[me].recv(1)
		    # both are awake, or soon will be: on a busy machine that is not waited for
		    shared[8 * me:8 * me + 8] = struct.pack("Q", number)
		    for _ in range(1000):
		        if struct.unpack("Q", shared[8 - 8 * me:16 - 8 * me])[0] >= number:
		            break

		def content(i):
		    return b"%08192d" % i

		def use(path, i, me):
		    if me == 0 or who == "reader":
		        fd = os.open(path, os.O_RDONLY)
		        got = os.read(fd, 10000)
		        assert who != "reader" or got == content(i), path
		    elif who == "writer":
		        fd = os.open(path, os.O_RDWR)
		        assert os.write(fd, b"n" * 8192) == 8192
		    else:
		        return os.truncate(path, 5000)
		    os.close(fd)

		for name in os.scandir(directory):
		    name.stat()  # so that only the opening is left
		child = os.fork()
		ends[1 if child else 0].close()
		for i in range(1, nr + 1):
		    meet(0 if child else 1, i)
		    use(f"{directory}/{i}", i, 0 if child else 1)
		if not child:
		    os._exit(0)
		assert os.waitpid(child, 0)[1] == 0
		for i in range(1, nr + 1):
		    with open(f"{directory}/{i}", "rb") as file:
		        got = file.read()
		    want = {"reader": content(i), "writer": b"n" * 8192, "truncater": content(i)[:5000]}
		    assert got == want[who], f"{i}: {len(got)} bytes: {got[:8]} .. {got[-8:]}"
	PYTHON
}

# in_memory FILE: how many of its pages the kernel holds as soon as it is open (mincore(2))
in_memory() {
	/usr/bin/python3 - "$1" <<-'PYTHON'
		import ctypes, mmap, os, sys
		fd = os.open(sys.argv[1], os.O_RDONLY)
		size = os.fstat(fd).st_size
		memory = mmap.mmap(fd, size, access=mmap.ACCESS_COPY)
		pages = (ctypes.c_ubyte * ((size + 4095) // 4096))()
		address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
		libc = ctypes.CDLL(None, use_errno=True)
		ret = libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(size), pages)
		assert ret == 0, os.strerror(ctypes.get_errno())
		print(sum(page & 1 for page in pages))
	PYTHON
}

# given PAGES: as many, or none where the kernel is too old to be given any
given() {
	if [ "$(printf '%s\n' 6.12 "$(uname -r)" | sort -V | head -n 1)" = 6.12 ]; then
		echo "$1"
	else
		echo 0
	fi
}

new_volume
for size in 1 4064 65536 65537; do
	random_bytes $size $size >"$MNT/$size"
done
for options in rw workers=4 cache=writethrough; do
	close_volume
	open_volume -o "$options"
	same "$options: pages of one byte" "$(in_memory "$MNT/1")" "$(given 1)"
	same "$options: pages of 4064 bytes" "$(in_memory "$MNT/4064")" "$(given 1)"
	same "$options: pages of 64 KiB" "$(in_memory "$MNT/65536")" "$(given 16)"
	same "$options: pages of more" "$(in_memory "$MNT/65537")" 0
	for size in 1 4064 65536 65537; do
		cmp "$MNT/$size" <(random_bytes $size $size)
	done
done
close_volume
for options in rw workers=4 cache=writethrough; do
	for who in reader writer truncater; do
		open_volume -o "$options"
		fill
		close_volume
		open_volume -o "$options"
		meet $who || die "$options: a reader and a $who at once"
		close_volume
		open_volume
		rm -r "$MNT/dir"
		close_volume
	done
done

# A damaged file can be opened, and its content cannot be read.
open_volume
random_bytes 6000 damaged >"$MNT/other"
sync "$MNT/other"
close_volume
backing=$(backing_of_size 6000)
printf x | dd of="$backing" bs=1 seek=5000 conv=notrunc status=none
open_volume
exec 3<"$MNT/other"
expect_exit 1 cat <&3
grep -q 'Input/output error' err || die "no EIO: $(cat err)"
exec 3<&-
close_volume
