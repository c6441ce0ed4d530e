/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening and sealing extents of pages in a client's arena (hsm/api/ring.h: RING_OPEN,
 * RING_SEAL). The arena is shared and hostile: seals and headers are copied before they
 * are looked at. File content is only ever the client's own: if it changes a page while
 * the HSM works on it, it cheats nobody but itself.
 */
#ifndef HSM_PAGES_H
#define HSM_PAGES_H

#include <stdint.h>

struct aead_engine;
struct arena;
struct keyring;
struct random_pool;
struct ring_cqe;
struct ring_sqe;

/* What one queue's thread works with. */
struct pages_context {
	const struct aead_engine *engine;
	struct keyring *keyring;
	struct random_pool *random;
	uint8_t *scratch; /* one page of content, secret memory */
	uint64_t sealed;  /* pages, since the context was made */
	uint64_t opened;
};

/*
 * Both take a private copy of the descriptor and fill in the completion's status, len,
 * bad_page and flags. 0, or -EPROTO when the descriptor breaks the protocol (then the
 * connection has to go).
 */
int pages_open(struct pages_context *ctx, const struct arena *arena,
	       const struct ring_sqe *sqe, struct ring_cqe *cqe);
int pages_seal(struct pages_context *ctx, const struct arena *arena,
	       const struct ring_sqe *sqe, struct ring_cqe *cqe);

#endif
