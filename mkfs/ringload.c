/* SPDX-License-Identifier: Apache-2.0 */
#include "mkfs/ringload.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "hsm/api/page.h"

enum { ANSWER_TIMEOUT_S = 10 };

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Each operation in flight has a place for its plaintext and one for sealed pages. */
static uint32_t place_len(unsigned pages)
{
	return 2 * pages * PAGE_BYTES;
}

uint32_t ringload_arena_len(unsigned pages, unsigned depth)
{
	return place_len(pages) * depth;
}

static void describe(const struct ringload *load, uint8_t op, unsigned place,
		     struct ring_sqe *sqe)
{
	uint32_t plain = place * place_len(load->pages);
	uint32_t sealed = plain + load->pages * PAGE_BYTES;
	uint32_t plain_len = load->pages * PAGE_DATA_BYTES;
	uint32_t sealed_len = load->pages * PAGE_BYTES;
	bool opens = op == RING_OPEN;

	memset(sqe, 0, sizeof(*sqe));
	sqe->cookie = place;
	sqe->op = op;
	sqe->count = load->pages;
	sqe->first_page = 1; /* page 0 is smaller */
	sqe->last_len = opens ? 0 : PAGE_DATA_BYTES;
	sqe->src = opens ? sealed : plain;
	sqe->src_len = opens ? sealed_len : plain_len;
	sqe->dst = opens ? plain : sealed;
	sqe->dst_len = opens ? plain_len : sealed_len;
}

static int submit(const struct ringload *load, uint8_t op, unsigned place)
{
	struct ring_sqe sqe;

	describe(load, op, place, &sqe);
	return queue_submit(load->queue, &sqe);
}

/* queue_wait() may return for a wake that was meant for an earlier wait. */
static int wait_for(struct queue *queue, struct ring_cqe *cqe)
{
	double until;

	if (queue_reap(queue, cqe))
		return 0;
	until = now_s() + ANSWER_TIMEOUT_S;
	do {
		queue_wait(queue, ANSWER_TIMEOUT_S * 1000);
		if (queue_reap(queue, cqe))
			return 0;
	} while (now_s() < until);
	return -ETIMEDOUT;
}

/* Takes all completions that are there, one at least, and uses their places again. */
static int turn(const struct ringload *load, uint8_t op, uint32_t *to_submit,
		uint32_t *done)
{
	struct ring_cqe cqe;
	int rc = wait_for(load->queue, &cqe);

	if (rc)
		return rc;
	do {
		(*done)++;
		rc = cqe.status;
		if (!rc && *to_submit) {
			(*to_submit)--;
			rc = submit(load, op, (unsigned)cqe.cookie);
		}
	} while (!rc && queue_reap(load->queue, &cqe));
	queue_flush(load->queue);
	return rc;
}

static int run(const struct ringload *load, uint8_t op, uint32_t nr_ops)
{
	uint32_t first = nr_ops < load->depth ? nr_ops : load->depth;
	uint32_t to_submit = nr_ops - first, done = 0;
	int rc = 0;

	for (uint32_t i = 0; i < first && !rc; i++)
		rc = submit(load, op, i);
	queue_flush(load->queue);
	while (!rc && done < nr_ops)
		rc = turn(load, op, &to_submit, &done);
	return rc;
}

int ringload_prepare(const struct ringload *load)
{
	return run(load, RING_SEAL, load->depth);
}

int ringload_run(const struct ringload *load, uint32_t nr_ops, double *seconds)
{
	double start = now_s();
	int rc = run(load, load->op, nr_ops);

	*seconds = now_s() - start;
	return rc;
}
