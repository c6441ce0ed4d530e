/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One file of a volume whose HSM is in this process and whose backing store is a memfd,
 * with its system calls passed through store_hook(): link with WRAP_STORE of the
 * Makefile. Defines functions: one includer a program.
 */
#ifndef TESTS_UNIT_STORE_FIXTURE_H
#define TESTS_UNIT_STORE_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/data.h"
#include "fs/engine.h"
#include "fs/fs.h"
#include "fs/inode.h"
#include "fs/pages.h"
#include "fs/size.h"
#include "fs/space.h"
#include "fs/volume/layout.h"
#include "fs/worker.h"
#include "hsm/api/secmem.h"
#include "hsm/arena.h"
#include "hsm/crypto/aead.h"
#include "hsm/crypto/random.h"
#include "hsm/keyring.h"
#include "hsm/pages.h"

enum {
	MAX_PAGES = 12,
	MAX_PLAIN = MAX_PAGES * PAGE_DATA_BYTES,
	SLOT_BYTES = 2 * ENGINE_DATA_BYTES + 2 * PAGE_BYTES,
};

/* What applications should see. */
struct content {
	uint64_t size;
	uint8_t bytes[MAX_PLAIN];
};

enum change {
	NONE, /* the end of a list */
	WRITE,
	TRUNCATE,
	PUNCH,
	ZERO,
	ALLOCATE,
	FSYNC,
	FAIL, /* the includer's: the next step */
};

struct step {
	enum change change;
	uint64_t off; /* TRUNCATE: the size */
	uint32_t len;
};

struct store {
	struct fs fs;
	struct worker w;
	struct inode inode;
	struct file file; /* the inode's */
	struct pages_context hsm;
	struct arena arena;
	uint8_t *vmk;
	unsigned interrupted; /* this operation from now on; 0: none */
};

static struct store store;
static unsigned nr_steps; /* each writes other bytes */

/* --- the backing store -------------------------------------------------------------- */

enum call { CALL_READ, CALL_WRITE, CALL_SIZE, CALL_SYNC, CALL_SPACE };

/*
 * The includer's. Before a call: 0 lets it through, -errno fails it, more is the number
 * of bytes that a CALL_WRITE of @len is cut to.
 */
static int64_t store_hook(enum call call, uint64_t off, uint64_t len);
/* After one that succeeded. */
static void store_done(enum call call, uint64_t off, uint64_t len);

ssize_t __real_pread64(int fd, void *buf, size_t len, off_t off);
ssize_t __real_pwrite64(int fd, const void *buf, size_t len, off_t off);
int __real_ftruncate64(int fd, off_t size);
int __real_fallocate64(int fd, int mode, off_t off, off_t len);
ssize_t __wrap_pread64(int fd, void *buf, size_t len, off_t off);
ssize_t __wrap_pwrite64(int fd, const void *buf, size_t len, off_t off);
int __wrap_ftruncate64(int fd, off_t size);
int __wrap_fallocate64(int fd, int mode, off_t off, off_t len);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);

static int failed(int64_t error)
{
	errno = (int)-error;
	return -1;
}

ssize_t __wrap_pread64(int fd, void *buf, size_t len, off_t off)
{
	int64_t ret = store_hook(CALL_READ, (uint64_t)off, len);

	return ret < 0 ? failed(ret) : __real_pread64(fd, buf, len, off);
}

ssize_t __wrap_pwrite64(int fd, const void *buf, size_t len, off_t off)
{
	int64_t ret = store_hook(CALL_WRITE, (uint64_t)off, len);
	ssize_t n;

	if (ret < 0)
		return failed(ret);
	n = __real_pwrite64(fd, buf, ret ? (size_t)ret : len, off);
	if (n > 0)
		store_done(CALL_WRITE, (uint64_t)off, (uint64_t)n);
	return n;
}

int __wrap_ftruncate64(int fd, off_t size)
{
	int64_t ret = store_hook(CALL_SIZE, (uint64_t)size, 0);

	if (ret < 0)
		return failed(ret);
	if (__real_ftruncate64(fd, size))
		return -1;
	store_done(CALL_SIZE, (uint64_t)size, 0);
	return 0;
}

int __wrap_fallocate64(int fd, int mode, off_t off, off_t len)
{
	int64_t ret = store_hook(CALL_SPACE, (uint64_t)off, (uint64_t)len);

	if (ret < 0)
		return failed(ret);
	if (__real_fallocate64(fd, mode, off, len))
		return -1;
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		store_done(CALL_SPACE, (uint64_t)off, (uint64_t)len);
	return 0;
}

int __wrap_fdatasync(int fd)
{
	int64_t ret = store_hook(CALL_SYNC, 0, 0);

	(void)fd;
	if (ret < 0)
		return failed(ret);
	store_done(CALL_SYNC, 0, 0);
	return 0;
}

int __wrap_fsync(int fd)
{
	return __wrap_fdatasync(fd);
}

/* --- the HSM and the worker --------------------------------------------------------- */

uint32_t engine_offset(const struct engine *engine, const void *in_arena)
{
	return (uint32_t)((const uint8_t *)in_arena - engine->queue.arena);
}

int engine_call(struct worker *w, struct engine_op *op)
{
	(void)w;
	memset(&op->cqe, 0, sizeof(op->cqe));
	if (store.interrupted && !--store.interrupted)
		return op->cqe.status = -EINTR;
	assert_int_equal((op->sqe.op == RING_SEAL ? pages_seal : pages_open)(
				 &store.hsm, &store.arena, &op->sqe, &op->cqe),
			 0);
	return op->cqe.status;
}

void engine_submit(struct worker *w, struct engine_op *op)
{
	engine_call(w, op);
	op->done(w, op);
}

int engine_finish(struct worker *w)
{
	(void)w;
	return 0;
}

int worker_may_block(struct worker *w)
{
	(void)w;
	return 0;
}

int worker_let_pass(struct worker *w)
{
	(void)w;
	return 0;
}

void worker_leave_seat(struct worker *w)
{
	(void)w;
}

int worker_finish(struct worker *w)
{
	(void)w;
	return 0;
}

bool worker_look_around(void *worker)
{
	(void)worker;
	return false;
}

bool engine_run(struct worker *w)
{
	(void)w;
	return false;
}

struct fs *worker_fs(struct worker *w)
{
	return w->fs;
}

int ns_sync_new(struct worker *w, struct inode *inode);
int ns_sync_new(struct worker *w, struct inode *inode)
{
	(void)w;
	(void)inode;
	return 0;
}

static int store_setup(void **state)
{
	static struct engine_slot slot;

	(void)state;
	store.vmk = secmem_alloc(KEYSLOT_VMK_BYTES);
	assert_int_equal(random_bytes(store.vmk, KEYSLOT_VMK_BYTES), 0);
	store.hsm.engine = aead_select(NULL);
	store.hsm.random = random_create();
	store.hsm.scratch = secmem_alloc(PAGE_DATA_BYTES);
	store.hsm.keyring = keyring_create(store.hsm.engine, store.vmk);
	store.arena.len = SLOT_BYTES;
	store.arena.base = calloc(1, SLOT_BYTES);
	store.fs.cannot_peek = true; /* all reading goes by one call */
	store.w.fs = &store.fs;
	store.w.engine.queue.arena = store.arena.base;
	slot.data = store.arena.base;
	slot.sealed = slot.data + ENGINE_DATA_BYTES;
	slot.old = slot.sealed + ENGINE_DATA_BYTES;
	store.w.slot = &slot;
	return 0;
}

static int store_teardown(void **state)
{
	(void)state;
	keyring_destroy(store.hsm.keyring);
	random_destroy(store.hsm.random);
	secmem_free(store.hsm.scratch);
	secmem_free(store.vmk);
	free(store.arena.base);
	return 0;
}

/* --- the file ----------------------------------------------------------------------- */

#define FILE_OF_STORE (&store.file)

/* As after a mount: nothing is known but what is in the memfd. */
static int store_mount(bool unsettled)
{
	int fd = FILE_OF_STORE->fd;

	store.fs.unsettled = unsettled;
	store.fs.unrestored = false;
	file_init(FILE_OF_STORE);
	store.inode.file = FILE_OF_STORE;
	FILE_OF_STORE->fd = fd;
	FILE_OF_STORE->writable = true;
	return pages_learn(&store.w, FILE_OF_STORE);
}

static void store_new_file(void)
{
	FILE_OF_STORE->fd = memfd_create("backing", MFD_CLOEXEC);
	assert_true(FILE_OF_STORE->fd >= 0);
	assert_int_equal(store_mount(false), 0);
	nr_steps = 0;
}

static void store_drop_file(void)
{
	close(FILE_OF_STORE->fd);
}

static int transferred;
static const uint8_t *transferred_data;

static void transfer_done(struct worker *w, struct data_request *request, int ret,
			  const uint8_t *data)
{
	(void)w;
	(void)request;
	transferred = ret;
	transferred_data = data;
}

static int transfer(uint64_t off, uint32_t len,
		    void (*start)(struct worker *w, struct data_request *request))
{
	struct data_request request = {.inode = &store.inode,
				       .slot = store.w.slot,
				       .off = off,
				       .size = len,
				       .done = transfer_done};

	transferred = INT32_MIN;
	start(&store.w, &request);
	assert_int_not_equal(transferred, INT32_MIN);
	return transferred;
}

/* What a step writes at plain offset @at: never zero, other bytes in each step. */
static uint8_t byte_at(unsigned step, uint64_t at)
{
	return (uint8_t)(1 + (at * 7 + step * 83) % 255);
}

static int space(enum space_change what, const struct step *step)
{
	return space_change(&store.w, &store.inode, what, step->off, step->len,
			    what == SPACE_PUNCH);
}

/* 0 or -errno. */
static int store_step(const struct step *step)
{
	int ret;

	switch (step->change) {
	case WRITE:
		for (uint32_t i = 0; i < step->len; i++)
			store.w.slot->data[i] = byte_at(nr_steps, step->off + i);
		ret = transfer(step->off, step->len, data_write);
		nr_steps++;
		return ret == (int)step->len ? 0 : ret;
	case TRUNCATE:
		return size_set(&store.w, FILE_OF_STORE, step->off);
	case PUNCH:
		return space(SPACE_PUNCH, step);
	case ZERO:
		return space(SPACE_ZERO, step);
	case ALLOCATE:
		return space(SPACE_ALLOCATE, step);
	default:
		return file_fsync(&store.w, &store.inode, 0, true);
	}
}

/* The same to what should be seen; @number is that of the step, if it writes. */
static void content_step(struct content *content, const struct step *step,
			 unsigned number)
{
	uint64_t end = step->off + step->len;

	if (step->change == FSYNC)
		return;
	assert_true(end <= MAX_PLAIN);
	if (step->change == PUNCH && end > content->size)
		end = content->size;
	if (step->change == TRUNCATE || end > content->size) {
		if (end < content->size)
			memset(content->bytes + end, 0, content->size - end);
		content->size = end;
	}
	for (uint64_t i = step->off; step->change == WRITE && i < end; i++)
		content->bytes[i] = byte_at(number, i);
	if ((step->change == PUNCH || step->change == ZERO) && end > step->off)
		memset(content->bytes + step->off, 0, end - step->off);
}

/* What is read, page by page. */
struct view {
	struct content content;
	int errors[MAX_PAGES]; /* 0 or -errno */
};

static void store_view(struct view *view)
{
	memset(view, 0, sizeof(*view));
	view->content.size = file_size(FILE_OF_STORE);
	assert_true(view->content.size <= MAX_PLAIN);
	for (uint64_t i = 0; i < layout_pages(view->content.size); i++) {
		uint64_t start = layout_page_start(i);
		uint32_t len = layout_content(i, view->content.size);
		int ret = transfer(start, len, data_read);

		if (ret < 0) {
			view->errors[i] = ret;
			continue;
		}
		assert_int_equal(ret, len);
		memcpy(view->content.bytes + start, transferred_data, len);
	}
}

#endif
