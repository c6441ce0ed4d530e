/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue fed with descriptors. The input: a byte, then records of 128 bytes, the
 * descriptors; what follows the last whole one fills the arena. The byte's bits say which
 * descriptors get a right handle.
 *
 * Includes the service to call what its thread calls, without the thread: a broken
 * descriptor then costs no new queue.
 */
#include "hsm/service.c" /* NOLINT(bugprone-suspicious-include) */

#include <unistd.h>

#include "hsm/crypto/aead.h"

enum { ARENA_BYTES = 65536, MAX_DESCRIPTORS = 8 };

static struct service *service;
static struct wire_handle newest;

static void check(int condition)
{
	if (!condition)
		abort();
}

static void start(void)
{
	static const uint8_t uuid[KEYSLOT_UUID_BYTES];
	const struct service_config config = {.engine = aead_engines[0],
					      .rights = WIRE_MAY_OPEN | WIRE_MAY_SEAL,
					      .handle_lifetime_ms = 3600000,
					      .notify_fd = -1};
	struct session *session = session_create(uuid, secmem_alloc(KEYSLOT_VMK_BYTES));
	int memfd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	service = calloc(1, sizeof(*service));
	check(session && service && memfd >= 0);
	check(!ftruncate(memfd, RING_ARENA_OFFSET + ARENA_BYTES));
	check(!fcntl(memfd, F_ADD_SEALS, SEALS_NEEDED));
	check(!prepare(service, &config));
	check(!map_ring(service, memfd, ARENA_BYTES));
	check(!enlist(service, session, &newest));
	close(memfd);
}

static void submit(const uint8_t *record, uint32_t at, int right)
{
	struct ring_sqe sqe;

	memcpy(&sqe, record, sizeof(sqe));
	sqe.op %= 8;
	sqe.src %= ARENA_BYTES + 64;
	sqe.dst %= ARENA_BYTES + 64;
	if (right) {
		memcpy(sqe.handle, newest.handle, sizeof(sqe.handle));
		sqe.generation = newest.generation;
	}
	service->shared->sq[at % RING_ENTRIES] = sqe;
}

static void take(uint32_t at)
{
	const struct ring_cqe *cqe = &service->shared->cq[at % RING_ENTRIES];

	check(cqe->len <= ARENA_BYTES);
	check(cqe->status <= 0);
	if (cqe->generation > newest.generation) {
		memcpy(newest.handle, cqe->handle, sizeof(newest.handle));
		newest.generation = cqe->generation;
	}
}

static void fill_arena(const uint8_t *data, size_t len)
{
	if (len > ARENA_BYTES)
		len = ARENA_BYTES;
	memcpy(service->arena.base, data, len);
	memset(service->arena.base + len, 0, ARENA_BYTES - len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint32_t head, first;
	size_t nr;
	uint8_t rights;

	if (len < 1 + sizeof(struct ring_sqe))
		return 0;
	if (!service)
		start();
	rights = *data++;
	nr = --len / sizeof(struct ring_sqe);
	if (nr > MAX_DESCRIPTORS)
		nr = MAX_DESCRIPTORS;
	head = service->sq_head;
	first = service->cq_tail;
	for (uint32_t i = 0; i < nr; i++) {
		submit(data, head + i, rights >> i & 1);
		data += sizeof(struct ring_sqe);
		len -= sizeof(struct ring_sqe);
	}
	fill_arena(data, len);
	for (uint32_t i = 0; i < nr; i++)
		if (serve_batch(service, head + i + 1))
			break;
	service->sq_head = head + (uint32_t)nr;
	for (uint32_t at = first; at != service->cq_tail; at++)
		take(at);
	return 0;
}
