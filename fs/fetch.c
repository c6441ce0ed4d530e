/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/fetch.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/uio.h>

#include "fs/fs.h"
#include "fs/pages.h"
#include "fs/worker.h"

/* The bytes that are in memory; no error: whoever waits for the rest meets it. */
static uint64_t read_cached(struct fs *fs, int fd, void *buf, uint64_t len, uint64_t off)
{
	struct iovec iov = {buf, len};
	ssize_t n;

	if (__atomic_load_n(&fs->cannot_peek, __ATOMIC_RELAXED))
		return 0;
	n = preadv2(fd, &iov, 1, (off_t)off, RWF_NOWAIT);
	if (n < 0 && errno == EOPNOTSUPP)
		__atomic_store_n(&fs->cannot_peek, true, __ATOMIC_RELAXED);
	return n > 0 ? (uint64_t)n : 0;
}

int fetch_backing(struct worker *w, int fd, void *buf, uint64_t len, uint64_t off)
{
	uint64_t done = read_cached(w->fs, fd, buf, len, off);

	if (done == len)
		return 0;
	if (!__atomic_load_n(&w->fs->cannot_peek, __ATOMIC_RELAXED))
		worker_step_aside(w);
	return pages_read_backing(fd, (uint8_t *)buf + done, len - done, off + done);
}
