/* SPDX-License-Identifier: Apache-2.0 */
/* What a queue costs hsmd. Bad clients are hostile_test.c's. */
#include "tests/unit/hsmd_fixture.h"

static unsigned long resident_pages(pid_t pid)
{
	unsigned long pages = 0;
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	file = fopen(path, "re");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%*u %lu", &pages), 1);
	fclose(file);
	return pages;
}

/* Has hsmd write to all of an arena of @len bytes. */
static void fill_arena(struct queue *queue, uint32_t len)
{
	const uint32_t step = 256 * PAGE_BYTES;
	struct ring_sqe sqe = sqe_seal();

	sqe.count = 256;
	sqe.last_len = PAGE_DATA_BYTES;
	sqe.dst_len = step;
	for (sqe.dst = step; sqe.dst < len; sqe.dst += step)
		assert_int_equal(run(queue, &sqe).status, 0);
}

static void idle_queues_hold_no_memory(void **state)
{
	const uint32_t len = 32 * 1024 * 1024;
	const unsigned long pages = len / PAGE_BYTES;
	uint64_t until = now_ms() + 60000;
	struct hsm_client *owner, *user;
	struct hsmd hsmd = {0};
	unsigned long before;
	struct queue queue;

	(void)state;
	hsmd_folders(&hsmd);
	hsmd_start(&hsmd, NULL);
	owner = own_session();
	user = use_session(owner);
	assert_int_equal(queue_init(&queue, len), 0);
	assert_int_equal(queue_attach(&queue, user), 0);
	assert_int_equal(seal_page(&queue), 0);
	before = resident_pages(hsmd.pid);
	fill_arena(&queue, len);
	while (resident_pages(hsmd.pid) > before + pages / 2 && now_ms() < until)
		usleep(10000);
	assert_true(resident_pages(hsmd.pid) <= before + pages / 2);
	/* and loses nothing */
	assert_int_equal(open_page(&queue), 0);
	hsm_disconnect(user);
	hsm_disconnect(owner);
	queue_fini(&queue);
	hsmd_stop(&hsmd);
	hsmd_remove(&hsmd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(idle_queues_hold_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
