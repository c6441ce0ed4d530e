/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stddef.h>

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
	    arena_len > LIMITS_ARENA_EACH - client->arena) {
		ret = -EDQUOT;
	} else {
		nr_queues++;
		client->queues++;
		client->arena += arena_len;
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
	pthread_mutex_unlock(&lock);
}

void limits_begin_kdf(struct limits_client *client)
{
	pthread_mutex_lock(&lock);
	while (client->kdf || nr_kdfs == LIMITS_KDFS)
		pthread_cond_wait(&kdf_ended, &lock);
	client->kdf = true;
	nr_kdfs++;
	pthread_mutex_unlock(&lock);
}

void limits_end_kdf(struct limits_client *client)
{
	pthread_mutex_lock(&lock);
	client->kdf = false;
	nr_kdfs--;
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
