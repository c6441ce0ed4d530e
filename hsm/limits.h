/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What keeps one client from taking what others need: quotas of a client process, and
 * the limit on the bytes that a session opens.
 *
 * Only one user may connect, so the totals are that user's quotas. Thread-safe.
 */
#ifndef HSM_LIMITS_H
#define HSM_LIMITS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	LIMITS_CONNECTIONS = 128, /* of all clients together */
	LIMITS_CONNECTIONS_EACH = 16,
	LIMITS_QUEUES = 256,
	LIMITS_QUEUES_EACH = 32,
	LIMITS_KDFS = 4,	/* passphrases stretched at the same time, one a client */
	LIMITS_KIB_UNKNOWN = 0, /* counts as half of the machine's memory */
};

#define LIMITS_ARENA	  (UINT64_C(8) << 30)
#define LIMITS_ARENA_EACH (UINT64_C(1) << 30)

/* One client process. */
struct limits_client;

/* A place for one more connection of process @pid. NULL: it has no more. */
struct limits_client *limits_connect(pid_t pid);
void limits_disconnect(struct limits_client *client);

/* A queue with @arena_len bytes. 0 or -EDQUOT. */
int limits_take_queue(struct limits_client *client, uint64_t arena_len);
void limits_return_queue(struct limits_client *client, uint64_t arena_len);

/*
 * Waits for the client's turn to have a passphrase stretched with @kib KiB of memory, and
 * gives it back. Turns come in order; together they take no more than half of the
 * machine's memory, unless one alone needs more. 0, or -ENOMEM: it needs more than three
 * quarters.
 */
int limits_begin_kdf(struct limits_client *client, uint32_t kib);
void limits_end_kdf(struct limits_client *client, uint32_t kib);

/* Bytes per period. All fields are guarded by @lock. */
struct limits_bytes {
	pthread_mutex_t lock;
	uint64_t max; /* UINT64_MAX: no limit */
	uint64_t period_ms;
	uint64_t since_ms; /* when the period began */
	uint64_t used;
	uint64_t refused; /* calls that asked for more */
};

void limits_bytes_init(struct limits_bytes *limit);
void limits_bytes_fini(struct limits_bytes *limit);

/* A new limit with a new period; @max UINT64_MAX: none. */
void limits_bytes_set(struct limits_bytes *limit, uint64_t max, uint64_t period_ms,
		      uint64_t now_ms);

/* Takes @len bytes if they are left. The period begins with the first after the last. */
bool limits_bytes_take(struct limits_bytes *limit, uint64_t len, uint64_t now_ms);

struct limits_report {
	uint64_t max, period_ms; /* as set */
	uint64_t left;		 /* bytes */
	uint64_t resets_ms;	 /* until @max bytes are left again */
	uint64_t refused;
};

void limits_bytes_report(struct limits_bytes *limit, uint64_t now_ms,
			 struct limits_report *report);

#endif
