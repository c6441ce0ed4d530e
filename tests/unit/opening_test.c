/* SPDX-License-Identifier: Apache-2.0 */
/* Who opens a file while the kernel is given its content waits for that, and no longer.
 */
#include "tests/unit/store_fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

static int64_t store_hook(enum call call, uint64_t off, uint64_t len)
{
	(void)call;
	(void)off;
	(void)len;
	return 0;
}

static void store_done(enum call call, uint64_t off, uint64_t len)
{
	(void)call;
	(void)off;
	(void)len;
}

static atomic_bool is_open;

static void *open_again(void *arg)
{
	(void)arg;
	assert_int_equal(file_open(&store.w, &store.inode, O_RDONLY), 0);
	atomic_store(&is_open, true);
	return NULL;
}

/* True if it is before @ms are over. */
static bool is_open_within(int ms)
{
	const struct timespec pause = {.tv_nsec = 1000000};

	while (!atomic_load(&is_open) && ms--)
		nanosleep(&pause, NULL);
	return atomic_load(&is_open);
}

static void readers_are_not_waited_for(void **state)
{
	const struct step write = {WRITE, 0, 9000};
	struct range reading = {.first = 0, .last = 0};
	static struct content content;
	static struct view view;
	pthread_t thread;

	(void)state;
	store_new_file();
	content_step(&content, &write, nr_steps);
	assert_int_equal(store_step(&write), 0);
	FILE_OF_STORE->nr_open = 1;
	store.fs.gives = false; /* an old kernel */
	assert_false(file_may_give(&store.w, &store.inode, MAX_PLAIN));
	store.fs.gives = true;
	assert_true(file_may_give(&store.w, &store.inode, MAX_PLAIN));
	assert_int_equal(pthread_create(&thread, NULL, open_again, NULL), 0);
	assert_false(is_open_within(100));
	/* whose opening has been answered with the content reads on and on */
	assert_true(range_try(&FILE_OF_STORE->pages, &reading));
	file_gave(&store.inode);
	assert_true(is_open_within(30000));
	range_release(&FILE_OF_STORE->pages, &reading);
	pthread_join(thread, NULL);
	store_view(&view);
	assert_memory_equal(&view.content, &content, sizeof(content));
	store_drop_file();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(readers_are_not_waited_for),
	};

	return cmocka_run_group_tests(tests, store_setup, store_teardown);
}
