/* SPDX-License-Identifier: Apache-2.0 */
/* Who receives: seats that are called, left and given up, and rounds in which all wipe.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include "fs/crew.h"
#include "fs/worker.h"

enum { SEATS = 3, DEADLINE_MS = 20000 };

/* What a worker is to do next; those with a seat take orders one by one. */
enum order { NOTHING, STAND_AND_WAIT, LEAVE, END };

static struct crew crew;
static atomic_int order, nr_seated, nr_standing, nr_left, nr_wiped, most_seated;
static atomic_bool sit_again, fail_to_start, take_no_part;

void engine_wipe(struct engine *engine)
{
	(void)engine;
	atomic_fetch_add(&nr_wiped, 1);
}

static void pause_1ms(void)
{
	poll(NULL, 0, 1);
}

static void wait_until(atomic_int *what, int value)
{
	for (int i = 0; atomic_load(what) != value; i++) {
		if (i == DEADLINE_MS)
			fail_msg("it is %d, wanted %d", atomic_load(what), value);
		pause_1ms();
	}
}

static void note_seated(int change)
{
	int now = atomic_fetch_add(&nr_seated, change) + change;
	int most = atomic_load(&most_seated);

	while (now > most && !atomic_compare_exchange_weak(&most_seated, &most, now))
		;
}

/* As fs/fuse_loop.c sleeps. */
static void sleep_on_wake(struct worker *w)
{
	struct pollfd fd = {.fd = crew.wake_fd, .events = POLLIN};
	eventfd_t count;

	if (poll(&fd, 1, 1) == 1) {
		eventfd_read(crew.wake_fd, &count);
		crew_take_part(&crew, w);
	}
}

static void stand_and_wait(struct worker *w)
{
	note_seated(-1);
	crew_stand(&crew, w);
	atomic_fetch_add(&nr_standing, 1);
	while (!atomic_load(&sit_again)) {
		if (!atomic_load(&take_no_part))
			crew_take_part(&crew, w);
		pause_1ms();
	}
	atomic_fetch_sub(&nr_standing, 1);
}

static bool has_ended(void)
{
	bool ended;

	pthread_mutex_lock(&crew.lock);
	ended = crew.ended;
	pthread_mutex_unlock(&crew.lock);
	return ended;
}

static void serve(struct worker *w)
{
	while (w->has_seat) {
		switch (atomic_exchange(&order, NOTHING)) {
		case STAND_AND_WAIT:
			stand_and_wait(w);
			break;
		case LEAVE:
			if (crew_leave(&crew, w)) {
				note_seated(-1);
				atomic_fetch_add(&nr_left, 1);
			}
			break;
		case END:
			crew_end(&crew, w);
			break;
		default:
			if (has_ended())
				crew_end(&crew, w);
			else
				sleep_on_wake(w);
		}
	}
}

static void *work(void *arg)
{
	struct worker w = {.loop = arg};

	if (atomic_load(&fail_to_start)) {
		crew_quit(&crew);
		return NULL;
	}
	crew_enter(&crew, &w);
	while (crew_sit(&crew, &w)) {
		note_seated(1);
		serve(&w);
	}
	return NULL;
}

static int set_up(void **state)
{
	(void)state;
	nr_seated = nr_standing = nr_left = nr_wiped = most_seated = 0;
	order = NOTHING;
	sit_again = fail_to_start = take_no_part = false;
	return crew_init(&crew, SEATS, work, NULL);
}

static int tear_down(void **state)
{
	(void)state;
	atomic_store(&sit_again, true);
	atomic_store(&order, END);
	crew_join(&crew);
	crew_fini(&crew);
	return 0;
}

static unsigned nr_quit(void)
{
	unsigned n;

	pthread_mutex_lock(&crew.lock);
	n = crew.nr_quit;
	pthread_mutex_unlock(&crew.lock);
	return n;
}

static void give(enum order what)
{
	atomic_store(&order, what);
	wait_until(&order, NOTHING);
}

static void start_with(int nr)
{
	assert_int_equal(crew_start(&crew), 0);
	for (int i = 1; i < nr; i++)
		crew_call(&crew);
	wait_until(&nr_seated, nr);
}

static void test_one_is_enough_at_first(void **state)
{
	(void)state;
	assert_int_equal(crew_start(&crew), 0);
	wait_until(&nr_seated, 1);
	give(LEAVE); /* the last one stays */
	assert_int_equal(atomic_load(&nr_left), 0);
	assert_int_equal(crew_nr_workers(&crew), 1);
}

static void test_as_many_as_there_are_seats_are_called(void **state)
{
	(void)state;
	assert_int_equal(crew_start(&crew), 0);
	for (int i = 0; i < 10; i++)
		crew_call(&crew);
	wait_until(&nr_seated, SEATS);
	give(LEAVE);
	wait_until(&nr_left, 1);
	give(LEAVE);
	wait_until(&nr_left, 2);
	give(LEAVE);
	assert_int_equal(atomic_load(&nr_left), 2);
	assert_int_equal(atomic_load(&nr_seated), 1);
	/* those who left are called before any is started */
	crew_call(&crew);
	crew_call(&crew);
	wait_until(&nr_seated, SEATS);
	assert_int_equal(crew_nr_workers(&crew), SEATS);
	assert_int_equal(atomic_load(&most_seated), SEATS);
}

static void test_who_waits_is_replaced(void **state)
{
	(void)state;
	start_with(2);
	give(STAND_AND_WAIT);
	wait_until(&nr_standing, 1);
	wait_until(&nr_seated, 2);
	give(STAND_AND_WAIT);
	wait_until(&nr_standing, 2);
	wait_until(&nr_seated, 2);
	assert_int_equal(crew_nr_workers(&crew), 4);
	/* back from waiting, they find the seats taken */
	atomic_store(&sit_again, true);
	wait_until(&nr_standing, 0);
	assert_int_equal(atomic_load(&nr_seated), 2);
	assert_int_equal(atomic_load(&most_seated), 2);
}

static unsigned nr_waiting(void)
{
	unsigned n;

	pthread_mutex_lock(&crew.lock);
	n = crew.nr_waiting;
	pthread_mutex_unlock(&crew.lock);
	return n;
}

/* One who waits takes one of two seats that are given up at once. */
static void test_as_many_follow_as_give_up_their_seats(void **state)
{
	struct worker a = {.has_seat = true}, b = {.has_seat = true};

	(void)state;
	start_with(1);
	give(STAND_AND_WAIT);
	wait_until(&nr_standing, 1);
	wait_until(&nr_seated, 1);
	atomic_store(&sit_again, true);
	while (nr_waiting() != 1)
		pause_1ms();
	pthread_mutex_lock(&crew.lock);
	crew.nr_seats += 2;
	crew.nr_seated += 2;
	pthread_mutex_unlock(&crew.lock);
	crew_stand(&crew, &a);
	crew_stand(&crew, &b);
	wait_until(&nr_seated, 3);
	assert_int_equal(crew_nr_workers(&crew), 3);
}

/* More must wait than there may be workers: then one of them returns to the seat. */
static void test_all_workers_wait(void **state)
{
	(void)state;
	assert_int_equal(crew_start(&crew), 0);
	for (int i = 1; i <= CREW_MAX_WORKERS; i++) {
		wait_until(&nr_seated, 1);
		give(STAND_AND_WAIT);
		wait_until(&nr_standing, i);
	}
	assert_int_equal(crew_nr_workers(&crew), CREW_MAX_WORKERS);
	assert_int_equal(atomic_load(&nr_seated), 0);
	atomic_store(&sit_again, true);
	wait_until(&nr_seated, 1);
}

/* Those that sleep, that wait for a seat, and that are at something that takes part. */
static void test_everyone_wipes_once_a_round(void **state)
{
	(void)state;
	start_with(SEATS);
	give(STAND_AND_WAIT);
	wait_until(&nr_standing, 1);
	wait_until(&nr_seated, SEATS);
	give(LEAVE);
	wait_until(&nr_left, 1);
	for (int round = 1; round <= 5; round++) {
		crew_wipe(&crew);
		assert_int_equal(atomic_load(&nr_wiped), 4 * round);
	}
}

/* It wipes when it comes back. */
static void test_a_round_waits_for_nobody_for_ever(void **state)
{
	(void)state;
	start_with(2);
	atomic_store(&take_no_part, true);
	give(STAND_AND_WAIT);
	wait_until(&nr_standing, 1);
	wait_until(&nr_seated, 2);
	crew_wipe(&crew);
	assert_int_equal(atomic_load(&nr_wiped), 2);
	atomic_store(&sit_again, true);
	wait_until(&nr_wiped, 3);
}

static void test_a_round_does_not_wait_for_who_never_began(void **state)
{
	(void)state;
	assert_int_equal(crew_start(&crew), 0);
	wait_until(&nr_seated, 1);
	atomic_store(&fail_to_start, true);
	crew_call(&crew);
	while (!nr_quit())
		pause_1ms();
	crew_wipe(&crew);
	assert_int_equal(atomic_load(&nr_wiped), 1);
	assert_false(has_ended());
}

static void test_the_mount_ends_with_its_last_worker(void **state)
{
	(void)state;
	atomic_store(&fail_to_start, true);
	assert_int_equal(crew_start(&crew), 0);
	crew_join(&crew);
	assert_true(has_ended());
}

int main(void)
{
#define WITH_CREW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH_CREW(test_one_is_enough_at_first),
		WITH_CREW(test_as_many_as_there_are_seats_are_called),
		WITH_CREW(test_who_waits_is_replaced),
		WITH_CREW(test_as_many_follow_as_give_up_their_seats),
		WITH_CREW(test_all_workers_wait),
		WITH_CREW(test_everyone_wipes_once_a_round),
		WITH_CREW(test_a_round_waits_for_nobody_for_ever),
		WITH_CREW(test_a_round_does_not_wait_for_who_never_began),
		WITH_CREW(test_the_mount_ends_with_its_last_worker),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
