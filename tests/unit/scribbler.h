/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client that rewrites descriptors, indices and data from another thread while hsmd
 * works on them.
 */
#ifndef TESTS_UNIT_SCRIBBLER_H
#define TESTS_UNIT_SCRIBBLER_H

#include "tests/unit/hsmd_fixture.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

enum { RING_BYTES = RING_ARENA_OFFSET + ARENA_BYTES };

struct scribbler {
	struct queue *queue;
	uint8_t *view; /* of the ring, so that a sanitizer sees two processes' memory */
	pthread_t thread;
	atomic_bool stop;
	unsigned seed;
};

/* Values that are near limits more often than chance would have it. */
static inline uint32_t nasty(unsigned *seed)
{
	static const uint32_t values[] = {0,
					  1,
					  2,
					  63,
					  64,
					  65,
					  255,
					  256,
					  260,
					  261,
					  4031,
					  4032,
					  4063,
					  4064,
					  4095,
					  4096,
					  4097,
					  ARENA_BYTES,
					  ARENA_BYTES - 1,
					  0xffff,
					  1024,
					  1025,
					  0x7fffffff,
					  0x80000000,
					  0xffffffff};
	uint32_t r = (uint32_t)rand_r(seed);

	return r % 3 ? values[r / 3 % (sizeof(values) / sizeof(values[0]))]
		     : r ^ (uint32_t)rand_r(seed) << 16;
}

static inline void scribble(struct scribbler *s, uint8_t *ring)
{
	unsigned what = (unsigned)rand_r(&s->seed) % 64;
	uint32_t value = nasty(&s->seed);
	size_t at;

	if (what < 40) /* a descriptor in use, past the handle; seldom that too */
		at = 128 + (size_t)rand_r(&s->seed) % 64 * 128 + (what < 38 ? 24 : 0) +
		     (size_t)rand_r(&s->seed) % 20 * 4;
	else if (what < 62) /* seals, headers and records */
		at = RING_ARENA_OFFSET + (size_t)rand_r(&s->seed) % (ARENA_BYTES - 4);
	else if (what < 63) /* the HSM's own fields, completions */
		at = 64 + (size_t)rand_r(&s->seed) % (12416 - 64);
	else if (rand_r(&s->seed) % 64 == 0) /* the tail: this mostly ends it */
		at = 0;
	else
		at = 4; /* sleeps */
	at &= ~(size_t)3;
	__atomic_store_n((uint32_t *)(void *)(ring + at), value, __ATOMIC_RELAXED);
}

static inline void *scribbler_thread(void *arg)
{
	struct scribbler *s = arg;

	while (!atomic_load_explicit(&s->stop, memory_order_relaxed))
		scribble(s, s->view);
	return NULL;
}

static inline struct ring_sqe some_operation(unsigned *seed)
{
	static const uint8_t ops[] = {RING_OPEN,      RING_SEAL,      RING_NAME_SEAL,
				      RING_NAME_OPEN, RING_BLOB_SEAL, RING_BLOB_OPEN};
	struct ring_sqe sqe = rand_r(seed) % 2 ? sqe_seal() : sqe_open();

	sqe.op = ops[(unsigned)rand_r(seed) % sizeof(ops)];
	if (sqe.op > RING_SEAL) {
		sqe.src_len = 4096;
		sqe.dst_len = 32768;
	}
	return sqe;
}

/* Works until hsmd has enough of it, whose socket is @control, or it has done much. */
static inline void scribbler_work(struct scribbler *s, int control)
{
	struct pollfd fd = {.fd = control};
	unsigned seed = s->seed * 31 + 1;
	struct ring_cqe cqe;

	for (unsigned i = 0; i < 1000000 && (i % 64 || poll(&fd, 1, 0) == 0); i++) {
		struct ring_sqe sqe = some_operation(&seed);

		memset(s->queue->arena, 0, 64); /* empty records */
		queue_submit(s->queue, &sqe);
		queue_flush(s->queue);
		while (queue_reap(s->queue, &cqe))
			;
		if (s->queue->in_flight > RING_ENTRIES / 2)
			queue_wait(s->queue, 1);
	}
}

static inline void scribbler_start(struct scribbler *s, struct queue *queue,
				   unsigned seed)
{
	s->queue = queue;
	s->view = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, queue->memfd,
		       0);
	s->seed = seed;
	atomic_store(&s->stop, false);
	if (s->view == MAP_FAILED ||
	    pthread_create(&s->thread, NULL, scribbler_thread, s))
		_exit(1);
}

static inline void scribbler_stop(struct scribbler *s)
{
	atomic_store(&s->stop, true);
	pthread_join(s->thread, NULL);
	munmap(s->view, RING_BYTES);
}

#endif
