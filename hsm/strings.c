/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "hsm/api/ring.h"
#include "hsm/arena.h"
#include "hsm/crypto/random.h"
#include "hsm/crypto/siv.h"
#include "hsm/keyring.h"
#include "hsm/strings.h"

enum {
	BLOB_NONCE_BYTES = 16,
	STRING_BUF = RING_STRING_MAX + RING_STRING_OVERHEAD,
};

struct batch {
	struct keyring *keyring;
	struct random_pool *random;
	const struct ring_sqe *sqe;
	uint8_t in[STRING_BUF]; /* private: the arena may change under us */
	uint8_t out[STRING_BUF];
};

/* Associated data of a blob; a name's is the context alone. */
struct blob_ad {
	uint8_t context[PAGE_ID_BYTES];
	uint8_t nonce[BLOB_NONCE_BYTES];
};

static int blob_seal(struct batch *batch, uint32_t len)
{
	struct blob_ad ad;

	memcpy(ad.context, batch->sqe->file_id, PAGE_ID_BYTES);
	if (random_draw(batch->random, ad.nonce, sizeof(ad.nonce)))
		return -EIO;
	memcpy(batch->out, ad.nonce, sizeof(ad.nonce));
	return siv_seal(keyring_blobs(batch->keyring), &ad, sizeof(ad), batch->in, len,
			batch->out + sizeof(ad.nonce));
}

static int blob_open(struct batch *batch, uint32_t len)
{
	struct blob_ad ad;

	if (len < RING_STRING_OVERHEAD)
		return -EBADMSG;
	memcpy(ad.context, batch->sqe->file_id, PAGE_ID_BYTES);
	memcpy(ad.nonce, batch->in, sizeof(ad.nonce));
	return siv_open(keyring_blobs(batch->keyring), &ad, sizeof(ad),
			batch->in + sizeof(ad.nonce), len - sizeof(ad.nonce), batch->out);
}

/* Runs the batch's operation on in[0..len) to out; returns the output's length or -errno.
 */
static int run_one(struct batch *batch, uint32_t len)
{
	struct siv *names = keyring_names(batch->keyring);
	const uint8_t *context = batch->sqe->file_id;
	int ret;

	switch (batch->sqe->op) {
	case RING_NAME_SEAL:
		ret = siv_seal(names, context, PAGE_ID_BYTES, batch->in, len, batch->out);
		return ret ? ret : (int)len + SIV_TAG_BYTES;
	case RING_NAME_OPEN:
		if (len < SIV_TAG_BYTES)
			return -EBADMSG;
		ret = siv_open(names, context, PAGE_ID_BYTES, batch->in, len, batch->out);
		return ret ? ret : (int)len - SIV_TAG_BYTES;
	case RING_BLOB_SEAL:
		ret = blob_seal(batch, len);
		return ret ? ret : (int)len + RING_STRING_OVERHEAD;
	default:
		ret = blob_open(batch, len);
		return ret ? ret : (int)len - RING_STRING_OVERHEAD;
	}
}

static uint32_t longest_input(const struct ring_sqe *sqe)
{
	bool sealing = sqe->op == RING_NAME_SEAL || sqe->op == RING_BLOB_SEAL;

	return sealing ? RING_STRING_MAX : STRING_BUF;
}

/* One record from @src to @dst; both are advanced. -EPROTO when it does not fit. */
static int run_record(struct batch *batch, const uint8_t **src, const uint8_t *src_end,
		      uint8_t **dst, const uint8_t *dst_end, int *status)
{
	struct ring_string record;
	int out_len;

	if ((size_t)(src_end - *src) < sizeof(record))
		return -EPROTO;
	memcpy(&record, *src, sizeof(record));
	if (record.len > longest_input(batch->sqe) ||
	    (size_t)(src_end - *src) < ring_string_size(record.len))
		return -EPROTO;
	memcpy(batch->in, *src + sizeof(record), record.len);
	*src += ring_string_size(record.len);

	out_len = run_one(batch, record.len);
	if (out_len < 0 && out_len != -EBADMSG) {
		*status = out_len;
		return 0;
	}
	record.status = out_len < 0 ? EBADMSG : 0;
	record.len = (uint16_t)(out_len < 0 ? 0 : out_len);
	if ((size_t)(dst_end - *dst) < ring_string_size(record.len))
		return -EPROTO;
	memcpy(*dst, &record, sizeof(record));
	memcpy(*dst + sizeof(record), batch->out, record.len);
	*dst += ring_string_size(record.len);
	return 0;
}

int strings_run(struct keyring *keyring, struct random_pool *random,
		const struct arena *arena, const struct ring_sqe *sqe,
		struct ring_cqe *cqe)
{
	struct batch batch;
	const uint8_t *src = arena_range(arena, sqe->src, sqe->src_len);
	uint8_t *dst = arena_range(arena, sqe->dst, sqe->dst_len);
	uint8_t *out = dst;
	int status = 0, ret = 0;

	if (!src || !dst || !sqe->count || sqe->count > RING_MAX_ITEMS)
		return -EPROTO;
	batch.keyring = keyring;
	batch.random = random;
	batch.sqe = sqe;
	for (uint32_t i = 0, end = sqe->src_len; i < sqe->count && !ret && !status; i++)
		ret = run_record(&batch, &src, arena->base + sqe->src + end, &out,
				 dst + sqe->dst_len, &status);
	explicit_bzero(batch.in, sizeof(batch.in));
	explicit_bzero(batch.out, sizeof(batch.out));
	cqe->status = status;
	cqe->len = (uint32_t)(out - dst);
	return ret;
}
