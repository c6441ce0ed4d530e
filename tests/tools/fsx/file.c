/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/tools/fsx/fsx.h"

enum { CACHE_PAGE = 4096 };

size_t fsx_draw(struct fsx_worker *w, size_t below)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return below ? (size_t)(w->random % below) : 0;
}

size_t fsx_draw_edge(struct fsx_worker *w, size_t below)
{
	static const size_t unit[] = {4064, CACHE_PAGE};
	size_t page, edge;

	if (fsx_draw(w, 2))
		return fsx_draw(w, below);
	page = unit[fsx_draw(w, 2)];
	edge = fsx_draw(w, below / page + 1) * page + fsx_draw(w, 5);
	if (edge >= 34)
		edge -= 2 + (fsx_draw(w, 2) ? 32 : 0);
	return edge < below ? edge : fsx_draw(w, below);
}

void fsx_note(struct fsx_worker *w, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(w->history[w->step % FSX_HISTORY], sizeof(w->history[0]), format, args);
	va_end(args);
}

void fsx_fail(struct fsx_worker *w, const char *what)
{
	unsigned long i = w->step < FSX_HISTORY ? 0 : w->step - FSX_HISTORY + 1;
	int error = errno;

	flockfile(stdout);
	printf("fsx: worker %u: %s (%s); its last steps:\n", w->id, what,
	       strerror(error));
	for (; i <= w->step; i++)
		printf("  %lu %s\n", i, w->history[i % FSX_HISTORY]);
	fflush(stdout);
	_exit(1);
}

int fsx_open_fd(struct fsx_worker *w, const char *path, int flags)
{
	int fd = -1;

	if (!FSX_DONE(w, (fd = open(path, flags | O_CREAT | O_CLOEXEC, 0644)) >= 0))
		fsx_fail(w, path);
	return fd;
}

void fsx_close_fd(struct fsx_worker *w, int *fd)
{
	/* a close that was interrupted has closed */
	if (*fd >= 0 && close(*fd) && !(errno == EINTR && w->suspends))
		fsx_fail(w, "close");
	*fd = -1;
}

/* Direct descriptors come and go: what the kernel does depends on who is there. */
static void open_file(struct fsx_worker *w, struct fsx_file *file)
{
	file->direct = -1;
	file->reader = -1;
	if ((!file->shares_pages || file->never_cached) && fsx_draw(w, 2))
		file->direct = fsx_open_fd(w, file->path, O_RDWR | O_DIRECT);
	file->fd = fsx_open_fd(w, file->path, O_RDWR);
	if (fsx_draw(w, 2))
		file->reader = fsx_open_fd(w, file->path, O_RDONLY | O_DIRECT);
}

static void close_file(struct fsx_worker *w, struct fsx_file *file)
{
	fsx_close_fd(w, &file->fd);
	fsx_close_fd(w, &file->direct);
	fsx_close_fd(w, &file->reader);
}

void fsx_open(struct fsx_worker *w)
{
	for (size_t i = 0; i < FSX_FILES; i++)
		open_file(w, &w->files[i]);
	w->log_fd = fsx_open_fd(w, w->log, O_WRONLY | O_APPEND);
}

void fsx_close(struct fsx_worker *w)
{
	for (size_t i = 0; i < FSX_FILES; i++)
		close_file(w, &w->files[i]);
	fsx_close_fd(w, &w->log_fd);
}

void fsx_reopen(struct fsx_worker *w, struct fsx_file *file)
{
	close_file(w, file);
	open_file(w, file);
}

/* How many of the bytes at @off belong to the worker (0: none, @off is another's). */
static size_t own_bytes(const struct fsx_worker *w, const struct fsx_file *file,
			size_t off)
{
	if (!file->stripe)
		return file->size - off;
	if (off / file->stripe % w->nr_workers != w->id)
		return 0;
	return file->stripe - off % file->stripe;
}

void fsx_compare(struct fsx_worker *w, const struct fsx_file *file, const uint8_t *got,
		 size_t off, size_t len)
{
	const uint8_t *want = file->model + off;
	size_t i, last;

	if (!memcmp(got, want, len))
		return;
	for (i = 0; got[i] == want[i]; i++)
		;
	for (last = len - 1; got[last] == want[last]; last--)
		;
	printf("fsx: %s: bytes %zu to %zu of %zu are wrong: %02x, not %02x\n", file->path,
	       off + i, off + last, file->size, got[i], want[i]);
	errno = 0;
	fsx_fail(w, "wrong data");
}

void fsx_check_size(struct fsx_worker *w, struct fsx_file *file)
{
	struct stat st;

	if (!FSX_DONE(w, !fstat(file->fd, &st)))
		fsx_fail(w, "fstat");
	if ((size_t)st.st_size == file->size ||
	    (file->stripe && (size_t)st.st_size > file->size))
		return;
	printf("fsx: %s: st_size is %lld, not %zu\n", file->path, (long long)st.st_size,
	       file->size);
	errno = 0;
	fsx_fail(w, "wrong size");
}

static void check_file(struct fsx_worker *w, struct fsx_file *file)
{
	size_t off, own;

	if (!FSX_DONE(w, pread(file->fd, w->buf, FSX_SIZE, 0) >= (ssize_t)file->size))
		fsx_fail(w, "read of a whole file");
	for (off = 0; off < file->size; off += own ? own : file->stripe) {
		own = own_bytes(w, file, off);
		if (own > file->size - off)
			own = file->size - off;
		fsx_compare(w, file, w->buf + off, off, own);
	}
}

void fsx_check_all(struct fsx_worker *w)
{
	for (size_t i = 0; i < FSX_FILES; i++) {
		fsx_check_size(w, &w->files[i]);
		check_file(w, &w->files[i]);
	}
}

static void draw_private(struct fsx_worker *w, const struct fsx_file *file, size_t *off,
			 size_t *len)
{
	static const size_t most = FSX_SIZE - FSX_LEN;

	*off = fsx_draw_edge(w, fsx_draw(w, 3) ? file->size + 1 : most);
	if (*off >= most)
		*off = fsx_draw(w, most);
	*len = 1 + fsx_draw_edge(w, FSX_LEN);
}

static void draw_shared(struct fsx_worker *w, const struct fsx_file *file, size_t *off,
			size_t *len)
{
	size_t turns = FSX_SIZE / file->stripe / w->nr_workers;
	size_t begin = (fsx_draw(w, turns) * w->nr_workers + w->id) * file->stripe;
	size_t skip = fsx_draw(w, 3) ? fsx_draw(w, file->stripe) : 0;

	*off = begin + skip;
	*len = fsx_draw(w, 3) ? 1 + fsx_draw(w, file->stripe - skip)
			      : file->stripe - skip;
}

void fsx_draw_range(struct fsx_worker *w, const struct fsx_file *file, bool whole_pages,
		    size_t *off, size_t *len)
{
	size_t end;

	if (!file->stripe) {
		draw_private(w, file, off, len);
		return;
	}
	draw_shared(w, file, off, len);
	if (!whole_pages)
		return;
	end = (*off + *len + CACHE_PAGE - 1) / CACHE_PAGE * CACHE_PAGE;
	*off = *off / CACHE_PAGE * CACHE_PAGE;
	*len = end - *off;
}

void fsx_fill(struct fsx_worker *w, struct fsx_file *file, size_t off, size_t len)
{
	uint8_t seed = (uint8_t)(w->step * 31 + w->id * 57 + 1);

	for (size_t i = 0; i < len; i++)
		file->model[off + i] = (uint8_t)(seed + i * 7 + (i >> 8));
	fsx_grow(file, off + len);
}

void fsx_grow(struct fsx_file *file, size_t end)
{
	if (end > file->size)
		file->size = end;
}
