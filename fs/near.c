/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/near.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fs/deadline.h"

enum {
	NR_CORES = 2,
	ROW = 8,		 /* requests after which more are expected */
	LOOK_EVERY_NS = 5000000, /* a look costs about what a request does */
	STAT_PROCESSOR = 39,	 /* proc_pid_stat(5) */
};

/* Kept, since a path could lead through our own mount later: it may become the root. */
static int open_proc(void)
{
	int fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct statfs fs;

	if (fd >= 0 && (fstatfs(fd, &fs) || fs.f_type != PROC_SUPER_MAGIC)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

void near_init(struct near *near, uint64_t look_ns)
{
	cpu_set_t cores;

	memset(near, 0, sizeof(*near));
	near->spin.max_ns = look_ns < RING_SPIN_NS ? (uint32_t)look_ns : RING_SPIN_NS;
	near->proc = -1;
	if (look_ns && !sched_getaffinity(0, sizeof(cores), &cores) &&
	    CPU_COUNT(&cores) == NR_CORES)
		near->proc = open_proc();
}

static void end_thread(struct near *near)
{
	__atomic_store_n(&near->ended, true, __ATOMIC_RELAXED);
	__atomic_add_fetch(&near->beat, 1, __ATOMIC_RELEASE);
	ring_wake(&near->beat);
	pthread_join(near->thread, NULL);
}

void near_fini(struct near *near)
{
	if (near->started)
		end_thread(near);
	if (near->proc >= 0)
		close(near->proc);
}

/* Yields to whoever wants the core, and sleeps if anybody does. */
static void *look_busy(void *arg)
{
	struct near *near = arg;
	uint32_t seen = 0;

	prctl(PR_SET_NAME, "hsmfs-near");
	ring_spin_expect(&near->spin, true);
	while (!__atomic_load_n(&near->ended, __ATOMIC_RELAXED)) {
		near->spin.budget_ns = near->spin.max_ns;
		seen = ring_wait(&near->spin, &near->beat, &near->sleeps, seen, INT_MAX);
	}
	return NULL;
}

/*
 * The core that thread @tid runs on, or ran on last; -1: unknown. Of the thread alone:
 * what is said of a process is summed up over all of its threads.
 */
static int core_of(const struct near *near, uint32_t tid)
{
	char path[40], text[1024], *at;
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "%u/task/%u/stat", tid, tid);
	fd = openat(near->proc, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[len > 0 ? len : 0] = '\0';
	/* what is before it, the program's name, can be anything */
	at = strrchr(text, ')');
	for (int field = 2; at && field < STAT_PROCESSOR; field++)
		at = strchr(at + 1, ' ');
	return at ? atoi(at + 1) : -1;
}

/* Goes to @core. False if that is not one of those that we may use. */
static bool go_to(int core)
{
	cpu_set_t allowed, one;

	if (core == sched_getcpu())
		return true;
	if (core < 0 || core >= CPU_SETSIZE ||
	    sched_getaffinity(0, sizeof(allowed), &allowed) || !CPU_ISSET(core, &allowed))
		return false;
	CPU_ZERO(&one);
	CPU_SET(core, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		return false;
	return !sched_setaffinity(0, sizeof(allowed), &allowed);
}

static void start(struct near *near)
{
	if (__atomic_exchange_n(&near->started, true, __ATOMIC_ACQ_REL))
		return;
	if (pthread_create(&near->thread, NULL, look_busy, near))
		__atomic_store_n(&near->started, false, __ATOMIC_RELEASE);
}

/* Seldom, since where others want that core it goes to sleep again at once. */
static void rouse(struct near *near)
{
	start(near);
	if (__atomic_load_n(&near->sleeps, __ATOMIC_RELAXED))
		ring_wake(&near->beat);
}

void near_request(struct near *near, struct near_worker *w, uint32_t tid, bool waits,
		  uint32_t nr_submitted)
{
	bool uses_hsm = nr_submitted != w->nr_submitted;
	uint64_t now;

	if (near->proc < 0)
		return;
	now = monotonic_ns();
	w->in_row++;
	if (now - w->last_ns >= near->spin.max_ns || (tid && tid != w->tid))
		w->in_row = 0;
	if (tid)
		w->tid = tid;
	w->last_ns = now;
	w->nr_submitted = nr_submitted;
	if (w->in_row < ROW)
		return;
	if (!uses_hsm && w->together)
		__atomic_add_fetch(&near->beat, 1, __ATOMIC_RELEASE);
	if (!tid || !waits || now - w->looked_ns < LOOK_EVERY_NS)
		return;
	w->looked_ns = now;
	w->together = go_to(core_of(near, tid));
	if (w->together && !uses_hsm)
		rouse(near);
}
