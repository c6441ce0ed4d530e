/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fs/engine.h"
#include "fs/fetch.h"
#include "fs/fs.h"
#include "fs/link.h"
#include "fs/log.h"
#include "fs/worker.h"

enum {
	SLOT_BYTES = ENGINE_REQUEST_ROOM + 2 * ENGINE_DATA_BYTES + 2 * PAGE_BYTES,
	ATTACH_RETRY_US =
		10000, /* the HSM may be short of memory or queues for a while */
	WAIT_MS = 100, /* how late the end of hsmd may be noticed by a waiting worker */
};

int engine_init(struct engine *engine)
{
	int ret = queue_init(&engine->queue, ENGINE_NR_SLOTS * SLOT_BYTES);

	if (ret)
		return ret;
	engine->epoch = 0;
	engine->is_lent = false;
	engine->nr_ops = engine->nr_long = engine->nr_submitted = 0;
	memset(engine->ops, 0, sizeof(engine->ops));
	engine->free = NULL;
	for (int i = ENGINE_NR_SLOTS - 1; i >= 0; i--) {
		struct engine_slot *slot = &engine->slots[i];

		slot->data = engine->queue.arena + (size_t)i * SLOT_BYTES +
			     ENGINE_REQUEST_ROOM;
		slot->sealed = slot->data + ENGINE_DATA_BYTES;
		slot->old = slot->sealed + ENGINE_DATA_BYTES;
		engine_slot_put(engine, slot);
	}
	return 0;
}

void engine_fini(struct engine *engine)
{
	queue_fini(&engine->queue);
}

struct engine_slot *engine_slot_take(struct engine *engine)
{
	struct engine_slot *slot = engine->free;

	if (slot)
		engine->free = slot->next_free;
	return slot;
}

/* Last in, first out: a lone client's requests stay in cache-warm memory. */
void engine_slot_put(struct engine *engine, struct engine_slot *slot)
{
	slot->end = NULL;
	slot->next_free = engine->free;
	engine->free = slot;
}

static void give_back(struct engine *engine, uint8_t *from, const uint8_t *to)
{
	off_t off = from - (uint8_t *)engine->queue.shared;

	if (from < to &&
	    fallocate(engine->queue.memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      off, to - from))
		explicit_bzero(from, (size_t)(to - from));
}

void engine_wipe(struct engine *engine)
{
	for (int i = 0; i < ENGINE_NR_SLOTS; i++) {
		struct engine_slot *slot = &engine->slots[i];
		uint8_t *start = slot->data - ENGINE_REQUEST_ROOM;

		if (slot->end)
			give_back(engine, slot->end, slot->data + ENGINE_DATA_BYTES);
		else
			give_back(engine, start, start + SLOT_BYTES);
	}
}

uint32_t engine_offset(const struct engine *engine, const void *in_arena)
{
	return (uint32_t)((const uint8_t *)in_arena - engine->queue.arena);
}

static void put_on_ring(struct engine *engine, struct engine_op *op, uint32_t i)
{
	op->sqe.cookie = i;
	op->sqe.generation = engine->queue.generation;
	queue_submit(&engine->queue, &op->sqe);
}

void engine_submit(struct worker *w, struct engine_op *op)
{
	struct engine *engine = &w->engine;
	uint32_t i = 0;

	while (engine->nr_ops == RING_ENTRIES)
		engine_run(w);
	while (engine->ops[i])
		i++;
	engine->ops[i] = op;
	engine->nr_ops++;
	engine->nr_submitted++;
	engine->nr_long += ring_is_long(&op->sqe);
	memset(&op->cqe, 0, sizeof(op->cqe));
	/* while not attached, it goes on the ring with the attachment */
	if (engine->epoch)
		put_on_ring(engine, op, i);
}

static void complete(struct worker *w, uint32_t i)
{
	struct engine_op *op = w->engine.ops[i];

	w->engine.ops[i] = NULL;
	w->engine.nr_ops--;
	w->engine.nr_long -= ring_is_long(&op->sqe);
	if (op->done)
		op->done(w, op);
}

/* Ends the operations whose request was interrupted, or all with @error if it is not 0.
 */
static void abandon(struct worker *w, int error)
{
	for (uint32_t i = 0; i < RING_ENTRIES; i++) {
		struct engine_op *op = w->engine.ops[i];

		if (!op)
			continue;
		if (error)
			op->cqe.status = error;
		else if (op->interrupted && op->interrupted(op->request))
			op->cqe.status = -EINTR;
		else
			continue;
		complete(w, i);
	}
}

/* While waiting. True when a request was interrupted. */
static bool look_around(void *arg)
{
	struct worker *w = arg;

	if (worker_look_around(w))
		return true;
	for (uint32_t i = 0; i < RING_ENTRIES; i++) {
		const struct engine_op *op = w->engine.ops[i];

		if (op && op->interrupted && op->interrupted(op->request))
			return true;
	}
	return false;
}

static bool is_in_flight(const struct engine *engine, uint64_t cookie)
{
	return cookie < RING_ENTRIES && engine->ops[cookie];
}

/*
 * hsmd ends the connection over an operation that breaks the protocol. Submitted again it
 * would end the next one, and have the volume suspended for ever.
 */
static void refuse(struct worker *w, uint32_t i)
{
	log_warn("an operation (%u) broke the HSM's protocol, and fails",
		 w->engine.ops[i]->sqe.op);
	w->engine.ops[i]->cqe.status = -EIO;
	complete(w, i);
}

/*
 * Who saw the connection end may have been faster than its last completion. Others are
 * not taken: their output may have been wiped since.
 */
static void reap_refused(struct worker *w)
{
	struct engine *engine = &w->engine;
	struct ring_cqe cqe;

	while (queue_reap(&engine->queue, &cqe))
		if (cqe.status == -EPROTO && is_in_flight(engine, cqe.cookie))
			refuse(w, (uint32_t)cqe.cookie);
}

/*
 * Whoever served the ring until it was lost may still be at work on operations that are
 * given up or submitted anew: the slots that are in use move to where it cannot write.
 * False when there is no memory for that.
 */
static bool take_back(struct engine *engine)
{
	uint64_t used = (UINT64_C(1) << ENGINE_NR_SLOTS) - 1;

	for (const struct engine_slot *slot = engine->free; slot; slot = slot->next_free)
		used &= ~(UINT64_C(1) << (slot - engine->slots));
	engine->is_lent = queue_change_memory(&engine->queue, SLOT_BYTES, used) != 0;
	return !engine->is_lent;
}

/* Attaches the ring and puts everything in flight on it (again). False: still suspended.
 */
static bool attach(struct worker *w)
{
	struct engine *engine = &w->engine;
	int ret;

	engine->epoch = 0;
	if (engine->is_lent) {
		reap_refused(w);
		if (!take_back(engine))
			return false;
	}
	ret = link_attach(w->fs->link, &engine->queue, &engine->epoch);
	/* with any other error it has not been taken */
	engine->is_lent = !ret || (ret == -EKEYREVOKED && engine->epoch);
	if (ret) {
		engine->epoch = 0;
		return false;
	}
	for (uint32_t i = 0; i < RING_ENTRIES; i++)
		if (engine->ops[i])
			put_on_ring(engine, engine->ops[i], i);
	return true;
}

/*
 * The volume is suspended, or not attached yet: waits until it is up and attaches. Others
 * receive requests meanwhile, so that interrupts are seen. Gives up when the request
 * being dispatched is.
 */
static void wait_for_link(struct worker *w)
{
	int ret = 0;

	while (w->engine.nr_ops && !attach(w) &&
	       !(ret == -EINTR && worker_look_around(w))) {
		worker_leave_seat(w);
		/* those who wait for the store here are not seen to be killed */
		fetch_wait(w);
		ret = link_wait(w->fs->link, look_around, w);
		if (ret == -EIO)
			abandon(w, ret);
		else if (ret && !w->engine.is_lent)
			abandon(w, 0);
		else
			usleep(ATTACH_RETRY_US);
	}
}

/*
 * What became of the handle that operation @i was submitted with. Several in flight fail
 * together: the first has the handle renewed, which kills the one that the others were
 * submitted with, and they only need the new one.
 */
static void handle_died(struct worker *w, uint32_t i, int status)
{
	struct engine *engine = &w->engine;
	bool outdated = engine->ops[i]->sqe.generation < engine->queue.generation;

	if (status != -EKEYREVOKED &&
	    (outdated ||
	     (status == -EKEYEXPIRED && !link_renew(w->fs->link, &engine->queue)))) {
		put_on_ring(engine, engine->ops[i], i);
		return;
	}
	/* the ring is of no use; all in flight goes on the next one */
	link_lost(w->fs->link, engine->epoch);
	engine->epoch = 0;
}

static bool is_key_error(int status)
{
	return status == -EKEYEXPIRED || status == -EKEYREVOKED ||
	       status == -EKEYREJECTED;
}

/* Bytes that @sqe, which the HSM took, has at dst when it succeeds. */
static bool is_length(const struct ring_sqe *sqe, uint32_t len)
{
	uint64_t last = sqe->first_page + sqe->count - 1u;
	uint32_t before = (sqe->count - 1u) * PAGE_BYTES;
	uint32_t overhead = before / PAGE_BYTES * PAGE_SEAL_BYTES + page_overhead(last);

	if (sqe->first_page == 0 && sqe->count > 1)
		overhead += PAGE_HEADER_BYTES;
	switch (sqe->op) {
	case RING_OPEN:
		return len == sqe->src_len - overhead;
	case RING_SEAL:
		return len == before + page_overhead(last) + sqe->last_len;
	default: /* the strings in it say how long they are */
		return len <= sqe->dst_len;
	}
}

/*
 * Whether a completion may be one of @sqe. Others trust its length, take its flags for
 * what was authenticated and give its status to the kernel, which leaves who waits
 * waiting over a number that is no error.
 */
static bool is_plausible(const struct ring_sqe *sqe, const struct ring_cqe *cqe)
{
	uint32_t flags = RING_SAW_FINAL_LAST | RING_SAW_FINAL_INNER;

	if (sqe->flags & RING_OPEN_HOLES)
		flags |= RING_SAW_HOLE;
	switch (cqe->status) {
	case 0:
		return is_length(sqe, cqe->len) && !(cqe->flags & ~flags) &&
		       (!cqe->header_flags || sqe->first_page == 0);
	case -EBADMSG:
		return cqe->bad_page < sqe->count;
	case -EACCES:
	case -EDQUOT:
	case -EIO:
		return true;
	default:
		return false;
	}
}

/* The caller sees what it may use: of a failure only the status. */
static void take(struct worker *w, const struct ring_cqe *cqe)
{
	struct engine_op *op = w->engine.ops[cqe->cookie];

	if (!is_plausible(&op->sqe, cqe)) {
		log_warn("the HSM's answer to an operation (%u) is none: it fails",
			 op->sqe.op);
		op->cqe.status = -EIO;
	} else if (cqe->status) {
		op->cqe.status = cqe->status;
	} else {
		op->cqe = *cqe;
	}
	complete(w, (uint32_t)cqe->cookie);
}

/* Takes all completions that are there. True if there was any. */
static bool reap(struct worker *w)
{
	struct engine *engine = &w->engine;
	struct ring_cqe cqe;
	bool any = false;

	while (engine->epoch && queue_reap(&engine->queue, &cqe)) {
		any = true;
		if (!is_in_flight(engine, cqe.cookie))
			continue;
		if (is_key_error(cqe.status)) {
			handle_died(w, (uint32_t)cqe.cookie, cqe.status);
		} else if (cqe.status == -EPROTO) {
			link_lost(w->fs->link, engine->epoch);
			engine->epoch = 0;
			refuse(w, (uint32_t)cqe.cookie);
		} else {
			take(w, &cqe);
		}
	}
	return any;
}

bool engine_run(struct worker *w)
{
	struct engine *engine = &w->engine;

	if (!engine->nr_ops)
		return false;
	if (!engine->epoch || engine->epoch != link_epoch(w->fs->link))
		wait_for_link(w);
	queue_flush(&engine->queue);
	return reap(w);
}

int engine_finish(struct worker *w)
{
	struct engine *engine = &w->engine;

	for (;;) {
		engine_run(w);
		if (!engine->nr_ops)
			return 0;
		if (engine->epoch)
			queue_wait(&engine->queue, WAIT_MS);
		else if (worker_look_around(w))
			return -EINTR;
	}
}

static bool is_pending(const struct engine *engine, const struct engine_op *op)
{
	for (uint32_t i = 0; i < RING_ENTRIES; i++)
		if (engine->ops[i] == op)
			return true;
	return false;
}

int engine_call(struct worker *w, struct engine_op *op)
{
	op->done = NULL;
	op->interrupted = w->interrupted;
	op->request = w->request;
	engine_submit(w, op);
	while (engine_finish(w) && is_pending(&w->engine, op))
		;
	return op->cqe.status;
}
