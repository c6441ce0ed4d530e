/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/crew.h"

#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fs/deadline.h"
#include "fs/engine.h"
#include "fs/worker.h"

enum { WIPE_TRIES = 100, WIPE_TRY_MS = 20, PASS_US = 50 };

int crew_init(struct crew *crew, unsigned max_seats, void *(*work)(void *arg), void *arg)
{
	*crew = (struct crew){
		.work = work, .arg = arg, .max_seats = max_seats, .nr_seats = 1};
	pthread_mutex_init(&crew->lock, NULL);
	pthread_cond_init(&crew->seat_free, NULL);
	pthread_cond_init(&crew->wiped, NULL);
	crew->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return crew->wake_fd < 0 ? -errno : 0;
}

void crew_fini(struct crew *crew)
{
	if (crew->wake_fd >= 0)
		close(crew->wake_fd);
	pthread_cond_destroy(&crew->seat_free);
	pthread_cond_destroy(&crew->wiped);
	pthread_mutex_destroy(&crew->lock);
}

/* The lock is held. 0 or -errno. */
static int start_worker(struct crew *crew)
{
	sigset_t all, before;
	int ret;

	if (crew->nr_workers == CREW_MAX_WORKERS || crew->ended)
		return -EAGAIN;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	ret = -pthread_create(&crew->threads[crew->nr_workers], NULL, crew->work,
			      crew->arg);
	if (!ret)
		crew->nr_workers++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return ret;
}

/*
 * There is one more seat to be taken; the lock is held. Those who wait count until they
 * have woken, and each can take but one.
 */
static void fill_seat(struct crew *crew)
{
	if (crew->nr_seats - crew->nr_seated > crew->nr_waiting)
		start_worker(crew);
	else
		pthread_cond_signal(&crew->seat_free);
}

int crew_start(struct crew *crew)
{
	int ret;

	pthread_mutex_lock(&crew->lock);
	ret = start_worker(crew);
	pthread_mutex_unlock(&crew->lock);
	return ret;
}

/* The next thread to join; workers may still be started while others are waited for. */
static bool thread_at(struct crew *crew, unsigned i, pthread_t *thread)
{
	bool is_there;

	pthread_mutex_lock(&crew->lock);
	is_there = i < crew->nr_workers;
	if (is_there)
		*thread = crew->threads[i];
	pthread_mutex_unlock(&crew->lock);
	return is_there;
}

void crew_join(struct crew *crew)
{
	pthread_t thread;

	for (unsigned i = 0; thread_at(crew, i, &thread); i++)
		pthread_join(thread, NULL);
}

/* The lock is held. */
static void take_part(struct crew *crew, struct worker *w)
{
	if (w->wipe_round == crew->wipe_round)
		return;
	w->wipe_round = crew->wipe_round;
	engine_wipe(&w->engine);
	crew->nr_wiped++;
	pthread_cond_signal(&crew->wiped);
}

void crew_take_part(struct crew *crew, struct worker *w)
{
	pthread_mutex_lock(&crew->lock);
	take_part(crew, w);
	pthread_mutex_unlock(&crew->lock);
}

void crew_enter(struct crew *crew, struct worker *w)
{
	pthread_mutex_lock(&crew->lock);
	w->wipe_round = crew->wipe_round;
	w->number = crew->nr_entered++;
	crew->nr_wiped++;
	pthread_mutex_unlock(&crew->lock);
}

static uint32_t *turn_of(struct crew *crew, unsigned number)
{
	return &crew->takers[number].turn;
}

void crew_begin_taking(struct crew *crew, const struct worker *w)
{
	__atomic_or_fetch(turn_of(crew, w->number), 1, __ATOMIC_SEQ_CST);
}

void crew_end_taking(struct crew *crew, const struct worker *w)
{
	uint32_t *turn = turn_of(crew, w->number);

	if (__atomic_load_n(turn, __ATOMIC_RELAXED) & 1)
		__atomic_add_fetch(turn, 1, __ATOMIC_SEQ_CST);
}

void crew_let_pass(struct crew *crew, const struct worker *w)
{
	for (unsigned i = 0; i < CREW_MAX_WORKERS; i++) {
		uint32_t seen = __atomic_load_n(turn_of(crew, i), __ATOMIC_SEQ_CST);

		if (i == w->number || !(seen & 1))
			continue;
		while (__atomic_load_n(turn_of(crew, i), __ATOMIC_SEQ_CST) == seen)
			usleep(PASS_US);
	}
}

/* With the last one the mount ends: nobody would serve it. */
void crew_quit(struct crew *crew)
{
	pthread_mutex_lock(&crew->lock);
	crew->nr_quit++;
	if (crew->nr_quit == crew->nr_workers)
		crew->ended = true;
	pthread_mutex_unlock(&crew->lock);
}

bool crew_sit(struct crew *crew, struct worker *w)
{
	if (w->has_seat)
		return true;
	pthread_mutex_lock(&crew->lock);
	/* what it was at may have lasted for longer than a round waits */
	take_part(crew, w);
	crew->nr_waiting++;
	while (crew->nr_seated >= crew->nr_seats && !crew->ended) {
		pthread_cond_wait(&crew->seat_free, &crew->lock);
		take_part(crew, w);
	}
	crew->nr_waiting--;
	if (!crew->ended) {
		w->has_seat = true;
		crew->nr_seated++;
	}
	pthread_mutex_unlock(&crew->lock);
	return w->has_seat;
}

void crew_stand(struct crew *crew, struct worker *w)
{
	if (!w->has_seat)
		return;
	crew_end_taking(crew, w);
	pthread_mutex_lock(&crew->lock);
	w->has_seat = false;
	crew->nr_seated--;
	fill_seat(crew);
	pthread_mutex_unlock(&crew->lock);
}

void crew_call(struct crew *crew)
{
	if (crew->max_seats == 1)
		return;
	pthread_mutex_lock(&crew->lock);
	if (crew->nr_seats < crew->max_seats) {
		crew->nr_seats++;
		fill_seat(crew);
	}
	pthread_mutex_unlock(&crew->lock);
}

bool crew_leave(struct crew *crew, struct worker *w)
{
	bool leave;

	if (crew->max_seats == 1)
		return false;
	pthread_mutex_lock(&crew->lock);
	leave = crew->nr_seated > 1;
	if (leave) {
		w->has_seat = false;
		crew->nr_seated--;
		crew->nr_seats--;
	}
	pthread_mutex_unlock(&crew->lock);
	return leave;
}

void crew_end(struct crew *crew, struct worker *w)
{
	pthread_mutex_lock(&crew->lock);
	crew->ended = true;
	w->has_seat = false;
	pthread_cond_broadcast(&crew->seat_free);
	pthread_mutex_unlock(&crew->lock);
}

void crew_wake(struct crew *crew)
{
	eventfd_write(crew->wake_fd, 1);
}

/* The lock is held. */
static bool all_wiped(const struct crew *crew)
{
	return crew->nr_wiped + crew->nr_quit >= crew->nr_workers;
}

/* One wake reaches one of several who sleep on the eventfd: it is repeated. */
void crew_wipe(struct crew *crew)
{
	pthread_mutex_lock(&crew->lock);
	crew->wipe_round++;
	crew->nr_wiped = 0;
	pthread_cond_broadcast(&crew->seat_free);
	for (int i = 0; i < WIPE_TRIES && !all_wiped(crew); i++) {
		struct timespec until = deadline_in(WIPE_TRY_MS);

		crew_wake(crew);
		while (!all_wiped(crew) &&
		       !pthread_cond_clockwait(&crew->wiped, &crew->lock, CLOCK_MONOTONIC,
					       &until))
			;
	}
	pthread_mutex_unlock(&crew->lock);
}

unsigned crew_nr_workers(struct crew *crew)
{
	unsigned n;

	pthread_mutex_lock(&crew->lock);
	n = crew->nr_workers;
	pthread_mutex_unlock(&crew->lock);
	return n;
}
