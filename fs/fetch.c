/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/fetch.h"

#include <errno.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/uio.h>

#include "fs/deadline.h"
#include "fs/fs.h"
#include "fs/pages.h"
#include "fs/worker.h"

enum {
	/* a disk that answers sooner costs no waking of another worker */
	OVERDUE_IDLE_NS = 150000,
	OVERDUE_BUSY_NS = 20000000,
	/* for so many times as long as a slow read took, more are expected: if there
	 * are none, waking others was in vain, and those after it stop them again */
	EXPECTED = 4,
};

static bool cannot_peek(const struct fs *fs)
{
	return __atomic_load_n(&fs->cannot_peek, __ATOMIC_RELAXED);
}

/*
 * Takes what is in memory; of what is not, the kernel begins to read. No error: whoever
 * waits for the rest meets it. True when all of the range is there.
 */
static bool take_cached(struct fs *fs, int fd, struct fetch_range *range)
{
	struct iovec iov = {range->buf, range->len};
	ssize_t n;

	if (!range->len)
		return true;
	n = preadv2(fd, &iov, 1, (off_t)range->off, RWF_NOWAIT);
	if (n < 0 && errno == EOPNOTSUPP)
		__atomic_store_n(&fs->cannot_peek, true, __ATOMIC_RELAXED);
	if (n > 0) {
		range->buf += n;
		range->len -= (uint64_t)n;
		range->off += (uint64_t)n;
	}
	return !range->len;
}

static bool look(struct worker *w, struct fetch *fetch)
{
	bool first, second;

	if (cannot_peek(w->fs))
		return false;
	/* both, so that both are on their way */
	first = take_cached(w->fs, fetch->fd, &fetch->ranges[0]);
	second = take_cached(w->fs, fetch->fd, &fetch->ranges[1]);
	return first && second;
}

static int read_missing(struct fetch *fetch)
{
	int ret = 0;

	for (int i = 0; i < 2 && !ret; i++) {
		const struct fetch_range *range = &fetch->ranges[i];

		if (range->len)
			ret = pages_read_backing(fetch->fd, range->buf, range->len,
						 range->off);
	}
	return ret;
}

static bool is_before(const uint64_t *until_ns)
{
	uint64_t until = __atomic_load_n(until_ns, __ATOMIC_RELAXED);

	return until && monotonic_ns() < until;
}

static void extend(uint64_t *until_ns, uint64_t ns)
{
	if (__atomic_load_n(until_ns, __ATOMIC_RELAXED) < ns)
		__atomic_store_n(until_ns, ns, __ATOMIC_RELAXED);
}

static long nr_sleeps(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_THREAD, &usage) ? 0 : usage.ru_nvcsw;
}

/*
 * Of a store that cannot tell what is in memory, notes whether it is slow. That costs
 * system calls, so only once there is a suspicion: the thread may have been preempted.
 */
static void wait_for(struct worker *w, struct fetch *fetch)
{
	struct fs *fs = w->fs;
	bool suspect = is_before(&fs->long_until_ns);
	long slept = suspect ? nr_sleeps() : 0;
	uint64_t start = monotonic_ns();
	int ret = read_missing(fetch);
	uint64_t end = monotonic_ns(), until = end + EXPECTED * (end - start);

	if (cannot_peek(fs) && end - start > OVERDUE_IDLE_NS) {
		extend(&fs->long_until_ns, until);
		if (suspect && nr_sleeps() != slept)
			extend(&fs->slow_until_ns, until);
	}
	fetch->done(w, fetch, ret);
}

static void enqueue(struct fetch_queue *queue, struct fetch *fetch)
{
	fetch->next = NULL;
	if (queue->first) {
		queue->last->next = fetch;
	} else {
		queue->first = fetch;
		queue->since_ns = monotonic_ns();
	}
	queue->last = fetch;
}

static struct fetch *dequeue(struct fetch_queue *queue)
{
	struct fetch *fetch = queue->first;

	queue->first = fetch->next;
	if (queue->first)
		queue->since_ns = monotonic_ns();
	return fetch;
}

void fetch_start(struct worker *w, struct fetch *fetch)
{
	int ret = 0;

	if (look(w, fetch)) {
		fetch->done(w, fetch, 0);
		return;
	}
	if (w->has_seat && !cannot_peek(w->fs)) {
		enqueue(&w->fetches, fetch);
		return;
	}
	if (w->has_seat && is_before(&w->fs->slow_until_ns))
		ret = worker_may_block(w);
	if (ret)
		fetch->done(w, fetch, ret);
	else
		wait_for(w, fetch);
}

bool fetch_run(struct worker *w)
{
	struct fetch *fetch = w->fetches.first;

	if (!fetch || !look(w, fetch))
		return false;
	dequeue(&w->fetches);
	fetch->done(w, fetch, 0);
	return true;
}

bool fetch_overdue(const struct worker *w, bool busy)
{
	uint64_t limit = busy ? OVERDUE_BUSY_NS : OVERDUE_IDLE_NS;

	return w->fetches.first && monotonic_ns() - w->fetches.since_ns > limit;
}

void fetch_wait(struct worker *w)
{
	while (w->fetches.first)
		wait_for(w, dequeue(&w->fetches));
}

void fetch_finish(struct worker *w)
{
	while (w->fetches.first) {
		/* what is with the HSM must not wait for the store */
		engine_finish(w);
		/* while it waits for the HSM's return it calls fetch_wait() */
		if (w->fetches.first)
			wait_for(w, dequeue(&w->fetches));
	}
}
