/* SPDX-License-Identifier: Apache-2.0 */
/* What one process, and all of a user's together, may take of hsmd. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "hsm/limits.h"

enum { NR_WAITERS = 6, POLL_US = 1000, POLLS = 60000, ENOUGH = 30 };

static void many_processes_share_the_arena(void **state)
{
	enum { NR = LIMITS_ARENA / LIMITS_ARENA_EACH };
	struct limits_client *clients[NR + 1];

	(void)state;
	for (int i = 0; i <= NR; i++) {
		clients[i] = limits_connect(1000 + i);
		assert_non_null(clients[i]);
		assert_int_equal(limits_take_queue(clients[i], LIMITS_ARENA_EACH),
				 i < NR ? 0 : -EDQUOT);
	}
	limits_return_queue(clients[0], LIMITS_ARENA_EACH);
	assert_int_equal(limits_take_queue(clients[NR], LIMITS_ARENA_EACH), 0);
	for (int i = 1; i <= NR; i++)
		limits_return_queue(clients[i], LIMITS_ARENA_EACH);
	for (int i = 0; i <= NR; i++)
		limits_disconnect(clients[i]);
}

static uint32_t half_kib(void)
{
	uint64_t kib = (uint64_t)sysconf(_SC_PHYS_PAGES) *
		       (uint64_t)sysconf(_SC_PAGESIZE) / 2048;

	return kib < UINT32_MAX / 2 ? (uint32_t)kib : UINT32_MAX / 2;
}

static struct waiter {
	struct limits_client *client;
	pthread_t thread;
	uint32_t kib;
	_Atomic pid_t tid;
	atomic_uint began; /* as which of all, from 1; 0: waits */
} waiters[NR_WAITERS];

static atomic_uint nr_began;

static void *waiter_thread(void *arg)
{
	struct waiter *w = arg;

	atomic_store(&w->tid, gettid());
	if (!limits_begin_kdf(w->client, w->kib))
		atomic_store(&w->began, atomic_fetch_add(&nr_began, 1) + 1);
	return NULL;
}

/* A thread that sleeps whenever it is looked at waits for its turn. */
static int sleeps(pid_t tid)
{
	char path[64], state = '?';
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)tid);
	file = fopen(path, "re");
	if (file && fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
		state = '?';
	if (file)
		fclose(file);
	return state == 'S';
}

/* Starts waiter @i; returns once it has begun, or, not @begins, sleeps. */
static void start(int i, uint32_t kib, int begins)
{
	struct waiter *w = &waiters[i];
	int slept = 0;

	w->client = limits_connect(2000 + i);
	w->kib = kib;
	atomic_store(&w->tid, 0);
	atomic_store(&w->began, 0);
	assert_int_equal(pthread_create(&w->thread, NULL, waiter_thread, w), 0);
	for (int n = 0; !atomic_load(&w->began) && slept < ENOUGH && n < POLLS; n++) {
		pid_t tid = atomic_load(&w->tid);

		slept = !begins && tid && sleeps(tid) ? slept + 1 : 0;
		usleep(POLL_US);
	}
	assert_int_equal(atomic_load(&w->began) != 0, begins);
}

static void end(int i)
{
	pthread_join(waiters[i].thread, NULL);
	limits_end_kdf(waiters[i].client, waiters[i].kib);
	limits_disconnect(waiters[i].client);
}

static void passphrases_share_the_memory(void **state)
{
	const uint32_t third = half_kib() / 3;

	(void)state;
	atomic_store(&nr_began, 0);
	start(0, third, 1);
	start(1, third, 1);
	start(2, LIMITS_KIB_UNKNOWN, 0);
	start(3, 1, 0); /* small, but not before its turn */
	end(0);
	end(1);
	end(2);
	end(3);
	assert_int_equal(atomic_load(&nr_began), 4);
	assert_int_equal(atomic_load(&waiters[2].began), 3);
}

static void few_passphrases_at_a_time(void **state)
{
	(void)state;
	for (int i = 0; i < NR_WAITERS; i++)
		start(i, 1, i < LIMITS_KDFS);
	for (int i = 0; i < NR_WAITERS; i++)
		end(i);
}

static void more_than_there_is_is_refused(void **state)
{
	struct limits_client *client = limits_connect(3000);

	(void)state;
	assert_non_null(client);
	if (half_kib() < UINT32_MAX / 2)
		assert_int_equal(limits_begin_kdf(client, 2 * half_kib()), -ENOMEM);
	assert_int_equal(limits_begin_kdf(client, half_kib() + 1), 0);
	limits_end_kdf(client, half_kib() + 1);
	limits_disconnect(client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_processes_share_the_arena),
		cmocka_unit_test(passphrases_share_the_memory),
		cmocka_unit_test(few_passphrases_at_a_time),
		cmocka_unit_test(more_than_there_is_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
