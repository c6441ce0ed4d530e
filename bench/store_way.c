/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/store_way.h"

#include <errno.h>
#include <liburing.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
	RING_ENTRIES = 32,
	OVERDUE_NS = 150000, /* as in fs/fetch.c */
};

const struct store_way store_ways[] = {
	{.name = "plain"},
	{.name = "peek", .peeks = true},
	{.name = "uring", .ring = true},
	{.name = "uring-batch", .ring = true, .together = true},
	{.name = "fixed", .ring = true, .registered = true},
	{.name = "fixed-batch", .ring = true, .registered = true, .together = true},
	{.name = "peek-uring", .peeks = true, .ring = true, .together = true},
	{.name = NULL},
};

static struct {
	const int *fds;
	uint8_t *bufs;
	struct store_io *ios;
	struct io_uring rings[2]; /* the second with registered buffers and files */
	char why[2][128];	  /* it is not there */
	bool cannot_peek;	  /* found out by trying */
} s;

void store_expect(long rc, const char *what)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "store_bench: %s: %s\n", what, strerror((int)-rc));
	exit(1);
}

uint64_t store_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* As a worker would have it: its thread makes system calls all the time anyway. */
static int open_ring(struct io_uring *ring, bool registered)
{
	struct iovec iovs[STORE_NR_IOS];
	int ret = io_uring_queue_init(RING_ENTRIES, ring,
				      IORING_SETUP_COOP_TASKRUN |
					      IORING_SETUP_SINGLE_ISSUER);

	if (ret || !registered)
		return ret;
	for (int i = 0; i < STORE_NR_IOS; i++)
		iovs[i] = (struct iovec){s.ios[i].buf, STORE_BUF_BYTES};
	ret = io_uring_register_buffers(ring, iovs, STORE_NR_IOS);
	if (!ret)
		ret = io_uring_register_files(ring, s.fds, STORE_NR_FILES);
	if (ret)
		io_uring_queue_exit(ring);
	return ret;
}

void store_init(const int fds[STORE_NR_FILES], struct store_io ios[STORE_NR_IOS])
{
	s.fds = fds;
	s.ios = ios;
	s.cannot_peek = false;
	s.bufs =
		mmap(NULL, (size_t)STORE_NR_IOS * STORE_BUF_BYTES, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	store_expect(s.bufs == MAP_FAILED ? -errno : 0, "memory");
	for (int i = 0; i < STORE_NR_IOS; i++)
		ios[i].buf = s.bufs + (size_t)i * STORE_BUF_BYTES;
	for (int i = 0; i < 2; i++) {
		int ret = open_ring(&s.rings[i], i == 1);

		if (ret)
			snprintf(s.why[i], sizeof(s.why[i]), "%s", strerror(-ret));
	}
}

void store_fini(void)
{
	for (int i = 0; i < 2; i++)
		if (!s.why[i][0])
			io_uring_queue_exit(&s.rings[i]);
	munmap(s.bufs, (size_t)STORE_NR_IOS * STORE_BUF_BYTES);
}

const char *store_unavailable(const struct store_way *way)
{
	const char *why = s.why[way->registered];

	return way->ring && why[0] ? why : NULL;
}

static void note_done(struct store_io *io)
{
	io->busy = false;
	io->nr_done++;
}

/* By the calls that wait. */
static void finish(struct store_io *io)
{
	while (io->done_len < io->len) {
		uint8_t *buf = io->buf + io->done_len;
		size_t len = io->len - io->done_len;
		off_t off = (off_t)(io->off + io->done_len);
		ssize_t n = io->write ? pwrite(s.fds[io->file], buf, len, off)
				      : pread(s.fds[io->file], buf, len, off);

		store_expect(n > 0 ? 0 : n < 0 ? -errno : -EIO, "reading or writing");
		io->done_len += (uint32_t)n;
	}
	note_done(io);
}

/* True when all of it is there. */
static bool look(struct store_io *io)
{
	struct iovec iov = {io->buf + io->done_len, io->len - io->done_len};
	ssize_t n = preadv2(s.fds[io->file], &iov, 1, (off_t)(io->off + io->done_len),
			    RWF_NOWAIT);

	if (n < 0 && errno == EOPNOTSUPP)
		s.cannot_peek = true;
	if (n > 0)
		io->done_len += (uint32_t)n;
	if (io->done_len < io->len)
		return false;
	note_done(io);
	return true;
}

static void prepare(struct io_uring *ring, bool registered, struct store_io *io)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	int index = (int)(io - s.ios),
	    file = registered ? (int)io->file : s.fds[io->file];
	uint64_t off = io->off + io->done_len;
	uint8_t *buf = io->buf + io->done_len;
	uint32_t len = io->len - io->done_len;

	store_expect(sqe ? 0 : -ENOSPC, "the ring");
	if (registered && io->write)
		io_uring_prep_write_fixed(sqe, file, buf, len, off, index);
	else if (registered)
		io_uring_prep_read_fixed(sqe, file, buf, len, off, index);
	else if (io->write)
		io_uring_prep_write(sqe, file, buf, len, off);
	else
		io_uring_prep_read(sqe, file, buf, len, off);
	if (registered)
		sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data(sqe, io);
}

static void submit(struct io_uring *ring, unsigned nr_wait)
{
	int ret;

	do
		ret = io_uring_submit_and_wait(ring, nr_wait);
	while (ret == -EINTR);
	store_expect(ret, "submitting");
}

void store_start(const struct store_way *way, struct store_io *io)
{
	struct io_uring *ring = &s.rings[way->registered];
	bool peeks = way->peeks && !io->write && !s.cannot_peek;

	io->busy = true;
	io->done_len = 0;
	if (peeks && look(io))
		return;
	if (way->ring) {
		prepare(ring, way->registered, io);
		if (!way->together)
			submit(ring, 0);
	} else if (peeks && !s.cannot_peek) {
		io->since_ns = store_now_ns();
	} else {
		finish(io);
	}
}

static void look_at_oldest(struct store_io *ios, unsigned nr_ios, bool others)
{
	struct store_io *oldest = NULL;

	for (unsigned i = 0; i < nr_ios; i++)
		if (ios[i].busy && (!oldest || ios[i].since_ns < oldest->since_ns))
			oldest = &ios[i];
	if (!oldest || look(oldest) || others)
		return;
	if (store_now_ns() - oldest->since_ns > OVERDUE_NS)
		finish(oldest);
	else
		sched_yield();
}

/* How many were there. */
static unsigned reap(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;
	unsigned head, nr = 0;

	io_uring_for_each_cqe(ring, head, cqe)
	{
		struct store_io *io = io_uring_cqe_get_data(cqe);
		bool whole = cqe->res == (int)(io->len - io->done_len);

		store_expect(cqe->res < 0 ? cqe->res : whole ? 0 : -EIO, "a completion");
		note_done(io);
		nr++;
	}
	io_uring_cq_advance(ring, nr);
	return nr;
}

static bool any_busy(const struct store_io *ios, unsigned nr_ios)
{
	for (unsigned i = 0; i < nr_ios; i++)
		if (ios[i].busy)
			return true;
	return false;
}

void store_collect(const struct store_way *way, struct store_io *ios, unsigned nr_ios,
		   const struct store_io *others)
{
	struct io_uring *ring = &s.rings[way->registered];
	unsigned nr;

	if (!way->ring) {
		look_at_oldest(ios, nr_ios, others);
		return;
	}
	nr = reap(ring);
	for (;;) {
		bool wait = others ? others->busy : !nr && any_busy(ios, nr_ios);

		if (!wait && !io_uring_sq_ready(ring))
			return;
		submit(ring, wait);
		nr += reap(ring);
	}
}
