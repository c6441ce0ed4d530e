/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HSM's end of one ring: a thread that serves a client's queue with the keys of its
 * session. Nothing the client writes can stop it from ending or make it spin.
 */
#ifndef HSM_SERVICE_H
#define HSM_SERVICE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "hsm/api/ring.h"
#include "hsm/apart.h"
#include "hsm/arena.h"
#include "hsm/handle.h"
#include "hsm/pages.h"

struct aead_engine;
struct session;

struct service {
	struct service *next; /* in the session's list */
	struct service *next_ring;
	dev_t dev; /* the ring's memfd */
	ino_t ino;
	struct session *session;
	struct ring_shared *shared;
	struct arena arena;
	uint32_t id;
	uint32_t rights;
	uint32_t sq_head, cq_tail; /* ours; the client's indices are only read */
	int notify_fd; /* connection to shut down when the client misbehaves */
	struct handle_chain handles;
	struct pages_context pages;
	struct ring_spin spin;
	struct apart apart;
	atomic_bool stop;
	pthread_t thread;
};

/* What service_start() needs to know. */
struct service_config {
	const struct aead_engine *engine;
	uint32_t id;
	uint32_t rights; /* WIRE_MAY_* */
	uint32_t handle_lifetime_ms;
	int notify_fd; /* borrowed; outlives the service */
};

/*
 * Maps @memfd (which must be sealed and exactly as long as @arena_len asks), makes the
 * first handle and starts the thread. @memfd may be closed afterwards. 0; -EINVAL (not
 * such a memfd); -EBUSY (another service has it, perhaps of a connection that is about to
 * end); -EKEYREVOKED; -ENOMEM; -EAGAIN. Ended by service_stop().
 */
int service_start(struct session *session, const struct service_config *config, int memfd,
		  uint64_t arena_len, struct service **out, struct wire_handle *first);

/* Ends the thread, wipes its keys, unmaps the ring, frees. */
void service_stop(struct service *service);

/* Wipes the keys; the caller holds the session's lock for writing. */
void service_wipe(struct service *service);

/* A new handle that all older ones of the queue die of. 0, -EKEYREVOKED, -EIO. */
int service_renew(struct service *service, struct wire_handle *out);

#endif
