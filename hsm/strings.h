/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches of names and blobs in a client's arena (hsm/api/ring.h: RING_NAME_*,
 * RING_BLOB_*).
 *
 *   sealed name = SIV(name key, AD = directory id, name)
 *   sealed blob = nonce(16) | SIV(blob key, AD = context | nonce, content)
 */
#ifndef HSM_STRINGS_H
#define HSM_STRINGS_H

struct arena;
struct keyring;
struct random_pool;
struct ring_cqe;
struct ring_sqe;

/*
 * Runs one batch; @sqe is a private copy. Fills in the completion's status and len. 0, or
 * -EPROTO when the descriptor or the batch breaks the protocol.
 */
int strings_run(struct keyring *keyring, struct random_pool *random,
		const struct arena *arena, const struct ring_sqe *sqe,
		struct ring_cqe *cqe);

#endif
