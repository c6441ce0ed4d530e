/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An unlocked volume: its master key, the lease on it, the queues that work with it and
 * the tickets that lead to it. Lives as long as a connection refers to it; its key is
 * wiped when it is locked, when its lease is over, or with the last reference.
 *
 * Thread-safe. @lock guards everything that is not said to be atomic: queue threads hold
 * it for reading while they use keys, so whoever holds it for writing may wipe them.
 */
#ifndef HSM_SESSION_H
#define HSM_SESSION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "hsm/api/keyslot.h"
#include "hsm/api/wire.h"
#include "hsm/limits.h"
#include "hsm/terms.h"

struct service;

struct session {
	struct session *next; /* in the list of all sessions */
	pthread_rwlock_t lock;
	atomic_uint nr_refs;
	bool locked;
	uint8_t uuid[KEYSLOT_UUID_BYTES];
	uint8_t terms_id[TERMS_ID_BYTES]; /* anybody may CREATE a volume of our uuid */
	uint8_t *vmk;			  /* secret memory; NULL once locked */
	uint64_t lease_end_ms;		  /* UINT64_MAX: none */
	uint64_t idle_ms;		  /* UINT64_MAX: none */
	_Atomic uint64_t last_use_ms;
	_Atomic uint64_t pages_sealed, pages_opened, refused, generation;
	struct service *queues; /* list through service->next */
	bool limited;		/* @opened is a limit */
	struct limits_bytes opened;
};

/* A session for @uuid with @vmk, which it then owns. One reference. NULL: no memory. */
struct session *session_create(const uint8_t uuid[KEYSLOT_UUID_BYTES], uint8_t *vmk);

struct session *session_hold(struct session *session);
void session_release(struct session *session); /* NULL is allowed */

/* Wipes the keys, the queues' keys included. Queues then answer -EKEYREVOKED. */
void session_lock(struct session *session);

/*
 * Wipes the keys of every session whose lease is over, whether or not anyone uses it. To
 * be called every second while there are connections.
 */
void session_sweep(void);

/* For a queue thread or a handler: true while the lease stands. Takes no lock. */
bool session_lease_stands(const struct session *session, uint64_t now_ms);

/* HMAC of @digest under the header key. 0, -EKEYREVOKED, -EIO. */
int session_mac(struct session *session, const uint8_t digest[WIRE_MAC_BYTES],
		uint8_t mac[WIRE_MAC_BYTES]);

/*
 * A one-time ticket; a session has few, and a further one voids its oldest. 0,
 * -EKEYREVOKED, -EINVAL (limits that make no sense), -ENODATA (those to be kept are not
 * known), -ENOSPC (too many in all), -EIO.
 */
int session_ticket(struct session *session, const struct wire_ticket *want,
		   uint8_t ticket[WIRE_TICKET_BYTES]);

/*
 * The session behind @ticket, with a reference for the caller, its lease started; the
 * ticket is void then. -EKEYREJECTED.
 */
int session_redeem(const uint8_t ticket[WIRE_TICKET_BYTES], struct session **out,
		   uint32_t *rights);

/* All but the lifetime of handles, which is not a session's. */
void session_status(struct session *session, struct wire_status_reply *out);

#endif
