/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bitmap allocator over chunks of secret memory. All bookkeeping lies in ordinary
 * memory, out of reach of an overflow of a secret; free secret memory is always zero.
 */
#include "hsm/api/secmem.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <openssl/crypto.h>

enum {
	GRANULE = 64, /* unit and alignment of every allocation */
	WORD_BITS = 64,
	GUARD_BYTES = 4096,
	ROUND_BYTES = GRANULE * WORD_BITS, /* one word of the bitmap, one page */
	CHUNK_BYTES = 256 * 1024,
};

_Static_assert(CHUNK_BYTES % ROUND_BYTES == 0, "whole words per chunk");

struct chunk {
	struct chunk *next;
	uint8_t *base;
	size_t len;
	size_t nr_granules;
	size_t nr_free;
	size_t first_free; /* no granule below it is free */
	uint64_t *used;	   /* one bit per granule */
	uint32_t *run;	   /* granules of the allocation that starts here, or 0 */
};

enum backing { BACKING_UNKNOWN, BACKING_SECRET, BACKING_LOCKED };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static struct chunk *chunks;
static enum backing backing;

/* --- pages ----------------------------------------------------------------------- */

static int map_secret(void *at, size_t len)
{
	int fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC);
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)len) < 0 ||
	    mmap(at, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
		    MAP_FAILED)
		rc = -errno;
	close(fd);
	return rc;
}

static int map_locked(void *at, size_t len)
{
	if (mmap(at, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		 -1, 0) == MAP_FAILED)
		return -errno;
	/* mlock() says ENOMEM or EPERM where memfd_secret says EAGAIN. */
	if (mlock(at, len) < 0)
		return errno == EPERM || errno == ENOMEM ? -EAGAIN : -errno;
	return 0;
}

/*
 * The choice is made once: a memfd_secret that fails later (a sandbox, a limit) must
 * not silently turn into something weaker.
 */
static int map_pages(void *at, size_t len)
{
	int rc;

	if (backing == BACKING_LOCKED)
		return map_locked(at, len);
	rc = map_secret(at, len);
	if (rc == 0) {
		backing = BACKING_SECRET;
	} else if (backing == BACKING_UNKNOWN && (rc == -ENOSYS || rc == -EPERM)) {
		rc = map_locked(at, len);
		if (rc == 0)
			backing = BACKING_LOCKED;
	}
	return rc;
}

/* Maps @len bytes between two guard pages. */
static int map_guarded(size_t len, uint8_t **base)
{
	size_t total = len + (size_t)2 * GUARD_BYTES;
	uint8_t *area = mmap(NULL, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int rc;

	if (area == MAP_FAILED)
		return -errno;
	*base = area + GUARD_BYTES;
	rc = map_pages(*base, len);
	if (rc == 0 && (madvise(*base, len, MADV_DONTDUMP) < 0 ||
			madvise(*base, len, MADV_DONTFORK) < 0))
		rc = -errno;
	if (rc < 0)
		munmap(area, total);
	return rc;
}

/* --- chunks ---------------------------------------------------------------------- */

static struct chunk *chunk_create(size_t len)
{
	size_t nr = len / GRANULE;
	struct chunk *chunk = calloc(1, sizeof(*chunk));
	int rc = -ENOMEM;

	if (!chunk)
		return NULL;
	chunk->used = calloc(nr / WORD_BITS, sizeof(*chunk->used));
	chunk->run = calloc(nr, sizeof(*chunk->run));
	if (chunk->used && chunk->run)
		rc = map_guarded(len, &chunk->base);
	if (rc < 0) {
		free(chunk->used);
		free(chunk->run);
		free(chunk);
		errno = -rc;
		return NULL;
	}
	chunk->len = len;
	chunk->nr_granules = nr;
	chunk->nr_free = nr;
	return chunk;
}

static void chunk_forget(struct chunk *chunk)
{
	free(chunk->used);
	free(chunk->run);
	free(chunk);
}

static void chunk_destroy(struct chunk *chunk)
{
	munmap(chunk->base - GUARD_BYTES, chunk->len + (size_t)2 * GUARD_BYTES);
	chunk_forget(chunk);
}

/* First granule of @nr free ones in a row, or nr_granules. */
static size_t chunk_find(const struct chunk *chunk, size_t nr)
{
	size_t i = chunk->first_free;
	size_t start = i;

	while (i < chunk->nr_granules) {
		uint64_t word = chunk->used[i / WORD_BITS] >> (i % WORD_BITS);

		if (word == UINT64_MAX) {
			i += WORD_BITS;
			start = i;
		} else if (word & 1) {
			i += (size_t)__builtin_ctzll(~word);
			start = i;
		} else {
			i += word ? (size_t)__builtin_ctzll(word)
				  : WORD_BITS - i % WORD_BITS;
			if (i - start >= nr)
				return start;
		}
	}
	return chunk->nr_granules;
}

static void chunk_mark(struct chunk *chunk, size_t start, size_t nr, bool used)
{
	for (size_t i = start; i < start + nr; i++) {
		uint64_t bit = UINT64_C(1) << (i % WORD_BITS);

		if (used)
			chunk->used[i / WORD_BITS] |= bit;
		else
			chunk->used[i / WORD_BITS] &= ~bit;
	}
}

static void *chunk_alloc(struct chunk *chunk, size_t nr)
{
	size_t start;

	if (chunk->nr_free < nr)
		return NULL;
	start = chunk_find(chunk, nr);
	if (start == chunk->nr_granules)
		return NULL;
	chunk_mark(chunk, start, nr, true);
	chunk->run[start] = (uint32_t)nr;
	chunk->nr_free -= nr;
	if (start == chunk->first_free)
		chunk->first_free += nr;
	return chunk->base + start * GRANULE;
}

static void chunk_free(struct chunk *chunk, size_t start)
{
	size_t nr = chunk->run[start];

	secmem_wipe(chunk->base + start * GRANULE, nr * GRANULE);
	chunk_mark(chunk, start, nr, false);
	chunk->run[start] = 0;
	chunk->nr_free += nr;
	if (start < chunk->first_free)
		chunk->first_free = start;
}

static bool chunk_is_empty(const struct chunk *chunk)
{
	return chunk->nr_free == chunk->nr_granules;
}

/* --- the heap -------------------------------------------------------------------- */

static void fork_prepare(void)
{
	pthread_mutex_lock(&lock);
}

static void fork_parent(void)
{
	pthread_mutex_unlock(&lock);
}

/* The pages did not come along (MADV_DONTFORK): the child starts with none. */
static void fork_child(void)
{
	while (chunks) {
		struct chunk *next = chunks->next;

		chunk_forget(chunks);
		chunks = next;
	}
	pthread_mutex_unlock(&lock);
}

static void fork_register(void)
{
	/* Fails only when out of memory, long before there is anything to protect. */
	if (pthread_atfork(fork_prepare, fork_parent, fork_child) != 0)
		abort();
}

static struct chunk *heap_grow(size_t nr)
{
	size_t len = (nr * GRANULE + ROUND_BYTES - 1) / ROUND_BYTES * ROUND_BYTES;
	struct chunk *chunk = chunk_create(len > CHUNK_BYTES ? len : CHUNK_BYTES);
	struct chunk **tail = &chunks;

	if (!chunk)
		return NULL;
	while (*tail)
		tail = &(*tail)->next;
	*tail = chunk;
	return chunk;
}

static void *heap_alloc(size_t len)
{
	size_t nr = len ? (len + GRANULE - 1) / GRANULE : 1;
	struct chunk *chunk;
	void *ptr;

	if (len > (size_t)UINT32_MAX) {
		errno = ENOMEM;
		return NULL;
	}
	for (chunk = chunks; chunk; chunk = chunk->next) {
		ptr = chunk_alloc(chunk, nr);
		if (ptr)
			return ptr;
	}
	chunk = heap_grow(nr);
	return chunk ? chunk_alloc(chunk, nr) : NULL;
}

/* The chunk of @ptr. Anything that was not allocated here, or not any more, is fatal. */
static struct chunk *heap_lookup(const void *ptr, size_t *start)
{
	uintptr_t addr = (uintptr_t)ptr;

	for (struct chunk *chunk = chunks; chunk; chunk = chunk->next) {
		size_t offset = addr - (uintptr_t)chunk->base;

		if (offset >= chunk->len)
			continue;
		*start = offset / GRANULE;
		if (offset % GRANULE == 0 && chunk->run[*start] != 0)
			return chunk;
		break;
	}
	abort();
}

/* Keeps one empty chunk of the usual size, so that a lone key doesn't map and unmap. */
static void heap_trim(struct chunk *chunk)
{
	bool spare = chunk->len > CHUNK_BYTES;
	struct chunk **link = &chunks;

	for (struct chunk *other = chunks; other; other = other->next)
		spare |= other != chunk && chunk_is_empty(other);
	if (!spare)
		return;
	while (*link != chunk)
		link = &(*link)->next;
	*link = chunk->next;
	chunk_destroy(chunk);
}

static void heap_free(void *ptr)
{
	size_t start;
	struct chunk *chunk = heap_lookup(ptr, &start);

	chunk_free(chunk, start);
	if (chunk_is_empty(chunk))
		heap_trim(chunk);
}

static void *heap_realloc(void *ptr, size_t len)
{
	size_t start;
	struct chunk *chunk = heap_lookup(ptr, &start);
	size_t old_len = (size_t)chunk->run[start] * GRANULE;
	void *new;

	if (len <= old_len)
		return ptr;
	new = heap_alloc(len);
	if (new) {
		memcpy(new, ptr, old_len);
		heap_free(ptr);
	}
	return new;
}

/* --- interface ------------------------------------------------------------------- */

void *secmem_alloc(size_t len)
{
	void *ptr;

	pthread_once(&fork_once, fork_register);
	pthread_mutex_lock(&lock);
	ptr = heap_alloc(len);
	pthread_mutex_unlock(&lock);
	return ptr;
}

void secmem_free(void *ptr)
{
	if (!ptr)
		return;
	pthread_mutex_lock(&lock);
	heap_free(ptr);
	pthread_mutex_unlock(&lock);
}

void secmem_wipe(void *ptr, size_t len)
{
	explicit_bzero(ptr, len);
}

int secmem_compare(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len);
}

const char *secmem_kind(void)
{
	bool secret;

	secmem_free(secmem_alloc(1));
	pthread_mutex_lock(&lock);
	secret = backing == BACKING_SECRET;
	pthread_mutex_unlock(&lock);
	return secret ? "memfd_secret" : "mlock";
}

static void *openssl_malloc(size_t len, const char *file, int line)
{
	(void)file;
	(void)line;
	return len ? secmem_alloc(len) : NULL;
}

static void openssl_free(void *ptr, const char *file, int line)
{
	(void)file;
	(void)line;
	secmem_free(ptr);
}

static void *openssl_realloc(void *ptr, size_t len, const char *file, int line)
{
	if (!ptr)
		return openssl_malloc(len, file, line);
	if (len == 0) {
		secmem_free(ptr);
		return NULL;
	}
	pthread_mutex_lock(&lock);
	ptr = heap_realloc(ptr, len);
	pthread_mutex_unlock(&lock);
	return ptr;
}

int secmem_adopt_openssl(void)
{
	if (CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free) != 1)
		return -EBUSY;
	return 0;
}

int secmem_harden_process(void)
{
	const struct rlimit no_core = {0, 0};

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
	    setrlimit(RLIMIT_CORE, &no_core) < 0)
		return -errno;
	return 0;
}

void secmem_visit(void (*visit)(const void *chunk, size_t len, void *arg), void *arg)
{
	pthread_mutex_lock(&lock);
	for (const struct chunk *chunk = chunks; chunk; chunk = chunk->next)
		visit(chunk->base, chunk->len, arg);
	pthread_mutex_unlock(&lock);
}
