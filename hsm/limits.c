/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stddef.h>
#include <unistd.h>

#include "hsm/limits.h"

struct limits_client {
	pid_t pid;
	unsigned connections; /* 0: free */
	unsigned queues;
	uint64_t arena;
	bool kdf;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t kdf_ended = PTHREAD_COND_INITIALIZER;
static struct limits_client clients[LIMITS_CONNECTIONS];
static unsigned nr_connections, nr_queues, nr_kdfs;
static unsigned kdf_last, kdf_next; /* turns given out, and whose it is */
static uint64_t arena_used, kdf_kib;

/* The entry of @pid, else a free one, else NULL. */
static struct limits_client *find(pid_t pid)
{
	struct limits_client *unused = NULL;

	for (size_t i = 0; i < LIMITS_CONNECTIONS; i++) {
		if (!clients[i].connections)
			unused = &clients[i];
		else if (clients[i].pid == pid)
			return &clients[i];
	}
	return unused;
}

struct limits_client *limits_connect(pid_t pid)
{
	struct limits_client *client;

	pthread_mutex_lock(&lock);
	client = find(pid);
	if (!client || nr_connections == LIMITS_CONNECTIONS ||
	    client->connections == LIMITS_CONNECTIONS_EACH) {
		client = NULL;
	} else {
		client->pid = pid;
		client->connections++;
		nr_connections++;
	}
	pthread_mutex_unlock(&lock);
	return client;
}

void limits_disconnect(struct limits_client *client)
{
	pthread_mutex_lock(&lock);
	client->connections--;
	nr_connections--;
	pthread_mutex_unlock(&lock);
}

int limits_take_queue(struct limits_client *client, uint64_t arena_len)
{
	int ret = 0;

	pthread_mutex_lock(&lock);
	if (nr_queues == LIMITS_QUEUES || client->queues == LIMITS_QUEUES_EACH ||
	    arena_len > LIMITS_ARENA_EACH - client->arena ||
	    arena_len > LIMITS_ARENA - arena_used) {
		ret = -EDQUOT;
	} else {
		nr_queues++;
		client->queues++;
		client->arena += arena_len;
		arena_used += arena_len;
	}
	pthread_mutex_unlock(&lock);
	return ret;
}

void limits_return_queue(struct limits_client *client, uint64_t arena_len)
{
	pthread_mutex_lock(&lock);
	nr_queues--;
	client->queues--;
	client->arena -= arena_len;
	arena_used -= arena_len;
	pthread_mutex_unlock(&lock);
}

static uint64_t half_kib(void)
{
	return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 2048;
}

static uint64_t kdf_cost(uint32_t kib)
{
	return kib == LIMITS_KIB_UNKNOWN ? half_kib() : kib;
}

int limits_begin_kdf(struct limits_client *client, uint32_t kib)
{
	const uint64_t cost = kdf_cost(kib), half = half_kib();
	unsigned turn;

	if (cost > half + half / 2)
		return -ENOMEM;
	pthread_mutex_lock(&lock);
	/* first among its own, so that it has one turn at most in the queue */
	while (client->kdf)
		pthread_cond_wait(&kdf_ended, &lock);
	client->kdf = true;
	turn = kdf_last++;
	while (turn != kdf_next || nr_kdfs == LIMITS_KDFS ||
	       (nr_kdfs && kdf_kib + cost > half))
		pthread_cond_wait(&kdf_ended, &lock);
	kdf_next++;
	nr_kdfs++;
	kdf_kib += cost;
	pthread_cond_broadcast(&kdf_ended);
	pthread_mutex_unlock(&lock);
	return 0;
}

void limits_end_kdf(struct limits_client *client, uint32_t kib)
{
	pthread_mutex_lock(&lock);
	client->kdf = false;
	nr_kdfs--;
	kdf_kib -= kdf_cost(kib);
	pthread_cond_broadcast(&kdf_ended);
	pthread_mutex_unlock(&lock);
}

/* --- bytes per period -------------------------------------------------------------- */

void limits_bytes_init(struct limits_bytes *limit)
{
	*limit = (struct limits_bytes){.max = UINT64_MAX};
	pthread_mutex_init(&limit->lock, NULL);
}

void limits_bytes_fini(struct limits_bytes *limit)
{
	pthread_mutex_destroy(&limit->lock);
}

void limits_bytes_set(struct limits_bytes *limit, uint64_t max, uint64_t period_ms,
		      uint64_t now_ms)
{
	pthread_mutex_lock(&limit->lock);
	limit->max = max;
	limit->period_ms = period_ms;
	limit->since_ms = now_ms;
	limit->used = 0;
	pthread_mutex_unlock(&limit->lock);
}

/* The lock is held. */
static bool period_is_over(const struct limits_bytes *limit, uint64_t now_ms)
{
	return now_ms >= limit->since_ms && now_ms - limit->since_ms >= limit->period_ms;
}

bool limits_bytes_take(struct limits_bytes *limit, uint64_t len, uint64_t now_ms)
{
	bool taken = true;

	pthread_mutex_lock(&limit->lock);
	if (limit->max != UINT64_MAX) {
		if (period_is_over(limit, now_ms)) {
			limit->since_ms = now_ms;
			limit->used = 0;
		}
		taken = len <= limit->max - limit->used;
		if (taken)
			limit->used += len;
		else
			limit->refused++;
	}
	pthread_mutex_unlock(&limit->lock);
	return taken;
}

void limits_bytes_report(struct limits_bytes *limit, uint64_t now_ms,
			 struct limits_report *report)
{
	pthread_mutex_lock(&limit->lock);
	*report = (struct limits_report){.max = limit->max,
					 .period_ms = limit->period_ms,
					 .left = limit->max,
					 .refused = limit->refused};
	if (limit->max != UINT64_MAX && !period_is_over(limit, now_ms)) {
		report->left -= limit->used;
		report->resets_ms = limit->since_ms + limit->period_ms - now_ms;
	}
	pthread_mutex_unlock(&limit->lock);
}
