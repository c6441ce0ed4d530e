/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsm/api/queue.h without a ring: the HSM's code called as a function, with keys of its
 * own, in the process of hsmfs. Instead of hsm/api/queue.c it makes an hsmfs that shows
 * what isolation costs, and that isolates nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hsm/api/client.h"
#include "hsm/api/queue.h"
#include "hsm/api/secmem.h"
#include "hsm/arena.h"
#include "hsm/crypto/aead.h"
#include "hsm/crypto/random.h"
#include "hsm/keyring.h"
#include "hsm/pages.h"
#include "hsm/strings.h"

/* Each thread has one queue. */
static _Thread_local struct pages_context pages;
static _Thread_local struct ring_cqe answers[RING_ENTRIES];

static uint8_t volume_key[KEYSLOT_VMK_BYTES] = "of no volume that anybody keeps";

static int make_context(void)
{
	if (pages.keyring)
		return 0;
	pages.engine = aead_select(NULL);
	pages.keyring = pages.engine ? keyring_create(pages.engine, volume_key) : NULL;
	pages.random = random_create();
	pages.scratch = secmem_alloc(PAGE_DATA_BYTES);
	return pages.keyring && pages.random && pages.scratch ? 0 : -ENOMEM;
}

int queue_init(struct queue *queue, uint32_t arena_len)
{
	size_t len = RING_ARENA_OFFSET + (size_t)arena_len;

	memset(queue, 0, sizeof(*queue));
	queue->memfd = memfd_create("hsmfs-ring", MFD_CLOEXEC);
	if (queue->memfd < 0 || ftruncate(queue->memfd, (off_t)len))
		return -errno;
	queue->shared =
		mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, queue->memfd, 0);
	if (queue->shared == MAP_FAILED)
		return -errno;
	queue->arena = (uint8_t *)queue->shared + RING_ARENA_OFFSET;
	queue->arena_len = arena_len;
	return make_context();
}

void queue_fini(struct queue *queue)
{
	munmap(queue->shared, RING_ARENA_OFFSET + (size_t)queue->arena_len);
	close(queue->memfd);
	keyring_destroy(pages.keyring);
	random_destroy(pages.random);
	secmem_free(pages.scratch);
	memset(&pages, 0, sizeof(pages));
}

int queue_change_memory(struct queue *queue, uint32_t part_len, uint64_t keep)
{
	(void)queue;
	(void)part_len;
	(void)keep; /* nobody else has it */
	return 0;
}

void queue_set_patience(struct queue *queue, uint32_t max_ns)
{
	(void)queue;
	(void)max_ns; /* nobody is waited for */
}

int queue_attach(struct queue *queue, struct hsm_client *hsm)
{
	(void)hsm;
	queue->sq_tail = queue->cq_head = 0;
	return 0;
}

static int run(const struct arena *arena, const struct ring_sqe *sqe,
	       struct ring_cqe *cqe)
{
	switch (sqe->op) {
	case RING_OPEN:
		return pages_open(&pages, arena, sqe, cqe);
	case RING_SEAL:
		return pages_seal(&pages, arena, sqe, cqe);
	default:
		return strings_run(pages.keyring, pages.random, arena, sqe, cqe);
	}
}

int queue_submit(struct queue *queue, const struct ring_sqe *sqe)
{
	const struct arena arena = {queue->arena, queue->arena_len};
	struct ring_cqe *cqe = &answers[queue->sq_tail % RING_ENTRIES];

	if (queue->sq_tail - queue->cq_head >= RING_ENTRIES)
		return -EBUSY;
	memset(cqe, 0, sizeof(*cqe));
	cqe->cookie = sqe->cookie;
	if (run(&arena, sqe, cqe))
		abort();
	queue->sq_tail++;
	return 0;
}

void queue_flush(struct queue *queue)
{
	(void)queue;
}

bool queue_reap(struct queue *queue, struct ring_cqe *cqe)
{
	if (queue->cq_head == queue->sq_tail)
		return false;
	*cqe = answers[queue->cq_head++ % RING_ENTRIES];
	return true;
}

void queue_wait(struct queue *queue, unsigned timeout_ms)
{
	(void)queue, (void)timeout_ms;
}

int queue_renew(struct queue *queue, struct hsm_client *hsm)
{
	(void)queue, (void)hsm;
	return 0;
}
