/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "hsm/api/keyslot.h"
#include "hsm/api/page.h"
#include "hsm/api/ring.h"
#include "hsm/api/secmem.h"
#include "hsm/arena.h"
#include "hsm/calls.h"
#include "hsm/crypto/random.h"
#include "hsm/keyring.h"

enum { NOW_MS = 0, LIFETIME_MS = 30000 };

int calls_init(struct calls *calls, const struct aead_engine *engine)
{
	int rc;

	memset(calls, 0, sizeof(*calls));
	calls->vmk = secmem_alloc(KEYSLOT_VMK_BYTES);
	if (!calls->vmk)
		return -ENOMEM;
	rc = random_bytes(calls->vmk, KEYSLOT_VMK_BYTES);
	if (rc)
		return rc;
	calls->pages.engine = engine;
	calls->pages.keyring = keyring_create(engine, calls->vmk);
	calls->pages.random = random_create();
	calls->pages.scratch = secmem_alloc(PAGE_DATA_BYTES);
	if (!calls->pages.keyring || !calls->pages.random || !calls->pages.scratch)
		return -ENOMEM;
	handle_init(&calls->handles, LIFETIME_MS);
	return calls_next_handle(calls);
}

void calls_fini(struct calls *calls)
{
	keyring_destroy(calls->pages.keyring);
	random_destroy(calls->pages.random);
	secmem_free(calls->pages.scratch);
	secmem_free(calls->vmk);
}

uint32_t calls_arena_len(uint16_t pages)
{
	return 2u * pages * PAGE_BYTES;
}

int calls_run(struct calls *calls, const struct arena *arena, uint8_t op, uint16_t pages)
{
	uint32_t plain_len = (uint32_t)pages * PAGE_DATA_BYTES;
	uint32_t sealed_len = (uint32_t)pages * PAGE_BYTES;
	struct ring_sqe sqe = {.op = op, .count = pages, .first_page = 1};
	struct ring_cqe cqe = {0};
	int rc;

	if (op == RING_SEAL) {
		sqe.last_len = PAGE_DATA_BYTES;
		sqe.src_len = plain_len;
		sqe.dst = sealed_len;
		sqe.dst_len = sealed_len;
		rc = pages_seal(&calls->pages, arena, &sqe, &cqe);
	} else {
		sqe.src = sealed_len;
		sqe.src_len = sealed_len;
		sqe.dst_len = plain_len;
		rc = pages_open(&calls->pages, arena, &sqe, &cqe);
	}
	return rc ? rc : cqe.status;
}

int calls_check_handle(struct calls *calls)
{
	return handle_check(&calls->handles, NOW_MS, calls->handle, calls->generation);
}

int calls_next_handle(struct calls *calls)
{
	return handle_issue(&calls->handles, calls->pages.random, NOW_MS, calls->handle,
			    &calls->generation);
}
