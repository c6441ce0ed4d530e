/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "fs/sealer.h"
#include "fs/worker.h"

enum { HALF = ENGINE_DATA_BYTES / 2 };

/* Shared with the format: what a blob is goes into its associated data. */
const uint8_t SEALER_DIR_ID[PAGE_ID_BYTES] = "directory id v1";
const uint8_t SEALER_SYMLINK[PAGE_ID_BYTES] = "symlink v1";
const uint8_t SEALER_ATTRIBUTE[PAGE_ID_BYTES] = "attribute v1";
const uint8_t SEALER_SYSTEM[PAGE_ID_BYTES] = "system attr. v1";

static bool is_sealing(enum ring_op op)
{
	return op == RING_NAME_SEAL || op == RING_BLOB_SEAL;
}

/* Packs as many items as fit one batch from @items; the bytes used go to @len. */
static size_t pack(uint8_t *out, enum ring_op op, const struct sealer_item *items,
		   size_t nr, uint32_t *len)
{
	uint32_t used = 0, result = 0;
	size_t n = 0;

	while (n < nr && n < RING_MAX_ITEMS) {
		struct ring_string record = {.len = (uint16_t)items[n].in_len};
		uint32_t grown = record.len + (is_sealing(op) ? RING_STRING_OVERHEAD : 0);

		if (used + ring_string_size(record.len) > HALF ||
		    result + ring_string_size(grown) > HALF)
			break;
		memcpy(out + used, &record, sizeof(record));
		memcpy(out + used + sizeof(record), items[n].in, record.len);
		used += (uint32_t)ring_string_size(record.len);
		result += (uint32_t)ring_string_size(grown);
		n++;
	}
	*len = used;
	return n;
}

/* The inverse, for the HSM's output of @len bytes. -EPROTO when it is not what was asked.
 */
static int unpack(const uint8_t *in, uint32_t len, enum ring_op op,
		  struct sealer_item *items, size_t nr)
{
	uint32_t used = 0;

	for (size_t i = 0; i < nr; i++) {
		uint32_t room =
			items[i].in_len + (is_sealing(op) ? RING_STRING_OVERHEAD : 0);
		struct ring_string record;

		if (len - used < sizeof(record))
			return -EPROTO;
		memcpy(&record, in + used, sizeof(record));
		if (record.len > room || len - used < ring_string_size(record.len))
			return -EPROTO;
		memcpy(items[i].out, in + used + sizeof(record), record.len);
		items[i].out_len = record.len;
		items[i].status = record.status ? -EBADMSG : 0;
		used += (uint32_t)ring_string_size(record.len);
	}
	return 0;
}

/* One batch through the slot of the request being served. Returns items done or -errno.
 */
static int run_batch(struct worker *w, enum ring_op op, const uint8_t *context,
		     struct sealer_item *items, size_t nr)
{
	uint8_t *in = w->slot->sealed, *out = in + HALF;
	struct engine_op call = {.sqe = {.op = (uint8_t)op,
					 .src = engine_offset(&w->engine, in),
					 .dst = engine_offset(&w->engine, out),
					 .dst_len = HALF}};
	uint32_t len;
	size_t n = pack(in, op, items, nr, &len);
	int ret;

	call.sqe.src_len = len;
	call.sqe.count = (uint16_t)n;
	memcpy(call.sqe.file_id, context, PAGE_ID_BYTES);
	ret = engine_call(w, &call);
	if (!ret)
		ret = unpack(out, call.cqe.len, op, items, n);
	explicit_bzero(in, len);
	explicit_bzero(out, call.cqe.len <= HALF ? call.cqe.len : HALF);
	return ret ? ret : (int)n;
}

int sealer_run(struct worker *w, enum ring_op op, const uint8_t context[PAGE_ID_BYTES],
	       struct sealer_item *items, size_t nr)
{
	uint32_t longest = RING_STRING_MAX + (is_sealing(op) ? 0 : RING_STRING_OVERHEAD);

	for (size_t i = 0; i < nr; i++)
		if (items[i].in_len > longest)
			return -ENAMETOOLONG;
	for (size_t done = 0; done < nr;) {
		int n = run_batch(w, op, context, items + done, nr - done);

		if (n < 0)
			return n;
		done += (size_t)n;
	}
	return 0;
}
