/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "fs/fs.h"
#include "fs/fuse_loop.h"
#include "fs/killed.h"
#include "fs/link.h"
#include "fs/log.h"
#include "fs/park.h"
#include "fs/worker.h"

#ifndef FUSE_DIRECT_IO_ALLOW_MMAP /* since Linux 6.6 */
#define FUSE_DIRECT_IO_ALLOW_MMAP (1ULL << 36)
#endif

enum {
	MAX_WORKERS = 16,
	MAX_LOOKS = 64, /* of a system call each, before sleeping on the ring */
	SPIN_MAX_NS = 50000,
	SPIN_MIN_NS = 1000,
	SUSPENDED_POLL_MS = 100,
	WIPE_WAIT_S = 2,
	/* so that the payload of a WRITE lands on a page boundary */
	WRITE_HEADERS = sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in),
	REQUEST_MAX = WRITE_HEADERS + ENGINE_DATA_BYTES,
};

struct loop {
	struct fuse_session *se;
	struct fs *fs;
	int fuse_fd;
	int wake_fd;
	pthread_mutex_t lock;
	pthread_cond_t baton_free;
	bool baton_taken;
	bool ended;
	unsigned wipe_round;
	unsigned nr_wiped; /* workers that took part in it */
	pthread_cond_t wiped;
	unsigned nr_waiting;
	unsigned nr_workers;
	pthread_t threads[MAX_WORKERS];
	/* the rest is the baton holder's */
	struct park park;
	uint64_t spin_ns;
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

static void start_worker(struct loop *loop);

void worker_release_baton(struct worker *w)
{
	struct loop *loop = w->loop;

	if (!w->has_baton)
		return;
	pthread_mutex_lock(&loop->lock);
	w->has_baton = false;
	loop->baton_taken = false;
	if (loop->nr_waiting)
		pthread_cond_signal(&loop->baton_free);
	else
		start_worker(loop);
	pthread_mutex_unlock(&loop->lock);
}

void worker_finish(struct worker *w)
{
	fetch_finish(w);
	engine_finish(w);
}

void worker_may_block(struct worker *w)
{
	worker_finish(w);
	worker_release_baton(w);
}

/* The lock is held. */
static void wipe_locked(struct worker *w)
{
	struct loop *loop = w->loop;

	if (w->wipe_round == loop->wipe_round)
		return;
	w->wipe_round = loop->wipe_round;
	engine_wipe(&w->engine);
	loop->nr_wiped++;
	pthread_cond_signal(&loop->wiped);
}

void worker_wipe(struct worker *w)
{
	if (!w->loop) /* settling, before there is anything to serve */
		return;
	pthread_mutex_lock(&w->loop->lock);
	wipe_locked(w);
	pthread_mutex_unlock(&w->loop->lock);
}

/* False when the file system is unmounted. */
static bool take_baton(struct worker *w)
{
	struct loop *loop = w->loop;

	if (w->has_baton)
		return true;
	pthread_mutex_lock(&loop->lock);
	loop->nr_waiting++;
	while (loop->baton_taken && !loop->ended) {
		pthread_cond_wait(&loop->baton_free, &loop->lock);
		wipe_locked(w);
	}
	loop->nr_waiting--;
	if (!loop->ended)
		w->has_baton = loop->baton_taken = true;
	pthread_mutex_unlock(&loop->lock);
	return w->has_baton;
}

static void end_loop(struct worker *w)
{
	struct loop *loop = w->loop;

	pthread_mutex_lock(&loop->lock);
	loop->ended = true;
	w->has_baton = false;
	pthread_cond_broadcast(&loop->baton_free);
	pthread_mutex_unlock(&loop->lock);
	/* whoever waits for a resume has nobody left to wait for */
	link_shut(loop->fs->link);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
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
static ssize_t read_spinning(struct loop *loop, void *buf)
{
	uint64_t until = now_ns() + loop->spin_ns;
	ssize_t n;

	do {
		n = read_once(loop, buf);
		if (n != -EAGAIN) {
			loop->spin_ns += loop->spin_ns / 8;
			if (loop->spin_ns > SPIN_MAX_NS)
				loop->spin_ns = SPIN_MAX_NS;
			return n;
		}
		sched_yield();
	} while (now_ns() < until);
	return -EAGAIN;
}

/*
 * @slot is put back meanwhile, so that a wipe includes it. True when the file system is
 * unmounted, which is seen even if no @requests are waited for.
 */
static bool sleep_until_ready(struct worker *w, struct engine_slot *slot, bool requests)
{
	struct loop *loop = w->loop;
	struct pollfd fds[2] = {{.fd = loop->wake_fd, .events = POLLIN},
				{.fd = loop->fuse_fd, .events = requests ? POLLIN : 0}};
	uint64_t start = now_ns(), slept;
	eventfd_t count;

	engine_slot_put(&w->engine, slot);
	poll(fds, 2, requests && !loop->park.first ? -1 : SUSPENDED_POLL_MS);
	if (fds[0].revents) {
		eventfd_read(loop->wake_fd, &count);
		worker_wipe(w);
	}
	engine_slot_take(&w->engine); /* last in, first out: it is the same */
	slept = now_ns() - start;
	loop->spin_ns = slept < SPIN_MAX_NS ? 2 * slept : loop->spin_ns / 2;
	if (loop->spin_ns < SPIN_MIN_NS)
		loop->spin_ns = SPIN_MIN_NS;
	return fds[1].revents & POLLERR;
}

enum { STATX = 52 }; /* Debian 12's <linux/fuse.h> does not have it */

/* `ls -l` asks each entry for attributes of which we know without a key that there are
 * none. */
static bool attribute_needs_key(const struct fs *fs, const struct fuse_in_header *header)
{
	const char *name = (const char *)(header + 1) + sizeof(struct fuse_getxattr_in);
	size_t len = header->len - sizeof(*header) - sizeof(struct fuse_getxattr_in);

	return fs->acl || (len >= 5 && !memcmp(name, "user.", 5));
}

/*
 * Requests that can be served while no key is there. Unmounting must be possible then:
 * the kernel writes back times and waits for that.
 */
static bool needs_key(const struct fs *fs, const struct fuse_in_header *header)
{
	const struct fuse_setattr_in *setattr = (const void *)(header + 1);

	switch (header->opcode) {
	case FUSE_SETATTR:
		return setattr->valid & (FATTR_SIZE | (fs->acl ? FATTR_MODE : 0));
	case FUSE_GETXATTR:
		return attribute_needs_key(fs, header);
	case STATX: /* which is refused; then the kernel asks otherwise */
	case FUSE_INIT:
	case FUSE_DESTROY:
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
	case FUSE_GETATTR:
	case FUSE_STATFS:
	case FUSE_FSYNC:
	case FUSE_FSYNCDIR:
	case FUSE_FLUSH:
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
		return false;
	default:
		return true;
	}
}

static void answer_interrupted(struct loop *loop, uint64_t unique)
{
	struct fuse_out_header out = {sizeof(out), -EINTR, unique};

	/* ENOENT: the kernel has given the request up */
	if (write(loop->fuse_fd, &out, sizeof(out)) < 0 && errno != ENOENT)
		log_warn("answering an interrupted request failed (%s)", strerror(errno));
}

static bool is_dying(const struct parked *parked)
{
	const struct fuse_in_header *header = (const void *)parked->message;

	return killed_is_dying((pid_t)header->pid);
}

/* Those that the kernel does not send FUSE_INTERRUPT for. */
static void answer_dying(struct loop *loop)
{
	struct parked *parked;

	while ((parked = park_take_if(&loop->park, is_dying))) {
		answer_interrupted(loop, parked->unique);
		park_free(parked);
	}
}

/* True when the request was dealt with here: it waits, or it ended one that did. */
static bool park_request(struct loop *loop, const void *message, size_t len)
{
	const struct fuse_in_header *header = message;
	const struct fuse_interrupt_in *interrupt = (const void *)(header + 1);
	struct parked *parked;

	if (header->opcode == FUSE_INTERRUPT && loop->park.first) {
		parked = park_take_unique(&loop->park, interrupt->unique);
		if (!parked)
			return false;
		answer_interrupted(loop, parked->unique);
		park_free(parked);
		return true;
	}
	if (link_epoch(loop->fs->link) || !needs_key(loop->fs, header))
		return false;
	return !park_add(&loop->park, header->unique, message, len);
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

static ssize_t unpark(struct loop *loop, void *buf)
{
	struct parked *parked;
	ssize_t len;

	if (!loop->park.first || !link_epoch(loop->fs->link))
		return -EAGAIN;
	parked = park_take(&loop->park);
	memcpy(buf, parked->message, parked->len);
	len = (ssize_t)parked->len;
	park_free(parked);
	return len;
}

/*
 * The next request to serve. With @wait waits for it; else -EAGAIN when there is none.
 * -ENODEV after unmounting.
 */
static ssize_t next_request(struct worker *w, struct engine_slot *slot, bool wait)
{
	struct loop *loop = w->loop;
	void *buf = slot->data - WRITE_HEADERS;
	bool ended = false;

	for (;;) {
		ssize_t n = unpark(loop, buf);
		bool full = park_is_full(&loop->park) && !ended;

		if (n > 0)
			return n;
		if (!full)
			n = wait ? read_spinning(loop, buf) : read_once(loop, buf);
		if (n > 0 && !park_request(loop, buf, (size_t)n))
			return n;
		if (n == -EAGAIN && !wait)
			return n;
		if (n < 0 && n != -EAGAIN)
			return n;
		if (n == -EAGAIN) {
			answer_dying(loop);
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

/* A handler makes the slot its own by setting w->slot to NULL. */
static void dispatch(struct worker *w, struct engine_slot *slot, ssize_t len)
{
	struct fuse_in_header *header = (void *)(slot->data - WRITE_HEADERS);
	struct fuse_buf buf = {.mem = header, .size = (size_t)len};

	w->slot = slot;
	slot->end = (uint8_t *)header + len;
	note_init(w->loop, header);
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

/* Nothing came and nothing was done. */
static void idle(struct worker *w, unsigned *looks)
{
	if (w->fetches.first)
		sched_yield();
	else if (++*looks > MAX_LOOKS)
		engine_finish(w);
}

/*
 * Receives, dispatches and completes while the baton is ours. While requests are under
 * way it looks all ways, for requests, for completions and for what the store has read,
 * so that HSM and store work on some while others are taken in; it sleeps on /dev/fuse
 * only when nothing is.
 */
static void serve(struct worker *w)
{
	unsigned looks = 0;

	while (w->has_baton) {
		struct engine_slot *slot = engine_slot_take(&w->engine);
		ssize_t len = -EAGAIN;
		bool busy;

		if (slot)
			len = next_request(w, slot, is_idle(w));
		if (len > 0)
			dispatch(w, slot, len);
		else if (slot)
			engine_slot_put(&w->engine, slot);
		if (len < 0 && len != -EAGAIN) {
			end_loop(w);
			return;
		}
		busy = len > 0;
		busy |= fetch_run(w);
		busy |= engine_run(w);
		if (fetch_overdue(w, busy))
			worker_release_baton(w);
		else if (busy)
			looks = 0;
		else
			idle(w, &looks);
	}
}

static void *worker_thread(void *arg)
{
	struct worker w = {.loop = arg};
	int ret;

	w.fs = w.loop->fs;
	current = &w;
	prctl(PR_SET_NAME, "hsmfs-worker");
	pthread_mutex_lock(&w.loop->lock);
	w.wipe_round = w.loop->wipe_round;
	w.loop->nr_wiped++;
	pthread_mutex_unlock(&w.loop->lock);
	ret = engine_init(&w.engine);
	if (ret) {
		log_warn("a worker could not get memory for its ring (%s)",
			 strerror(-ret));
		if (loop_nr_workers(w.loop) == 1)
			end_loop(&w); /* nobody would serve the mount */
		return NULL;
	}
	while (take_baton(&w)) {
		serve(&w);
		worker_finish(&w);
	}
	worker_finish(&w);
	engine_fini(&w.engine);
	return NULL;
}

/* The lock is held. */
static void start_worker(struct loop *loop)
{
	sigset_t all, before;

	if (loop->nr_workers == MAX_WORKERS || loop->ended)
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	if (!pthread_create(&loop->threads[loop->nr_workers], NULL, worker_thread, loop))
		loop->nr_workers++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
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

static ssize_t loop_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	struct loop *loop = current ? current->loop : NULL;

	(void)userdata;
	if (!loop) /* a notification, from another thread */
		return writev(fd, iov, count);
	if (loop->init_pending && count == 2) {
		loop->init_pending = false;
		amend_init(loop, iov[0].iov_base, &iov[1]);
	}
	return writev(fd, iov, count);
}

static ssize_t loop_read(int fd, void *buf, size_t len, void *userdata)
{
	(void)userdata;
	return read(fd, buf, len);
}

int loop_start(struct fuse_session *se, struct fs *fs, struct loop **out)
{
	static const struct fuse_custom_io io = {.writev = loop_writev,
						 .read = loop_read};
	struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return -ENOMEM;
	loop->se = se;
	loop->fs = fs;
	loop->fuse_fd = fuse_session_fd(se);
	loop->spin_ns = SPIN_MIN_NS;
	park_init(&loop->park);
	pthread_mutex_init(&loop->lock, NULL);
	pthread_cond_init(&loop->baton_free, NULL);
	pthread_cond_init(&loop->wiped, NULL);
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake_fd < 0 || fuse_session_custom_io(se, &io, loop->fuse_fd) ||
	    fcntl(loop->fuse_fd, F_SETFL, O_RDWR | O_NONBLOCK)) {
		int ret = errno ? -errno : -EIO;

		close(loop->wake_fd);
		free(loop);
		return ret;
	}
	pthread_mutex_lock(&loop->lock);
	start_worker(loop);
	pthread_mutex_unlock(&loop->lock);
	*out = loop;
	return 0;
}

/* The next thread to join; workers may still be started while others are waited for. */
static bool thread_at(struct loop *loop, unsigned i, pthread_t *thread)
{
	bool is_there;

	pthread_mutex_lock(&loop->lock);
	is_there = i < loop->nr_workers;
	if (is_there)
		*thread = loop->threads[i];
	pthread_mutex_unlock(&loop->lock);
	return is_there;
}

void loop_join(struct loop *loop)
{
	pthread_t thread;

	for (unsigned i = 0; thread_at(loop, i, &thread); i++)
		pthread_join(thread, NULL);
}

void loop_destroy(struct loop *loop)
{
	struct parked *parked;

	while ((parked = park_take(&loop->park)))
		park_free(parked);
	close(loop->wake_fd);
	pthread_cond_destroy(&loop->baton_free);
	pthread_cond_destroy(&loop->wiped);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}

void loop_wake(struct loop *loop)
{
	eventfd_write(loop->wake_fd, 1);
}

void loop_wipe(struct loop *loop)
{
	struct timespec until;

	pthread_mutex_lock(&loop->lock);
	loop->wipe_round++;
	loop->nr_wiped = 0;
	pthread_cond_broadcast(&loop->baton_free);
	loop_wake(loop);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WIPE_WAIT_S;
	while (loop->nr_wiped < loop->nr_workers &&
	       pthread_cond_timedwait(&loop->wiped, &loop->lock, &until) != ETIMEDOUT)
		;
	pthread_mutex_unlock(&loop->lock);
}

unsigned loop_nr_workers(struct loop *loop)
{
	unsigned n;

	pthread_mutex_lock(&loop->lock);
	n = loop->nr_workers;
	pthread_mutex_unlock(&loop->lock);
	return n;
}
