/* SPDX-License-Identifier: Apache-2.0 */
/* What a queue costs hsmd. Bad clients are hostile_test.c's. */
#include "tests/unit/hsmd_fixture.h"

#include <sys/resource.h>

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

enum {
	MAX_QUEUES = 31,
	NR_FILES = 200,
	LOCKED_BYTES = 2 * 1024 * 1024,
};

static struct queue queues[MAX_QUEUES];

/* Each file that a queue works on needs a key; names need memory for a moment. */
static void use_keys(struct queue *queue, uint8_t file)
{
	static const struct ring_string name = {.len = 4};
	struct ring_sqe sqe = sqe_seal();

	sqe.file_id[0] = file;
	assert_int_equal(run(queue, &sqe).status, 0);
	memcpy(queue->arena + AT_DATA, &name, sizeof(name));
	sqe = (struct ring_sqe){.op = RING_NAME_SEAL,
				.count = 1,
				.src = AT_DATA,
				.src_len = 8,
				.dst = AT_OPENED,
				.dst_len = 64};
	assert_int_equal(run(queue, &sqe).status, 0);
}

/* Where little memory may be locked, a queue is refused; none fails in its work. */
static void queues_get_their_memory_at_once(void **state)
{
	const struct rlimit little = {LOCKED_BYTES, LOCKED_BYTES};
	const char *const words[] = {"--engine", "openssl", NULL};
	struct hsm_client *owner, *user;
	struct hsmd hsmd = {0};
	int nr = 0, ret = 0;

	(void)state;
	hsmd_folders(&hsmd);
	/* there is no way back: the last test */
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &little), 0);
	hsmd_start(&hsmd, words);
	owner = own_session();
	user = use_session(owner);
	while (nr < MAX_QUEUES && !ret) {
		assert_int_equal(queue_init(&queues[nr], ARENA_BYTES), 0);
		ret = queue_attach(&queues[nr], user);
		if (ret)
			queue_fini(&queues[nr]);
		else
			nr++;
	}
	assert_true(!ret || ret == -ENOMEM);
	assert_true(nr > 0);
	for (int file = 0; file < NR_FILES; file++)
		for (int i = 0; i < nr; i++)
			use_keys(&queues[i], (uint8_t)file);
	hsm_disconnect(user);
	while (nr)
		queue_fini(&queues[--nr]);
	hsm_disconnect(owner);
	hsmd_stop(&hsmd);
	hsmd_remove(&hsmd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(idle_queues_hold_no_memory),
		cmocka_unit_test(queues_get_their_memory_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
