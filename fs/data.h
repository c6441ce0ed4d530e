/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and writing file content. Both start work on the calling worker's engine and
 * end later, from engine_run() or engine_finish(), with a call of done(); many can be in
 * flight. The slot is taken over until then.
 *
 * Errors: -EIO (a page does not verify; nothing of the request's data is given out),
 * -EINTR (interrupted while suspended), or an error of the backing store.
 */
#ifndef FS_DATA_H
#define FS_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/engine.h"
#include "fs/fetch.h"
#include "fs/range.h"
#include "fs/size.h"

struct inode;
struct worker;

struct data_request {
	struct engine_op op;
	struct fetch fetch; /* what is read before the operation */
	struct range range;
	struct inode *inode;
	struct engine_slot *slot;
	uint64_t off;
	uint32_t size;
	uint64_t first, last; /* pages */
	uint64_t old_size;    /* writes: plain size before */
	uint64_t new_size;
	uint8_t *inner; /* what becomes of the old last page, which is not touched */
	struct size_pages upto; /* the same for size_grow() */
	/*
	 * Reads: @data (in the slot, valid during the call) has @ret bytes, fewer than
	 * asked only at the end of the file. Writes: @ret is the size. Negative: -errno.
	 * The request may be freed in it.
	 */
	void (*done)(struct worker *w, struct data_request *request, int ret,
		     const uint8_t *data);
};

static inline struct data_request *data_of_fetch(struct fetch *fetch)
{
	return (struct data_request *)((char *)fetch -
				       offsetof(struct data_request, fetch));
}

/*
 * @request has inode (open), slot, off, size, done and the op's interrupted and request
 * filled in; the inode is referenced by the caller. At most 1 MiB.
 */
void data_read(struct worker *w, struct data_request *request);

/* The same; what is written is in slot->data. The inode is open for writing. */
void data_write(struct worker *w, struct data_request *request);

#endif
