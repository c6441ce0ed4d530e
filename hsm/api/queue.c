/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hsm/api/client.h"
#include "hsm/api/queue.h"

enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

/* Sealed memory of @len bytes: its descriptor or -errno. */
static int make_memory(size_t len)
{
	int memfd = memfd_create("hsmfs-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING), ret;

	if (memfd < 0)
		return -errno;
	if (!ftruncate(memfd, (off_t)len) && !fcntl(memfd, F_ADD_SEALS, SEALS))
		return memfd;
	ret = -errno;
	close(memfd);
	return ret;
}

/* Maps @memfd at @at, in place of what is there, or anywhere. NULL with errno set. */
static void *map_memory(int memfd, size_t len, void *at)
{
	void *map = mmap(at, len, PROT_READ | PROT_WRITE,
			 MAP_SHARED | (at ? MAP_FIXED : 0), memfd, 0);

	if (map == MAP_FAILED)
		return NULL;
	/* The arena passes plaintext: keep it out of core dumps. */
	madvise(map, len, MADV_DONTDUMP);
	return map;
}

int queue_init(struct queue *queue, uint32_t arena_len)
{
	size_t len = RING_ARENA_OFFSET + (size_t)arena_len;
	int ret;

	memset(queue, 0, sizeof(*queue));
	queue->memfd = -1;
	queue->spin.max_ns = RING_SPIN_NS;
	if (!arena_len || arena_len % PAGE_BYTES || arena_len > RING_ARENA_MAX)
		return -EINVAL;
	queue->memfd = make_memory(len);
	if (queue->memfd < 0)
		return queue->memfd;
	queue->shared = map_memory(queue->memfd, len, NULL);
	if (!queue->shared) {
		ret = -errno;
		queue_fini(queue);
		return ret;
	}
	queue->arena = (uint8_t *)queue->shared + RING_ARENA_OFFSET;
	queue->arena_len = arena_len;
	return 0;
}

static int write_all(int fd, const uint8_t *from, size_t len, off_t at)
{
	while (len) {
		ssize_t n = pwrite(fd, from, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		from += n;
		len -= (size_t)n;
		at += n;
	}
	return 0;
}

int queue_change_memory(struct queue *queue, uint32_t part_len, uint64_t keep)
{
	size_t len = RING_ARENA_OFFSET + (size_t)queue->arena_len;
	int memfd = make_memory(len), ret = 0;

	if (memfd < 0)
		return memfd;
	for (uint32_t at = 0; keep && !ret; at += part_len, keep >>= 1)
		if (keep & 1)
			ret = write_all(memfd, queue->arena + at, part_len,
					RING_ARENA_OFFSET + (off_t)at);
	if (!ret && !map_memory(memfd, len, queue->shared))
		ret = -errno;
	if (ret) {
		close(memfd);
		return ret;
	}
	close(queue->memfd);
	queue->memfd = memfd;
	return 0;
}

void queue_fini(struct queue *queue)
{
	if (queue->shared)
		munmap(queue->shared, RING_ARENA_OFFSET + (size_t)queue->arena_len);
	if (queue->memfd >= 0)
		close(queue->memfd);
	queue->shared = NULL;
	queue->memfd = -1;
}

void queue_set_patience(struct queue *queue, uint32_t max_ns)
{
	queue->spin.max_ns = max_ns < RING_SPIN_NS ? max_ns : RING_SPIN_NS;
}

static void adopt_handle(struct queue *queue, const uint8_t handle[WIRE_HANDLE_BYTES],
			 uint64_t generation)
{
	memcpy(queue->handle, handle, WIRE_HANDLE_BYTES);
	queue->generation = generation;
}

int queue_attach(struct queue *queue, struct hsm_client *hsm)
{
	struct wire_handle reply;
	int ret;

	memset(queue->shared, 0, sizeof(*queue->shared));
	queue->sq_tail = queue->sq_published = queue->cq_head = queue->in_flight = 0;
	queue->core = 0;
	queue->shared->client_patience = queue->spin.max_ns + 1;
	ret = hsm_queue(hsm, queue->memfd, queue->arena_len, &reply);
	if (ret)
		return ret;
	queue->id = reply.queue;
	adopt_handle(queue, reply.handle, reply.generation);
	return 0;
}

int queue_submit(struct queue *queue, const struct ring_sqe *sqe)
{
	struct ring_sqe *slot = &queue->shared->sq[queue->sq_tail % RING_ENTRIES];

	if (queue->in_flight >= RING_ENTRIES)
		return -EBUSY;
	*slot = *sqe;
	memcpy(slot->handle, queue->handle, WIRE_HANDLE_BYTES);
	slot->generation = queue->generation;
	queue->sq_tail++;
	queue->in_flight++;
	return 0;
}

void queue_flush(struct queue *queue)
{
	if (queue->sq_published == queue->sq_tail)
		return;
	queue->sq_published = queue->sq_tail;
	ring_publish(&queue->shared->sq_tail, queue->sq_tail, &queue->shared->hsm_sleeps);
}

/* The HSM's thread keeps off the core that the answer is waited for on. */
static void tell_core(struct queue *queue)
{
	uint32_t core = (uint32_t)sched_getcpu() + 1;

	if (core == queue->core)
		return;
	queue->core = core;
	__atomic_store_n(&queue->shared->client_core, core, __ATOMIC_RELAXED);
}

bool queue_reap(struct queue *queue, struct ring_cqe *cqe)
{
	if (!queue->in_flight)
		return false;
	if (__atomic_load_n(&queue->shared->cq_tail, __ATOMIC_ACQUIRE) ==
	    queue->cq_head) {
		tell_core(queue);
		return false;
	}
	*cqe = queue->shared->cq[queue->cq_head % RING_ENTRIES];
	queue->cq_head++;
	queue->in_flight--;
	if (cqe->generation > queue->generation)
		adopt_handle(queue, cqe->handle, cqe->generation);
	return true;
}

void queue_wait(struct queue *queue, unsigned timeout_ms)
{
	ring_wait(&queue->spin, &queue->shared->cq_tail, &queue->shared->client_sleeps,
		  queue->cq_head, timeout_ms);
}

int queue_renew(struct queue *queue, struct hsm_client *hsm)
{
	struct wire_handle reply;
	int ret = hsm_renew(hsm, queue->id, &reply);

	if (!ret)
		adopt_handle(queue, reply.handle, reply.generation);
	return ret;
}
