/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsx FILE SEED OPERATIONS [REMOUNT-COMMAND]
 *
 * Random operations on one file, each compared with a copy in memory. Sizes and offsets
 * prefer the edges of pages. Now and then the file is closed and REMOUNT-COMMAND is run.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_SIZE = 300000, MAX_LEN = 40000, HISTORY = 20 };

static uint8_t model[MAX_SIZE], buf[MAX_SIZE];
static size_t size;
static int fd = -1;
static const char *path;
static uint64_t state;
static char history[HISTORY][80];
static unsigned long step;

static void fail(const char *what)
{
	unsigned long i;

	printf("fsx: %s: %s; the last steps:\n", what, strerror(errno));
	for (i = step < HISTORY ? 0 : step - HISTORY + 1; i <= step; i++)
		printf("  %lu %s\n", i, history[i % HISTORY]);
	exit(1);
}

static void note(const char *op, size_t off, size_t len)
{
	snprintf(history[step % HISTORY], sizeof(history[0]),
		 "%s at %zu, %zu bytes (size %zu)", op, off, len, size);
}

static size_t draw(size_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return below ? (size_t)(state % below) : 0;
}

/* Half of all numbers lie within two bytes of a page's edge. */
static size_t draw_offset(size_t below)
{
	static const size_t unit[] = {4064, 4096};
	size_t page, edge;

	if (draw(2))
		return draw(below);
	page = unit[draw(2)];
	edge = draw(below / page + 1) * page;
	edge = edge + draw(5) - (edge >= 34 ? 2 + (draw(2) ? 32 : 0) : 0);
	return edge < below ? edge : draw(below);
}

static void open_file(int flags)
{
	fd = open(path, O_RDWR | flags, 0644);
	if (fd < 0)
		fail("open");
}

static void check_size(void)
{
	struct stat st;

	if (fstat(fd, &st))
		fail("fstat");
	if ((size_t)st.st_size != size) {
		printf("fsx: st_size is %lld\n", (long long)st.st_size);
		fail("wrong size");
	}
}

static void compare(const uint8_t *got, size_t off, size_t len)
{
	size_t i;

	if (!memcmp(got, model + off, len))
		return;
	for (i = 0; got[i] == model[off + i]; i++)
		;
	printf("fsx: byte %zu is %02x, not %02x\n", off + i, got[i], model[off + i]);
	fail("wrong data");
}

static void op_read(void)
{
	size_t off = draw_offset(size + 1000), len = draw_offset(MAX_LEN), want = 0;
	ssize_t got;

	note("read", off, len);
	if (off < size)
		want = len < size - off ? len : size - off;
	got = pread(fd, buf, len, (off_t)off);
	if (got != (ssize_t)want) {
		printf("fsx: %zd bytes, not %zu\n", got, want);
		fail("read");
	}
	compare(buf, off < size ? off : 0, want);
}

static void fill(size_t off, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		model[off + i] = (uint8_t)(step * 31 + i * 7 + (i >> 8) + 1);
}

static void grow(size_t end)
{
	if (end <= size)
		return;
	memset(model + size, 0, end - size);
	size = end;
}

static void op_write(void)
{
	size_t off = draw_offset(draw(3) ? size + 1 : MAX_SIZE - MAX_LEN);
	size_t len = draw_offset(MAX_LEN);

	if (off > MAX_SIZE - MAX_LEN)
		off = draw(MAX_SIZE - MAX_LEN);
	note("write", off, len);
	if (len)
		grow(off);
	fill(off, len);
	if (len && off + len > size)
		size = off + len;
	if (pwrite(fd, model + off, len, (off_t)off) != (ssize_t)len)
		fail("write");
}

static void op_truncate(void)
{
	size_t to = draw_offset(draw(3) ? size + 1 : MAX_SIZE);

	note("truncate to", to, 0);
	grow(to);
	size = to;
	if (ftruncate(fd, (off_t)to))
		fail("truncate");
}

static void op_clear(void)
{
	static const int modes[] = {FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE, 0};
	size_t which = draw(3), off = draw_offset(size + 1000),
	       len = 1 + draw_offset(MAX_LEN);
	size_t end = off + len < size ? off + len : size;

	note(which == 0 ? "punch" : which == 1 ? "zero" : "allocate", off, len);
	if (off < end && modes[which])
		memset(model + off, 0, end - off);
	if (fallocate(fd, FALLOC_FL_KEEP_SIZE | modes[which], (off_t)off, (off_t)len))
		fail("fallocate");
}

/* What is said to be a hole must be one. */
static void op_seek(void)
{
	off_t from = (off_t)draw_offset(size + 1), hole, data;

	note("seek", (size_t)from, 0);
	hole = lseek(fd, from, SEEK_HOLE);
	if (from >= (off_t)size) {
		if (hole >= 0)
			fail("SEEK_HOLE behind the end");
		return;
	}
	data = hole < (off_t)size ? lseek(fd, hole, SEEK_DATA) : hole;
	if (hole < from || (data < 0 && errno != ENXIO))
		fail("SEEK_HOLE or SEEK_DATA");
	if (data < 0)
		data = (off_t)size;
	for (; hole < data; hole++) {
		if (model[hole])
			fail("data in a hole");
	}
}

static void op_mmap(void)
{
	size_t off, len;
	uint8_t *map;

	if (!size)
		return;
	off = draw_offset(size);
	len = 1 + draw(size - off < MAX_LEN ? size - off : MAX_LEN);
	note("mmap write", off, len);
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		fail("mmap");
	compare(map + off, off, len);
	fill(off, len);
	memcpy(map + off, model + off, len);
	if (draw(2) && msync(map, size, MS_SYNC))
		fail("msync");
	if (munmap(map, size))
		fail("munmap");
}

static void op_sync(void)
{
	note("fsync", 0, 0);
	if (draw(2) ? fsync(fd) : fdatasync(fd))
		fail("fsync");
}

static void op_reopen(void)
{
	note("reopen", 0, 0);
	if (close(fd))
		fail("close");
	open_file(draw(4) ? 0 : O_DIRECT);
}

static void op_remount(const char *command)
{
	note("remount", 0, 0);
	if (close(fd))
		fail("close");
	if (system(command))
		fail("remount");
	open_file(0);
	check_size();
	if (pread(fd, buf, MAX_SIZE, 0) != (ssize_t)size)
		fail("read after remount");
	compare(buf, 0, size);
}

static void one_step(const char *remount, unsigned long every)
{
	size_t what = draw(100);

	if (remount && step % every == every - 1)
		op_remount(remount);
	else if (what < 35)
		op_read();
	else if (what < 75)
		op_write();
	else if (what < 85)
		op_truncate();
	else if (what < 89)
		op_mmap();
	else if (what < 92)
		op_clear();
	else if (what < 94)
		op_seek();
	else if (what < 96)
		op_sync();
	else
		op_reopen();
	check_size();
}

int main(int argc, char **argv)
{
	unsigned long nr;

	if (argc < 4) {
		fprintf(stderr, "usage: fsx FILE SEED OPERATIONS [REMOUNT-COMMAND]\n");
		return 2;
	}
	path = argv[1];
	state = strtoull(argv[2], NULL, 0) * 0x9e3779b97f4a7c15u + 1;
	nr = strtoul(argv[3], NULL, 0);
	open_file(O_CREAT | O_TRUNC);
	for (step = 0; step < nr; step++)
		one_step(argv[4], nr / 20 + 1);
	return 0;
}
