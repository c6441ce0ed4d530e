/* SPDX-License-Identifier: Apache-2.0 */
/* fs/fetch.h: what is in memory, what is not, and stores that cannot tell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fs/fetch.h"
#include "fs/fs.h"
#include "fs/pages.h"
#include "fs/worker.h"

enum { LEN = 10000, OFF = 4096 };

/* The store: a file whose bytes before @cached are in memory. */
static struct {
	uint8_t bytes[OFF + LEN];
	uint64_t cached;
	int error; /* of looking at what is in memory */
	unsigned nr_looks, nr_waits, nr_aside;
} store;

static struct fs fs;
static struct worker worker = {.fs = &fs};

/* Before the C library's. */
ssize_t preadv2(int fd, const struct iovec *iov, int nr, off_t off, int flags)
{
	uint64_t at = (uint64_t)off, end = at + iov->iov_len;

	(void)fd;
	assert_int_equal(nr, 1);
	assert_int_equal(flags, RWF_NOWAIT);
	store.nr_looks++;
	if (store.error || store.cached <= at) {
		errno = store.error ? store.error : EAGAIN;
		return -1;
	}
	if (end > store.cached)
		end = store.cached;
	memcpy(iov->iov_base, store.bytes + at, end - at);
	return (ssize_t)(end - at);
}

int pages_read_backing(int fd, void *buf, uint64_t len, uint64_t off)
{
	(void)fd;
	store.nr_waits++;
	if (off + len > sizeof(store.bytes))
		return -EIO;
	memcpy(buf, store.bytes + off, len);
	return 0;
}

void worker_step_aside(struct worker *w)
{
	assert_ptr_equal(w, &worker);
	/* before anything is waited for */
	assert_int_equal(store.nr_waits, 0);
	store.nr_aside++;
}

static int reset(void **state)
{
	(void)state;
	memset(&store, 0, sizeof(store));
	memset(&fs, 0, sizeof(fs));
	for (size_t i = 0; i < sizeof(store.bytes); i++)
		store.bytes[i] = (uint8_t)(i % 251);
	return 0;
}

/* Fetches and compares; looks, stepping aside and waits must have been so many. */
static void fetch(unsigned nr_looks, unsigned nr_aside, unsigned nr_waits)
{
	static uint8_t buf[LEN];

	store.nr_looks = store.nr_aside = store.nr_waits = 0;
	memset(buf, 0xee, sizeof(buf));
	assert_int_equal(fetch_backing(&worker, 3, buf, LEN, OFF), 0);
	assert_memory_equal(buf, store.bytes + OFF, LEN);
	assert_int_equal(store.nr_looks, nr_looks);
	assert_int_equal(store.nr_aside, nr_aside);
	assert_int_equal(store.nr_waits, nr_waits);
}

static void what_is_in_memory_waits_for_nothing(void **state)
{
	(void)state;
	store.cached = OFF + LEN;
	fetch(1, 0, 0);
}

static void what_is_not_is_waited_for_aside(void **state)
{
	(void)state;
	fetch(1, 1, 1);
	store.cached = OFF + 1;
	fetch(1, 1, 1);
	store.cached = OFF + LEN - 1;
	fetch(1, 1, 1);
}

static void a_store_that_cannot_tell_is_asked_once(void **state)
{
	(void)state;
	store.error = EOPNOTSUPP;
	fetch(1, 0, 1);
	fetch(0, 0, 1);
}

static void other_errors_are_left_to_who_waits(void **state)
{
	(void)state;
	store.error = EIO;
	fetch(1, 1, 1);
	fetch(1, 1, 1);
}

static void the_end_of_the_file_is_an_error(void **state)
{
	static uint8_t buf[LEN];

	(void)state;
	store.cached = sizeof(store.bytes);
	assert_int_equal(fetch_backing(&worker, 3, buf, LEN, OFF + 1), -EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_is_in_memory_waits_for_nothing, reset),
		cmocka_unit_test_setup(what_is_not_is_waited_for_aside, reset),
		cmocka_unit_test_setup(a_store_that_cannot_tell_is_asked_once, reset),
		cmocka_unit_test_setup(other_errors_are_left_to_who_waits, reset),
		cmocka_unit_test_setup(the_end_of_the_file_is_an_error, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
