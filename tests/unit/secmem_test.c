/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Most cases run in a child: they abort, lower limits, or want an allocator that has
 * never been used.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "hsm/api/secmem.h"

enum { MARK_BYTES = 48, CHUNK = 256 * 1024 };

#define CHECK(cond)                                                                      \
	do {                                                                             \
		if (!(cond)) {                                                           \
			fprintf(stderr, "%s:%d: %s\n", __func__, __LINE__, #cond);       \
			_exit(1);                                                        \
		}                                                                        \
	} while (0)

/* Exit status of a child that runs @body, or 128 + the signal that ended it. */
static int run_child(void (*body)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		signal(SIGABRT, SIG_DFL);
		signal(SIGSEGV, SIG_DFL);
		body();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Makes memfd_secret fail with ENOSYS from here on. */
static void deny_memfd_secret(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_memfd_secret, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {.len = 4, .filter = code};

	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0);
}

/* Lowers the limit and loses the capability to pass it. */
static void limit_memlock(rlim_t bytes)
{
	struct rlimit limit = {bytes, bytes};

	CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
	if (geteuid() == 0)
		CHECK(setresuid(65534, 65534, 65534) == 0);
}

struct search {
	const void *what;
	size_t len;
	int found;
	size_t total;
	int nr_chunks;
	const uint8_t *end;
};

static void search_chunk(const void *chunk, size_t len, void *arg)
{
	struct search *s = arg;

	s->total += len;
	s->nr_chunks++;
	s->end = (const uint8_t *)chunk + len;
	if (s->len && memmem(chunk, len, s->what, s->len))
		s->found++;
}

static struct search search(const void *what, size_t len)
{
	struct search s = {.what = what, .len = len};

	secmem_visit(search_chunk, &s);
	return s;
}

static bool is_zero(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

/* --- what backs it (first: needs a process that has not chosen yet) ---------------- */

static void exhaust(void)
{
	enum { PIECE = 64 * 1024, MAX = 64 };
	void *pieces[MAX];
	int nr = 0;

	limit_memlock(1024 * 1024);
	while (nr < MAX && (pieces[nr] = secmem_alloc(PIECE)))
		nr++;
	CHECK(errno == EAGAIN);
	CHECK(nr >= 12 && nr <= 16);
	CHECK(!secmem_alloc(2 * 1024 * 1024) && errno == EAGAIN);
	secmem_free(pieces[--nr]);
	pieces[nr] = secmem_alloc(PIECE);
	CHECK(pieces[nr] && is_zero(pieces[nr], PIECE));
	for (int i = 0; i <= nr; i++)
		secmem_free(pieces[i]);
	CHECK(secmem_alloc(PIECE));
}

static void fall_back(void)
{
	int on_stack;

	deny_memfd_secret();
	CHECK(strcmp(secmem_kind(), "mlock") == 0);
	/* Sanitizers make mlock() do nothing: then there is no limit to run into. */
	if (mlock(&on_stack, SIZE_MAX / 4) < 0)
		exhaust();
}

static void no_downgrade(void)
{
	if (strcmp(secmem_kind(), "memfd_secret") != 0)
		return;
	deny_memfd_secret();
	CHECK(secmem_alloc(1000));
	CHECK(!secmem_alloc((size_t)2 * CHUNK));
	CHECK(strcmp(secmem_kind(), "memfd_secret") == 0);
}

static void test_falls_back_to_locked_memory(void **state)
{
	(void)state;
	assert_int_equal(run_child(fall_back), 0);
}

static void test_never_downgrades_later(void **state)
{
	(void)state;
	assert_int_equal(run_child(no_downgrade), 0);
}

static void test_exhaustion_fails_and_recovers(void **state)
{
	(void)state;
	assert_int_equal(run_child(exhaust), 0);
}

static void test_impossible_sizes(void **state)
{
	(void)state;
	errno = 0;
	assert_null(secmem_alloc(SIZE_MAX));
	assert_int_equal(errno, ENOMEM);
	errno = 0;
	assert_null(secmem_alloc(SIZE_MAX - 62));
	assert_int_equal(errno, ENOMEM);
	errno = 0;
	assert_null(secmem_alloc((size_t)UINT32_MAX + 1));
	assert_int_equal(errno, ENOMEM);
}

/* --- allocation ------------------------------------------------------------------- */

static void test_aligned_and_zeroed(void **state)
{
	static const size_t sizes[] = {0,    1,	   63,	  64,	     65,	   4095,
				       4096, 4097, CHUNK, CHUNK + 1, 3 * CHUNK + 7};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint8_t *p = secmem_alloc(sizes[i]);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 64, 0);
		assert_true(is_zero(p, sizes[i]));
		memset(p, 0xff, sizes[i]);
		secmem_free(p);
	}
	secmem_free(NULL);
}

struct block {
	uint8_t *ptr;
	size_t len;
	uint8_t fill;
};

static bool block_intact(const struct block *b)
{
	for (size_t i = 0; i < b->len; i++)
		if (b->ptr[i] != b->fill)
			return false;
	return true;
}

/* Random traffic; each block keeps its own bytes and fresh ones are zero. */
static void *traffic(void *arg)
{
	enum { NR = 200 };
	struct block blocks[NR] = {0};
	unsigned seed = *(unsigned *)arg;
	uintptr_t ok = 1;

	for (int i = 0; i < 20000; i++) {
		struct block *b = &blocks[(unsigned)rand_r(&seed) % NR];
		unsigned r = (unsigned)rand_r(&seed);

		if (b->ptr) {
			ok &= block_intact(b);
			secmem_free(b->ptr);
			b->ptr = NULL;
			continue;
		}
		b->len = r % 50 == 0 ? r % 9000 : r % 300;
		b->fill = (uint8_t)(1 + r % 255);
		b->ptr = secmem_alloc(b->len);
		ok &= b->ptr && is_zero(b->ptr, b->len);
		if (b->ptr)
			memset(b->ptr, b->fill, b->len);
	}
	for (int i = 0; i < NR; i++) {
		ok &= !blocks[i].ptr || block_intact(&blocks[i]);
		secmem_free(blocks[i].ptr);
	}
	return (void *)ok;
}

static void test_random_traffic_of_threads(void **state)
{
	pthread_t threads[3];
	unsigned seeds[3] = {1, 2, 3};
	struct search after;

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, traffic, &seeds[i]),
				 0);
	for (int i = 0; i < 3; i++) {
		void *ok = NULL;

		assert_int_equal(pthread_join(threads[i], &ok), 0);
		assert_non_null(ok);
	}
	after = search(NULL, 0);
	assert_true(after.nr_chunks <= 1);
	assert_true(after.total <= CHUNK);
}

static void test_space_is_reused(void **state)
{
	enum { NR = CHUNK / 64 };
	static void *p[NR];
	struct search s;

	(void)state;
	for (int i = 0; i < NR; i++)
		assert_non_null(p[i] = secmem_alloc(64));
	s = search(NULL, 0);
	assert_int_equal(s.total, CHUNK);
	/* Two neighbours make room for one of twice the size, in the same chunk. */
	for (int i = 1000; i < 1002; i++)
		secmem_free(p[i]);
	p[1000] = secmem_alloc(128);
	p[1001] = NULL;
	assert_non_null(p[1000]);
	s = search(NULL, 0);
	assert_int_equal(s.total, CHUNK);
	for (int i = 0; i < NR; i++)
		secmem_free(p[i]);
}

static void test_large_chunks_are_given_back(void **state)
{
	void *p = secmem_alloc((size_t)4 * CHUNK);

	(void)state;
	assert_non_null(p);
	assert_true(search(NULL, 0).total >= (size_t)4 * CHUNK);
	secmem_free(p);
	assert_true(search(NULL, 0).total <= CHUNK);
}

/* --- secrecy ---------------------------------------------------------------------- */

static void fill_mark(uint8_t mark[MARK_BYTES], uint8_t start)
{
	for (int i = 0; i < MARK_BYTES; i++)
		mark[i] = (uint8_t)(start + 5 * i);
}

static void test_free_wipes(void **state)
{
	uint8_t mark[MARK_BYTES];
	uint8_t *keep = secmem_alloc(10); /* so that the chunk stays */
	uint8_t *p = secmem_alloc(5000);

	(void)state;
	assert_non_null(keep);
	assert_non_null(p);
	fill_mark(mark, 17);
	memcpy(p + 5000 - MARK_BYTES, mark, MARK_BYTES);
	assert_int_equal(search(mark, MARK_BYTES).found, 1);
	secmem_free(p);
	assert_int_equal(search(mark, MARK_BYTES).found, 0);
	secmem_free(keep);
}

static void test_wipe_and_compare(void **state)
{
	uint8_t a[MARK_BYTES];
	uint8_t b[MARK_BYTES];

	(void)state;
	fill_mark(a, 3);
	fill_mark(b, 3);
	assert_int_equal(secmem_compare(a, b, sizeof(a)), 0);
	for (size_t i = 0; i < sizeof(a); i++) {
		b[i] ^= 0x80;
		assert_int_not_equal(secmem_compare(a, b, sizeof(a)), 0);
		assert_int_equal(secmem_compare(a, b, i), 0);
		b[i] ^= 0x80;
	}
	secmem_wipe(a, sizeof(a) - 1);
	assert_true(is_zero(a, sizeof(a) - 1));
	assert_int_equal(a[sizeof(a) - 1], b[sizeof(a) - 1]);
}

static void test_unreadable_through_proc(void **state)
{
	uint8_t mark[MARK_BYTES];
	uint8_t seen[MARK_BYTES] = {0};
	uint8_t *p;
	int fd;

	(void)state;
	if (strcmp(secmem_kind(), "memfd_secret") != 0)
		skip();
	p = secmem_alloc(MARK_BYTES);
	fill_mark(mark, 99);
	memcpy(p, mark, MARK_BYTES);
	fd = open("/proc/self/mem", O_RDONLY);
	assert_true(fd >= 0);
	/* The same read of ordinary memory works. */
	assert_int_equal(pread(fd, seen, MARK_BYTES, (off_t)(uintptr_t)mark), MARK_BYTES);
	assert_int_equal(pread(fd, seen, MARK_BYTES, (off_t)(uintptr_t)p), -1);
	close(fd);
	secmem_free(p);
}

static uint8_t *inherited;

static void read_inherited(void)
{
	_exit(*(volatile uint8_t *)inherited == 0x5a ? 77 : 78);
}

static void free_inherited(void)
{
	secmem_free(inherited);
}

static void start_afresh(void)
{
	uint8_t *p = secmem_alloc(100);

	CHECK(p && is_zero(p, 100));
	CHECK(search(NULL, 0).nr_chunks == 1);
	secmem_free(p);
}

static void test_child_inherits_nothing(void **state)
{
	(void)state;
	inherited = secmem_alloc(64);
	assert_non_null(inherited);
	memset(inherited, 0x5a, 64);
	assert_int_equal(run_child(read_inherited), 128 + SIGSEGV);
	assert_int_equal(run_child(free_inherited), 128 + SIGABRT);
	assert_int_equal(run_child(start_afresh), 0);
	assert_int_equal(inherited[63], 0x5a);
	secmem_free(inherited);
}

/* --- misuse ----------------------------------------------------------------------- */

static void double_free(void)
{
	void *keep = secmem_alloc(64);
	void *p = secmem_alloc(64);

	CHECK(keep && p);
	secmem_free(p);
	secmem_free(p);
}

static void interior_free(void)
{
	uint8_t *p = secmem_alloc(640);

	CHECK(p);
	secmem_free(p + 64);
}

static void unaligned_free(void)
{
	uint8_t *p = secmem_alloc(64);

	CHECK(p);
	secmem_free(p + 1);
}

static void foreign_free(void)
{
	int on_stack;

	secmem_free(&on_stack);
}

static void overrun(void)
{
	CHECK(secmem_alloc(64));
	_exit(*(const volatile uint8_t *)search(NULL, 0).end);
}

static void test_misuse_is_fatal(void **state)
{
	(void)state;
	assert_int_equal(run_child(double_free), 128 + SIGABRT);
	assert_int_equal(run_child(interior_free), 128 + SIGABRT);
	assert_int_equal(run_child(unaligned_free), 128 + SIGABRT);
	assert_int_equal(run_child(foreign_free), 128 + SIGABRT);
	assert_int_equal(run_child(overrun), 128 + SIGSEGV);
}

/* --- the process ------------------------------------------------------------------ */

static void keys_of_openssl(void)
{
	uint8_t key[MARK_BYTES];
	EVP_CIPHER_CTX *ctx;

	CHECK(secmem_adopt_openssl() == 0);
	fill_mark(key, 201);
	ctx = EVP_CIPHER_CTX_new();
	CHECK(ctx);
	CHECK(EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, key) == 1);
	/* An expanded AES key begins with the key. */
	CHECK(search(key, 32).found == 1);
	EVP_CIPHER_CTX_free(ctx);
	CHECK(search(key, 32).found == 0);
}

static void realloc_of_openssl(void)
{
	uint8_t mark[MARK_BYTES];
	uint8_t *p;
	uint8_t *q;

	CHECK(secmem_adopt_openssl() == 0);
	fill_mark(mark, 42);
	p = OPENSSL_realloc(NULL, MARK_BYTES);
	CHECK(p);
	memcpy(p, mark, MARK_BYTES);
	for (size_t len = 64; len < 500000; len *= 3) {
		p = OPENSSL_realloc(p, len);
		CHECK(p && memcmp(p, mark, MARK_BYTES) == 0);
		CHECK(search(mark, MARK_BYTES).found == 1);
	}
	CHECK(!OPENSSL_realloc(p, SIZE_MAX));
	CHECK(memcmp(p, mark, MARK_BYTES) == 0);
	q = OPENSSL_realloc(p, 20);
	CHECK(q && memcmp(q, mark, 20) == 0);
	CHECK(!OPENSSL_realloc(q, 0));
	CHECK(search(mark, 20).found == 0);
	CHECK(!OPENSSL_malloc(0));
}

/* What doesn't fit is refused, not served from ordinary memory. */
static void adopt_under_limit(void)
{
	int nr = 0;

	limit_memlock(CHUNK);
	CHECK(secmem_adopt_openssl() == 0);
	while (nr < 100 && OPENSSL_malloc(4096))
		nr++;
	CHECK(nr >= 60 && nr <= 64);
	CHECK(search(NULL, 0).total == CHUNK);
}

static void adopt_too_late(void)
{
	OPENSSL_free(OPENSSL_malloc(1));
	CHECK(secmem_adopt_openssl() == -EBUSY);
}

static void test_openssl_keeps_keys_here(void **state)
{
	(void)state;
	assert_int_equal(run_child(keys_of_openssl), 0);
	assert_int_equal(run_child(realloc_of_openssl), 0);
	assert_int_equal(run_child(adopt_under_limit), 0);
	assert_int_equal(run_child(adopt_too_late), 0);
}

static void harden(void)
{
	struct rlimit core;

	CHECK(secmem_harden_process() == 0);
	CHECK(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
	CHECK(getrlimit(RLIMIT_CORE, &core) == 0);
	CHECK(core.rlim_cur == 0 && core.rlim_max == 0);
}

static void test_hardening(void **state)
{
	(void)state;
	assert_int_equal(run_child(harden), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_falls_back_to_locked_memory),
		cmocka_unit_test(test_never_downgrades_later),
		cmocka_unit_test(test_exhaustion_fails_and_recovers),
		cmocka_unit_test(test_impossible_sizes),
		cmocka_unit_test(test_aligned_and_zeroed),
		cmocka_unit_test(test_random_traffic_of_threads),
		cmocka_unit_test(test_space_is_reused),
		cmocka_unit_test(test_large_chunks_are_given_back),
		cmocka_unit_test(test_free_wipes),
		cmocka_unit_test(test_wipe_and_compare),
		cmocka_unit_test(test_unreadable_through_proc),
		cmocka_unit_test(test_child_inherits_nothing),
		cmocka_unit_test(test_misuse_is_fatal),
		cmocka_unit_test(test_openssl_keeps_keys_here),
		cmocka_unit_test(test_hardening),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
