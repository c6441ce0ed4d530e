/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fs/crew.h"
#include "fs/deadline.h"
#include "fs/fs.h"
#include "fs/fuse_loop.h"
#include "fs/fuse_park.h"
#include "fs/link.h"
#include "fs/log.h"
#include "fs/near.h"
#include "fs/park.h"
#include "fs/worker.h"

#ifndef FUSE_DIRECT_IO_ALLOW_MMAP /* since Linux 6.6 */
#define FUSE_DIRECT_IO_ALLOW_MMAP (1ULL << 36)
#endif

enum {
	MAX_LOOKS = 64, /* of a system call each, before sleeping on the ring */
	SPIN_MAX_NS = 50000,
	SPIN_MIN_NS = 1000,
	SUSPENDED_POLL_MS = 100,
	BACKLOG = 8, /* requests in a row that need not be waited for */
	/* so that the payload of a WRITE lands on a page boundary */
	WRITE_HEADERS = sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in),
	REQUEST_MAX = WRITE_HEADERS + ENGINE_DATA_BYTES,
	INTERNAL_ERRNO = 512, /* from here on they are the kernel's own */
};

struct loop {
	struct fuse_session *se;
	struct fs *fs;
	int fuse_fd;
	struct crew crew;
	struct park park;
	struct near near;
	uint64_t max_spin_ns;
	unsigned max_looks;
	/* the first worker's, until INIT is answered */
	bool init_pending; /* INIT was received and is not answered yet */
	uint64_t offered;  /* FUSE_* flags of the kernel */
	bool setxattr_ext; /* SETXATTR has its longer form */
};

static _Thread_local struct worker *current;

struct worker *worker_current(void)
{
	return current;
}

struct fs *worker_fs(struct worker *w)
{
	return w->fs;
}

bool worker_look_around(void *worker)
{
	struct worker *w = worker;

	if (w->loop) /* else it settles, before there is anything to serve */
		crew_take_part(&w->loop->crew, w);
	return !link_epoch(w->fs->link) && w->interrupted && w->interrupted(w->request);
}

int worker_finish(struct worker *w)
{
	fetch_finish(w);
	return engine_finish(w);
}

void worker_leave_seat(struct worker *w)
{
	if (w->has_seat) /* else there may be no loop */
		crew_stand(&w->loop->crew, w);
}

int worker_may_block(struct worker *w)
{
	int ret = worker_finish(w);

	worker_leave_seat(w);
	return ret;
}

int worker_let_pass(struct worker *w)
{
	int ret = worker_may_block(w);

	if (!ret)
		crew_let_pass(&w->loop->crew, w);
	return ret;
}

void worker_allow_parallel_writes(void)
{
	current->parallel_writes = true;
}

static void end_loop(struct worker *w)
{
	struct loop *loop = w->loop;

	crew_end(&loop->crew, w);
	/* whoever waits for a resume has nobody left to wait for */
	link_shut(loop->fs->link);
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* A request to @buf; its length, -EAGAIN when there is none, -ENODEV after unmounting. */
static ssize_t read_once(struct loop *loop, void *buf)
{
	for (;;) {
		ssize_t n = read(loop->fuse_fd, buf, REQUEST_MAX);

		if (n >= 0)
			return n;
		/* ENOENT: the request was killed while it was being read */
		if (errno != EINTR && errno != ENOENT)
			return -errno;
	}
}

/* Looks for a while before giving up; learns how long that is worth it. */
static ssize_t read_spinning(struct worker *w, void *buf)
{
	uint64_t until = monotonic_ns() + w->spin_ns;
	ssize_t n = -EAGAIN;

	while (n == -EAGAIN && monotonic_ns() < until) {
		sched_yield();
		n = read_once(w->loop, buf);
	}
	if (n != -EAGAIN)
		w->spin_ns = lesser(w->spin_ns + w->spin_ns / 8, w->loop->max_spin_ns);
	return n;
}

static void learn_from_sleep(struct worker *w, uint64_t slept_ns)
{
	w->spin_ns = slept_ns < SPIN_MAX_NS ? 2 * slept_ns : w->spin_ns / 2;
	if (w->spin_ns < SPIN_MIN_NS)
		w->spin_ns = SPIN_MIN_NS;
	w->spin_ns = lesser(w->spin_ns, w->loop->max_spin_ns);
}

/*
 * @slot is put back meanwhile, so that a wipe includes it. True when the file system is
 * unmounted, which is seen even if no @requests are waited for.
 */
static bool sleep_until_ready(struct worker *w, struct engine_slot *slot, bool requests)
{
	struct loop *loop = w->loop;
	struct pollfd fds[2] = {{.fd = loop->crew.wake_fd, .events = POLLIN},
				{.fd = loop->fuse_fd, .events = requests ? POLLIN : 0}};
	uint64_t start = monotonic_ns();
	eventfd_t count;

	engine_slot_put(&w->engine, slot);
	poll(fds, 2, requests && park_is_empty(&loop->park) ? -1 : SUSPENDED_POLL_MS);
	if (fds[0].revents) {
		eventfd_read(loop->crew.wake_fd, &count);
		crew_take_part(&loop->crew, w);
	}
	engine_slot_take(&w->engine); /* last in, first out: it is the same */
	learn_from_sleep(w, monotonic_ns() - start);
	return fds[1].revents & POLLERR;
}

static void note_init(struct loop *loop, const void *message)
{
	const struct fuse_in_header *header = message;
	const struct fuse_init_in *init = (const void *)(header + 1);

	if (header->opcode != FUSE_INIT)
		return;
	loop->init_pending = true;
	loop->offered = init->flags;
	if (init->flags & FUSE_INIT_EXT)
		loop->offered |= (uint64_t)init->flags2 << 32;
}

/* Requests that are there before they are looked for: more could be served at once. */
static void note_backlog(struct worker *w, bool more)
{
	w->backlog = more ? w->backlog + 1 : 0;
	if (w->backlog % BACKLOG == BACKLOG - 1)
		crew_call(&w->loop->crew);
}

/*
 * The next request to serve. With @wait waits for it; else, or if others wait for it,
 * -EAGAIN when there is none. -ENODEV after unmounting.
 */
static ssize_t next_request(struct worker *w, struct engine_slot *slot, bool wait)
{
	struct loop *loop = w->loop;
	void *buf = slot->data - WRITE_HEADERS;
	bool ended = false;

	for (;;) {
		ssize_t n;
		bool full;

		crew_begin_taking(&loop->crew, w);
		n = fuse_park_take(&loop->park, loop->fs, buf);
		full = park_is_full(&loop->park) && !ended;
		if (n > 0)
			return n;
		if (!full)
			n = read_once(loop, buf);
		note_backlog(w, n > 0);
		if (n == -EAGAIN && !full && wait)
			n = read_spinning(w, buf);
		if (n > 0 && !fuse_park_request(&loop->park, loop->fs, loop->fuse_fd, buf,
						(size_t)n))
			return n;
		if (n < 0 && (n != -EAGAIN || !wait))
			return n;
		if (n < 0) {
			crew_end_taking(&loop->crew, w);
			fuse_park_answer_dying(&loop->park, loop->fuse_fd);
			/* another may have gone to sleep before anything was parked */
			if (park_is_empty(&loop->park) && crew_leave(&loop->crew, w))
				return n;
			ended = sleep_until_ready(w, slot, !full);
		}
	}
}

/*
 * What libfuse 3.14 does not know, in words that it does: FUSE_TMPFILE is a CREATE of
 * "/", a name that no entry can have, with the same reply; and SETXATTR loses its flags.
 */
static void translate(struct worker *w, struct fuse_in_header *header)
{
	struct fuse_setxattr_in *setxattr = (void *)(header + 1);
	const size_t known = FUSE_COMPAT_SETXATTR_IN_SIZE;

	if (header->opcode == FUSE_TMPFILE)
		header->opcode = FUSE_CREATE;
	if (header->opcode != FUSE_SETXATTR || !w->loop->setxattr_ext)
		return;
	w->setxattr_flags = setxattr->setxattr_flags;
	memmove((char *)setxattr + known, setxattr + 1,
		header->len - sizeof(*header) - sizeof(*setxattr));
	header->len -= (uint32_t)(sizeof(*setxattr) - known);
}

/* Reads and writes can be asynchronous, or the kernel's that reads ahead. */
static bool is_waited_for(const struct fuse_in_header *header)
{
	return header->opcode != FUSE_READ && header->opcode != FUSE_WRITE;
}

/* A handler makes the slot its own by setting w->slot to NULL. */
static void dispatch(struct worker *w, struct engine_slot *slot, ssize_t len)
{
	struct fuse_in_header *header = (void *)(slot->data - WRITE_HEADERS);
	struct fuse_buf buf = {.mem = header, .size = (size_t)len};

	w->slot = slot;
	slot->end = (uint8_t *)header + len;
	note_init(w->loop, header);
	near_request(&w->loop->near, &w->near, header->pid, is_waited_for(header),
		     w->engine.nr_submitted);
	translate(w, header);
	buf.size = header->len;
	fuse_session_process_buf(w->loop->se, &buf);
	w->request = NULL;
	w->interrupted = NULL;
	if (w->slot)
		engine_slot_put(&w->engine, w->slot);
	w->slot = NULL;
}

static bool is_idle(const struct worker *w)
{
	return !w->engine.nr_ops && !w->fetches.first;
}

/* Nothing came and nothing was done. The HSM may need the core for something long. */
static void idle(struct worker *w, unsigned *looks)
{
	if (!w->fetches.first && ++*looks > w->loop->max_looks)
		engine_finish(w);
	else if (w->fetches.first || w->engine.nr_long)
		sched_yield();
}

/*
 * Receives, dispatches and completes while it has a seat. While requests are under way it
 * looks all ways, for requests, for completions and for what the store has read, so that
 * HSM and store work on some while others are taken in; it sleeps on /dev/fuse only when
 * nothing is.
 */
static void serve(struct worker *w)
{
	unsigned looks = 0;

	while (w->has_seat) {
		struct engine_slot *slot = engine_slot_take(&w->engine);
		ssize_t len = -EAGAIN;
		bool busy;

		if (slot)
			len = next_request(w, slot, is_idle(w));
		if (len > 0)
			dispatch(w, slot, len);
		else if (slot)
			engine_slot_put(&w->engine, slot);
		crew_end_taking(&w->loop->crew, w);
		if (len < 0 && len != -EAGAIN) {
			end_loop(w);
			return;
		}
		busy = len > 0;
		busy |= fetch_run(w);
		busy |= engine_run(w);
		if (fetch_overdue(w, busy))
			worker_leave_seat(w);
		else if (busy)
			looks = 0;
		else
			idle(w, &looks);
	}
}

static void *worker_thread(void *arg)
{
	struct worker w = {.loop = arg};
	struct crew *crew = &w.loop->crew;
	int ret;

	w.fs = w.loop->fs;
	w.spin_ns = lesser(SPIN_MIN_NS, w.loop->max_spin_ns);
	current = &w;
	prctl(PR_SET_NAME, "hsmfs-worker");
	ret = engine_init(&w.engine);
	if (ret) {
		log_warn("a worker could not get memory for its ring (%s)",
			 strerror(-ret));
		crew_quit(crew);
		return NULL;
	}
	if (w.fs->poll_us != FS_POLL_DEFAULT)
		queue_set_patience(&w.engine.queue, (uint32_t)w.fs->poll_us * 1000);
	crew_enter(crew, &w);
	while (crew_sit(crew, &w)) {
		serve(&w);
		worker_finish(&w);
	}
	worker_finish(&w);
	engine_fini(&w.engine);
	return NULL;
}

/*
 * libfuse knows PARALLEL_DIROPS but its 3.14 never asks for it. Memory maps of files that
 * are open with direct_io need the kernel to be told that they are meant. With
 * KILLPRIV_V2 set-id bits are ours to take, and the kernel does not look for
 * security.capability before each write.
 */
static void amend_init(struct loop *loop, const struct fuse_out_header *header,
		       struct iovec *iov)
{
	struct fuse_init_out *init = iov->iov_base;
	uint64_t flags = FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV_V2 | FUSE_INIT_EXT |
			 FUSE_DIRECT_IO_ALLOW_MMAP |
			 (loop->fs->acl ? FUSE_SETXATTR_EXT : 0);

	if (header->error || iov->iov_len < offsetof(struct fuse_init_out, unused))
		return;
	flags &= loop->offered;
	loop->setxattr_ext = flags & FUSE_SETXATTR_EXT;
	init->flags |= (uint32_t)flags;
	if (flags & FUSE_INIT_EXT)
		init->flags2 |= (uint32_t)(flags >> 32);
}

/* FOPEN_PARALLEL_DIRECT_WRITES: libfuse 3.14 has no word for it. */
static void amend_open(const struct fuse_out_header *header, struct iovec *iov)
{
	struct fuse_open_out *open = (void *)((char *)iov->iov_base + iov->iov_len);

	/* the reply to a CREATE ends with it as well */
	if (!header->error && iov->iov_len >= sizeof(*open))
		open[-1].open_flags |= FOPEN_PARALLEL_DIRECT_WRITES;
}

/*
 * Some stores give out errors that are the kernel's own. It takes no answer with one, and
 * whoever waits for that would do so for ever.
 */
static void amend_error(struct fuse_out_header *header)
{
	if (header->error <= -INTERNAL_ERRNO)
		header->error = -EIO;
}

static ssize_t loop_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	struct loop *loop = current ? current->loop : NULL;

	(void)userdata;
	if (!loop) /* a notification, from another thread */
		return writev(fd, iov, count);
	amend_error(iov[0].iov_base);
	if (loop->init_pending && count == 2) {
		loop->init_pending = false;
		amend_init(loop, iov[0].iov_base, &iov[1]);
	}
	if (current->parallel_writes && count == 2)
		amend_open(iov[0].iov_base, &iov[1]);
	current->parallel_writes = false;
	return writev(fd, iov, count);
}

static ssize_t loop_read(int fd, void *buf, size_t len, void *userdata)
{
	(void)userdata;
	return read(fd, buf, len);
}

static void set_patience(struct loop *loop)
{
	int us = loop->fs->poll_us;

	loop->max_spin_ns = us == FS_POLL_DEFAULT ? SPIN_MAX_NS : (uint64_t)us * 1000;
	loop->max_looks = us ? MAX_LOOKS : 0;
}

int loop_start(struct fuse_session *se, struct fs *fs, struct loop **out)
{
	static const struct fuse_custom_io io = {.writev = loop_writev,
						 .read = loop_read};
	struct loop *loop = calloc(1, sizeof(*loop));
	int ret;

	if (!loop)
		return -ENOMEM;
	loop->se = se;
	loop->fs = fs;
	loop->fuse_fd = fuse_session_fd(se);
	set_patience(loop);
	near_init(&loop->near, loop->max_spin_ns);
	park_init(&loop->park);
	ret = crew_init(&loop->crew, fs->workers, worker_thread, loop);
	if (!ret)
		ret = fuse_session_custom_io(se, &io, loop->fuse_fd);
	if (!ret && fcntl(loop->fuse_fd, F_SETFL, O_RDWR | O_NONBLOCK))
		ret = -errno;
	if (!ret)
		ret = crew_start(&loop->crew);
	if (ret) {
		loop_destroy(loop);
		return ret;
	}
	*out = loop;
	return 0;
}

void loop_join(struct loop *loop)
{
	crew_join(&loop->crew);
	near_fini(&loop->near);
}

void loop_destroy(struct loop *loop)
{
	park_fini(&loop->park);
	crew_fini(&loop->crew);
	free(loop);
}

void loop_wake(struct loop *loop)
{
	crew_wake(&loop->crew);
}

void loop_wipe(struct loop *loop)
{
	crew_wipe(&loop->crew);
}

void loop_store(struct worker *w, uint64_t id, const void *data, size_t len)
{
	struct fuse_bufvec content = FUSE_BUFVEC_INIT(len);

	content.buf[0].mem = (void *)(uintptr_t)data;
	fuse_lowlevel_notify_store(w->loop->se, id, 0, &content, 0);
}

unsigned loop_nr_workers(struct loop *loop)
{
	return crew_nr_workers(&loop->crew);
}
