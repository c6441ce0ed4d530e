/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hsm/api/secmem.h"
#include "hsm/clock.h"
#include "hsm/crypto/kdf.h"
#include "hsm/crypto/random.h"
#include "hsm/hooks.h"
#include "hsm/service.h"
#include "hsm/session.h"

enum {
	MAX_TICKETS = 64,
	TICKET_LIFETIME_MS = 60000,
};

struct ticket {
	struct session
		*session; /* not a reference: a session takes its tickets with it */
	uint32_t rights;
	uint64_t lease_ms, idle_ms;
	uint64_t deadline_ms;
	uint8_t value[WIRE_TICKET_BYTES];
};

static pthread_mutex_t tickets_lock = PTHREAD_MUTEX_INITIALIZER;
static struct ticket tickets[MAX_TICKETS];

struct session *session_create(const uint8_t uuid[KEYSLOT_UUID_BYTES], uint8_t *vmk)
{
	struct session *session = calloc(1, sizeof(*session));
	pthread_rwlockattr_t attr;

	if (!session) {
		secmem_free(vmk);
		return NULL;
	}
	/* readers come without end while a queue is busy: a wipe must not wait for
	 * idleness */
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr,
				      PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&session->lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	memcpy(session->uuid, uuid, KEYSLOT_UUID_BYTES);
	session->vmk = vmk;
	session->nr_refs = 1;
	session->lease_end_ms = session->idle_ms = UINT64_MAX;
	session->last_use_ms = clock_now_ms();
	hook_key("vmk", vmk, KEYSLOT_VMK_BYTES);
	return session;
}

struct session *session_hold(struct session *session)
{
	atomic_fetch_add(&session->nr_refs, 1);
	return session;
}

static void drop_tickets(struct session *session)
{
	pthread_mutex_lock(&tickets_lock);
	for (size_t i = 0; i < MAX_TICKETS; i++)
		if (tickets[i].session == session)
			secmem_wipe(&tickets[i], sizeof(tickets[i]));
	pthread_mutex_unlock(&tickets_lock);
}

void session_release(struct session *session)
{
	if (!session)
		return;
	/* under the tickets' lock, so that nobody redeems a session that is going */
	pthread_mutex_lock(&tickets_lock);
	if (atomic_fetch_sub(&session->nr_refs, 1) != 1) {
		pthread_mutex_unlock(&tickets_lock);
		return;
	}
	pthread_mutex_unlock(&tickets_lock);
	session_lock(session);
	pthread_rwlock_destroy(&session->lock);
	free(session);
}

void session_lock(struct session *session)
{
	drop_tickets(session);
	pthread_rwlock_wrlock(&session->lock);
	session->locked = true;
	for (struct service *s = session->queues; s; s = s->next)
		service_wipe(s);
	secmem_free(session->vmk);
	session->vmk = NULL;
	pthread_rwlock_unlock(&session->lock);
}

bool session_lease_stands(const struct session *session, uint64_t now_ms)
{
	uint64_t idle = now_ms - session->last_use_ms;

	return now_ms < session->lease_end_ms &&
	       (now_ms < session->last_use_ms || idle < session->idle_ms);
}

int session_mac(struct session *session, const uint8_t digest[WIRE_MAC_BYTES],
		uint8_t mac[WIRE_MAC_BYTES])
{
	uint8_t *key = secmem_alloc(WIRE_MAC_BYTES);
	int ret = -EKEYREVOKED;

	if (!key)
		return -ENOMEM;
	pthread_rwlock_rdlock(&session->lock);
	if (!session->locked) {
		ret = kdf_expand(session->vmk, KDF_LABEL_HEADER, NULL, 0, key,
				 WIRE_MAC_BYTES);
		hook_key(KDF_LABEL_HEADER, key, WIRE_MAC_BYTES);
	}
	pthread_rwlock_unlock(&session->lock);
	if (!ret)
		ret = kdf_hmac(key, digest, WIRE_MAC_BYTES, mac);
	secmem_free(key);
	return ret;
}

static struct ticket *free_ticket(uint64_t now_ms)
{
	for (size_t i = 0; i < MAX_TICKETS; i++)
		if (!tickets[i].session || tickets[i].deadline_ms <= now_ms)
			return &tickets[i];
	return NULL;
}

static uint64_t limit_ms(uint64_t seconds)
{
	return seconds && seconds < UINT64_MAX / 1000 ? seconds * 1000 : UINT64_MAX;
}

int session_ticket(struct session *session, const struct wire_ticket *want,
		   uint8_t value[WIRE_TICKET_BYTES])
{
	uint64_t now = clock_now_ms();
	struct ticket *ticket;
	int ret = 0;

	if (random_bytes(value, WIRE_TICKET_BYTES))
		return -EIO;
	pthread_rwlock_rdlock(&session->lock);
	pthread_mutex_lock(&tickets_lock);
	ticket = free_ticket(now);
	if (session->locked) {
		ret = -EKEYREVOKED;
	} else if (!ticket) {
		ret = -ENOSPC;
	} else {
		ticket->session = session;
		ticket->rights = want->rights;
		ticket->lease_ms = limit_ms(want->lease_s);
		ticket->idle_ms = limit_ms(want->idle_s);
		ticket->deadline_ms = now + TICKET_LIFETIME_MS;
		memcpy(ticket->value, value, WIRE_TICKET_BYTES);
	}
	pthread_mutex_unlock(&tickets_lock);
	pthread_rwlock_unlock(&session->lock);
	return ret;
}

/* Takes the ticket of @value out of the table. False when there is none. */
static bool take_ticket(const uint8_t value[WIRE_TICKET_BYTES], struct ticket *out)
{
	uint64_t now = clock_now_ms();
	bool found = false;

	pthread_mutex_lock(&tickets_lock);
	for (size_t i = 0; i < MAX_TICKETS && !found; i++) {
		struct ticket *ticket = &tickets[i];

		if (!ticket->session || ticket->deadline_ms <= now ||
		    !atomic_load(&ticket->session->nr_refs) ||
		    secmem_compare(ticket->value, value, WIRE_TICKET_BYTES))
			continue;
		*out = *ticket;
		session_hold(ticket->session);
		secmem_wipe(ticket, sizeof(*ticket));
		found = true;
	}
	pthread_mutex_unlock(&tickets_lock);
	return found;
}

int session_redeem(const uint8_t value[WIRE_TICKET_BYTES], struct session **out,
		   uint32_t *rights)
{
	struct ticket ticket;
	uint64_t now = clock_now_ms();

	if (!take_ticket(value, &ticket))
		return -EKEYREJECTED;
	pthread_rwlock_wrlock(&ticket.session->lock);
	ticket.session->lease_end_ms =
		ticket.lease_ms == UINT64_MAX ? UINT64_MAX : now + ticket.lease_ms;
	ticket.session->idle_ms = ticket.idle_ms;
	ticket.session->last_use_ms = now;
	pthread_rwlock_unlock(&ticket.session->lock);
	*out = ticket.session;
	*rights = ticket.rights;
	return 0;
}

static uint64_t left_s(uint64_t end_ms, uint64_t now_ms)
{
	if (end_ms == UINT64_MAX)
		return UINT64_MAX;
	return end_ms > now_ms ? (end_ms - now_ms + 999) / 1000 : 0;
}

void session_status(struct session *session, struct wire_status_reply *out)
{
	uint64_t now = clock_now_ms();

	memset(out, 0, sizeof(*out));
	pthread_rwlock_rdlock(&session->lock);
	memcpy(out->uuid, session->uuid, KEYSLOT_UUID_BYTES);
	for (const struct service *s = session->queues; s; s = s->next) {
		out->queues++;
		out->handle_lifetime_ms = s->handles.lifetime_ms;
	}
	out->generation = session->generation;
	out->pages_sealed = session->pages_sealed;
	out->pages_opened = session->pages_opened;
	out->refused = session->refused;
	out->lease_left_s = left_s(session->lease_end_ms, now);
	out->idle_left_s = session->idle_ms == UINT64_MAX
				   ? UINT64_MAX
				   : left_s(session->last_use_ms + session->idle_ms, now);
	pthread_rwlock_unlock(&session->lock);
}
