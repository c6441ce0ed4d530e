/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mount's workers, and which of them receive requests: those that have a seat. One has
 * while there is little to do, so that a lone client never pays for waking another
 * thread; while requests queue up, more are called, as many as the mount has seats for.
 * A worker stands up before it waits for something slow, and somebody else sits down;
 * threads are started when nobody is free. Thread-safe.
 */
#ifndef FS_CREW_H
#define FS_CREW_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct worker;

enum {
	CREW_MAX_SEATS = 8,
	CREW_MAX_WORKERS = 16, /* those that wait included */
};

struct crew {
	pthread_mutex_t lock;
	pthread_cond_t seat_free;
	pthread_cond_t wiped;
	void *(*work)(void *arg);
	void *arg;
	int wake_fd; /* an eventfd that those with a seat sleep on */
	bool ended;
	unsigned max_seats;
	unsigned nr_seats; /* to be taken now: 1 to max_seats */
	unsigned nr_seated;
	unsigned nr_waiting; /* for a seat */
	unsigned nr_workers;
	unsigned nr_entered, nr_quit; /* of them */
	unsigned wipe_round;
	unsigned nr_wiped; /* workers that took part in it */
	pthread_t threads[CREW_MAX_WORKERS];
	struct {
		uint32_t turn; /* odd: may have a request; atomic */
		uint8_t apart[60];
	} takers[CREW_MAX_WORKERS];
};

/* Workers will run @work with @arg. 0 or -errno. */
int crew_init(struct crew *crew, unsigned max_seats, void *(*work)(void *arg), void *arg);
void crew_fini(struct crew *crew);

/* Starts the first worker. 0 or -errno. */
int crew_start(struct crew *crew);

/* Waits until every worker has ended. */
void crew_join(struct crew *crew);

/* A worker is ready to work; or it cannot, and ends. */
void crew_enter(struct crew *crew, struct worker *w);
void crew_quit(struct crew *crew);

/*
 * @w takes a request from the kernel, if there is one; and it has none, or serves it so
 * far that who comes after it finds it in the way. To give up the seat is to end it too.
 */
void crew_begin_taking(struct crew *crew, const struct worker *w);
void crew_end_taking(struct crew *crew, const struct worker *w);

/* Waits for all who are taking one, but @w, to end that. */
void crew_let_pass(struct crew *crew, const struct worker *w);

/* Waits for a seat, if @w has none. False when the crew was ended. */
bool crew_sit(struct crew *crew, struct worker *w);

/* Gives up @w's seat, if it has one, and has somebody else take it. */
void crew_stand(struct crew *crew, struct worker *w);

/* There is more to do than those with a seat can: calls one more, if there may be more.
 */
void crew_call(struct crew *crew);

/* @w found nothing to do: gives up its seat if others have one. True if so. */
bool crew_leave(struct crew *crew, struct worker *w);

/* No seats any more; every worker ends when it has finished what it is at. */
void crew_end(struct crew *crew, struct worker *w);

/* Wakes those who sleep on wake_fd. */
void crew_wake(struct crew *crew);

/*
 * Has every worker give back the memory of requests that are done. Waits until all have,
 * but not for long for those that are in the middle of a request.
 */
void crew_wipe(struct crew *crew);

/* @w's part in that, when it is in a position to. */
void crew_take_part(struct crew *crew, struct worker *w);

unsigned crew_nr_workers(struct crew *crew);

#endif
