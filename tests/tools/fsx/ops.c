/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/tools/fsx/fsx.h"

enum { PIECES = 3 };

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

static bool is_private(const struct fsx_file *file)
{
	return !file->stripe;
}

static int any_fd(struct fsx_worker *w, const struct fsx_file *file)
{
	return file->direct >= 0 && fsx_draw(w, 2) ? file->direct : file->fd;
}

static int any_reader(struct fsx_worker *w, const struct fsx_file *file)
{
	return file->reader >= 0 && !fsx_draw(w, 3) ? file->reader : any_fd(w, file);
}

static const char *name_of(const struct fsx_file *file, int fd)
{
	static char text[FSX_PATH + 16];
	const char *slash = strrchr(file->path, '/');

	snprintf(text, sizeof(text), "%s%s", slash ? slash + 1 : file->path,
		 fd == file->direct   ? ", direct"
		 : fd == file->reader ? ", direct reader"
				      : "");
	return text;
}

/* Most often one piece, else up to three. Returns their number. */
static int cut(struct fsx_worker *w, uint8_t *data, size_t len,
	       struct iovec pieces[PIECES])
{
	int nr = 0;

	while (nr < PIECES - 1 && len > 1 && !fsx_draw(w, 3)) {
		size_t part = 1 + fsx_draw(w, len - 1);

		pieces[nr++] = (struct iovec){data, part};
		data += part;
		len -= part;
	}
	pieces[nr++] = (struct iovec){data, len};
	return nr;
}

static void op_read(struct fsx_worker *w, struct fsx_file *file)
{
	struct iovec pieces[PIECES];
	size_t off, len, want = 0;
	int nr, fd = any_reader(w, file);
	ssize_t got = -1;

	fsx_draw_range(w, file, false, &off, &len);
	if (off < file->size)
		want = smaller(len, file->size - off);
	fsx_note(w, "read %s at %zu, %zu bytes of %zu", name_of(file, fd), off, len,
		 file->size);
	nr = cut(w, w->buf, len, pieces);
	if (!FSX_DONE(w, (got = preadv(fd, pieces, nr, (off_t)off)) >= (ssize_t)want) ||
	    (is_private(file) && got > (ssize_t)want)) {
		printf("fsx: %zd bytes, not %zu\n", got, want);
		fsx_fail(w, "read");
	}
	if (got > 0)
		fsx_compare(w, file, w->buf, off, (size_t)got);
}

static void op_write(struct fsx_worker *w, struct fsx_file *file)
{
	struct iovec pieces[PIECES];
	int nr, fd = any_fd(w, file);
	size_t off, len;

	fsx_draw_range(w, file, false, &off, &len);
	fsx_note(w, "write %s at %zu, %zu bytes (size %zu)", name_of(file, fd), off, len,
		 file->size);
	fsx_fill(w, file, off, len);
	nr = cut(w, file->model + off, len, pieces);
	if (!FSX_DONE(w, pwritev(fd, pieces, nr, (off_t)off) == (ssize_t)len))
		fsx_fail(w, "write");
}

static void op_map(struct fsx_worker *w, struct fsx_file *file)
{
	size_t off, len, skip;
	bool write = fsx_draw(w, 3);
	int fd = any_fd(w, file);
	uint8_t *map;

	fsx_draw_range(w, file, false, &off, &len);
	if (off >= file->size || (file->shares_pages && file->never_cached))
		return;
	len = smaller(len, file->size - off);
	fsx_note(w, "map %s at %zu, %zu bytes of %zu, to %s", name_of(file, fd), off, len,
		 file->size, write ? "write" : "read");
	skip = off % 4096;
	map = mmap(NULL, skip + len, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		   (off_t)(off - skip));
	if (map == MAP_FAILED)
		fsx_fail(w, "mmap");
	fsx_compare(w, file, map + skip, off, len);
	if (write) {
		fsx_fill(w, file, off, len);
		memcpy(map + skip, file->model + off, len);
		if (!fsx_draw(w, 3) && !FSX_DONE(w, !msync(map, skip + len, MS_SYNC)))
			fsx_fail(w, "msync");
	}
	if (munmap(map, skip + len))
		fsx_fail(w, "munmap");
}

static void op_allocate(struct fsx_worker *w, struct fsx_file *file)
{
	static const struct {
		int mode;
		const char *name;
	} kinds[] = {
		{FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, "punch"},
		{FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, "zero"},
		{FALLOC_FL_ZERO_RANGE, "zero or grow"},
		{FALLOC_FL_KEEP_SIZE, "allocate"},
		{0, "allocate or grow"},
	};
	size_t which = fsx_draw(w, sizeof(kinds) / sizeof(kinds[0])), off, len;
	int fd, mode = kinds[which].mode;

	if (file->shares_pages)
		return;
	fsx_draw_range(w, file, true, &off, &len);
	fsx_note(w, "%s %s at %zu, %zu bytes (size %zu)", kinds[which].name,
		 name_of(file, file->fd), off, len, file->size);
	fd = any_fd(w, file);
	if (!FSX_DONE(w, !fallocate(fd, mode, (off_t)off, (off_t)len)))
		fsx_fail(w, "fallocate");
	if (mode & ~FALLOC_FL_KEEP_SIZE)
		memset(file->model + off, 0, len);
	if (!(mode & FALLOC_FL_KEEP_SIZE))
		fsx_grow(file, off + len);
}

static void op_copy(struct fsx_worker *w, struct fsx_file *to)
{
	struct fsx_file *from = &w->files[fsx_draw(w, FSX_FILES)];
	size_t off, len, at, room;
	off_t in, out;
	ssize_t n;

	fsx_draw_range(w, from, false, &off, &len);
	fsx_draw_range(w, to, false, &at, &room);
	if (off >= from->size)
		return;
	len = smaller(smaller(len, room), from->size - off);
	if (from == to && off < at + len && at < off + len)
		return;
	fsx_note(w, "copy %zu bytes at %zu of %s to %zu of file %zu", len, off,
		 name_of(from, from->fd), at, (size_t)(to - w->files));
	memcpy(to->model + at, from->model + off, len);
	fsx_grow(to, at + len);
	for (in = (off_t)off, out = (off_t)at; len; len -= (size_t)n) {
		if (!FSX_DONE(w, (n = copy_file_range(from->fd, &in, to->fd, &out, len,
						      0)) > 0))
			fsx_fail(w, "copy_file_range");
	}
}

static void op_truncate(struct fsx_worker *w, struct fsx_file *file)
{
	size_t to = fsx_draw_edge(w, fsx_draw(w, 3) ? file->size + 1 : FSX_SIZE);
	int fd;

	if (!is_private(file))
		return;
	fsx_note(w, "truncate %s from %zu to %zu", name_of(file, file->fd), file->size,
		 to);
	fd = fsx_draw(w, 2) ? any_fd(w, file) : -1;
	if (!FSX_DONE(w, !(fd < 0 ? truncate(file->path, (off_t)to)
				  : ftruncate(fd, (off_t)to))))
		fsx_fail(w, "truncate");
	if (to < file->size)
		memset(file->model + to, 0, file->size - to);
	file->size = to;
}

/* What is said to be a hole must be one. */
static void op_seek(struct fsx_worker *w, struct fsx_file *file)
{
	off_t from = (off_t)fsx_draw_edge(w, file->size + 1), hole, data;

	if (!is_private(file))
		return;
	fsx_note(w, "seek in %s from %lld (size %zu)", name_of(file, file->fd),
		 (long long)from, file->size);
	if (from >= (off_t)file->size) {
		if (!FSX_DONE(w, lseek(file->fd, from, SEEK_HOLE) < 0 && errno == ENXIO))
			fsx_fail(w, "SEEK_HOLE behind the end");
		return;
	}
	if (!FSX_DONE(w, (hole = lseek(file->fd, from, SEEK_HOLE)) >= from) ||
	    !FSX_DONE(w, (data = lseek(file->fd, hole, SEEK_DATA)) >= hole ||
				 errno == ENXIO))
		fsx_fail(w, "SEEK_HOLE or SEEK_DATA");
	if (data < 0)
		data = (off_t)file->size;
	for (; hole < data; hole++) {
		if (file->model[hole])
			fsx_fail(w, "data in a hole");
	}
}

/* Without this, what is read would mostly be the page cache's. */
static void op_forget(struct fsx_worker *w, struct fsx_file *file)
{
	fsx_note(w, "drop the cache of %s", name_of(file, file->fd));
	if (fsx_draw(w, 2) && !FSX_DONE(w, !fdatasync(file->fd)))
		fsx_fail(w, "fdatasync");
	errno = posix_fadvise(file->fd, 0, 0, POSIX_FADV_DONTNEED);
	if (errno)
		fsx_fail(w, "posix_fadvise");
}

static void op_sync(struct fsx_worker *w, struct fsx_file *file)
{
	int fd = any_fd(w, file);

	fsx_note(w, "sync %s", name_of(file, fd));
	if (!FSX_DONE(w, !fsync(fd)))
		fsx_fail(w, "fsync");
}

static void op_reopen(struct fsx_worker *w, struct fsx_file *file)
{
	fsx_note(w, "reopen %s", name_of(file, file->fd));
	fsx_reopen(w, file);
}

/* As editors save: a new file with the same content takes the old one's place. */
static void op_replace(struct fsx_worker *w, struct fsx_file *file)
{
	char path[FSX_PATH + 8];
	int fd;

	if (!is_private(file))
		return;
	fsx_note(w, "replace %s", name_of(file, file->fd));
	snprintf(path, sizeof(path), "%s.new", file->path);
	fd = fsx_open_fd(w, path, O_WRONLY | O_TRUNC);
	if (!FSX_DONE(w, pwrite(fd, file->model, file->size, 0) == (ssize_t)file->size) ||
	    (fsx_draw(w, 2) && !FSX_DONE(w, !fsync(fd))))
		fsx_fail(w, "write of a new file");
	fsx_close_fd(w, &fd);
	if (!FSX_DONE(w, !rename(path, file->path)))
		fsx_fail(w, "rename");
	fsx_reopen(w, file);
}

/* One record to the file that all append to; fsx.c reads them again. */
static void op_log(struct fsx_worker *w, struct fsx_file *file)
{
	uint32_t *record = (uint32_t *)(void *)w->buf;
	size_t words = 3 + fsx_draw(w, 60);

	(void)file;
	fsx_note(w, "append %zu words to the log", words);
	record[0] = w->id;
	record[1] = (uint32_t)w->nr_logged++;
	record[2] = (uint32_t)words;
	for (size_t i = 3; i < words; i++)
		record[i] = record[1] + (uint32_t)i;
	if (!FSX_DONE(w, write(w->log_fd, record, words * 4) == (ssize_t)words * 4))
		fsx_fail(w, "append");
}

void fsx_step(struct fsx_worker *w)
{
	static const struct {
		unsigned share; /* of 1000 */
		void (*run)(struct fsx_worker *w, struct fsx_file *file);
	} ops[] = {{300, op_read},    {330, op_write}, {90, op_map},  {60, op_allocate},
		   {60, op_truncate}, {40, op_copy},   {30, op_sync}, {30, op_reopen},
		   {25, op_forget},   {15, op_seek},   {10, op_log},  {10, op_replace}};
	struct fsx_file *file = &w->files[fsx_draw(w, FSX_FILES)];
	size_t what = fsx_draw(w, 1000), i;

	fsx_note(w, "(nothing)");
	for (i = 0; what >= ops[i].share; i++)
		what -= ops[i].share;
	ops[i].run(w, file);
	fsx_check_size(w, file);
	w->step++;
}
