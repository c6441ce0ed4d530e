/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hsm/api/ring.h"
#include "hsm/api/secmem.h"
#include "hsm/audit.h"
#include "hsm/clock.h"
#include "hsm/crypto/kdf.h"
#include "hsm/crypto/random.h"
#include "hsm/hooks.h"
#include "hsm/service.h"
#include "hsm/session.h"

enum {
	MAX_TICKETS = 4 * LIMITS_CONNECTIONS,
	MAX_TICKETS_EACH = 4, /* of one session: nobody can use up the table */
	TICKET_LIFETIME_MS = 60000,
};

/* Smaller than one operation, a limit would never let it pass. */
#define MIN_LIMIT ((uint64_t)RING_MAX_PAGES * PAGE_BYTES)

struct ticket {
	struct session
		*session; /* not a reference: a session takes its tickets with it */
	uint32_t rights;
	struct terms terms;
	uint64_t deadline_ms;
	uint8_t value[WIRE_TICKET_BYTES];
};

/* Also guards the list of sessions and the step of a session's references to 0. */
static pthread_mutex_t tickets_lock = PTHREAD_MUTEX_INITIALIZER;
static struct ticket tickets[MAX_TICKETS];
static struct session *sessions;

struct session *session_create(const uint8_t uuid[KEYSLOT_UUID_BYTES], uint8_t *vmk)
{
	struct session *session = calloc(1, sizeof(*session));
	pthread_rwlockattr_t attr;

	if (!session || kdf_expand(vmk, KDF_LABEL_TERMS, uuid, KEYSLOT_UUID_BYTES,
				   session->terms_id, TERMS_ID_BYTES)) {
		free(session);
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
	limits_bytes_init(&session->opened);
	pthread_mutex_lock(&tickets_lock);
	session->next = sessions;
	sessions = session;
	pthread_mutex_unlock(&tickets_lock);
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

/* Drops a reference; with the last one nobody can find the session any more. */
static bool drop_reference(struct session *session)
{
	struct session **at = &sessions;
	bool last;

	pthread_mutex_lock(&tickets_lock);
	last = atomic_fetch_sub(&session->nr_refs, 1) == 1;
	while (last && *at != session)
		at = &(*at)->next;
	if (last)
		*at = session->next;
	pthread_mutex_unlock(&tickets_lock);
	return last;
}

/* True if there were keys to wipe. */
static bool wipe(struct session *session)
{
	bool had_keys;

	drop_tickets(session);
	pthread_rwlock_wrlock(&session->lock);
	had_keys = !session->locked;
	session->locked = true;
	for (struct service *s = session->queues; s; s = s->next)
		service_wipe(s);
	secmem_free(session->vmk);
	session->vmk = NULL;
	pthread_rwlock_unlock(&session->lock);
	return had_keys;
}

void session_release(struct session *session)
{
	if (!session || !drop_reference(session))
		return;
	wipe(session);
	limits_bytes_fini(&session->opened);
	pthread_rwlock_destroy(&session->lock);
	free(session);
}

static void wipe_and_tell(struct session *session, enum audit_event event)
{
	const struct audit_record record = {
		.event = event, .uuid = session->uuid, .slot = -1};

	if (wipe(session))
		audit_write(&record);
}

void session_lock(struct session *session)
{
	wipe_and_tell(session, AUDIT_LOCK);
}

/* The session after @previous (whose reference it takes), or the first; held. */
static struct session *next_session(struct session *previous)
{
	struct session *next;

	pthread_mutex_lock(&tickets_lock);
	next = previous ? previous->next : sessions;
	if (next)
		session_hold(next);
	pthread_mutex_unlock(&tickets_lock);
	session_release(previous);
	return next;
}

void session_sweep(void)
{
	for (struct session *s = next_session(NULL); s; s = next_session(s)) {
		bool over;

		pthread_rwlock_rdlock(&s->lock);
		over = !s->locked && !session_lease_stands(s, clock_now_ms());
		pthread_rwlock_unlock(&s->lock);
		if (over)
			wipe_and_tell(s, AUDIT_LEASE_OVER);
	}
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
	if (!session->locked && session_lease_stands(session, clock_now_ms())) {
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

/* A free place, or that of the session's oldest ticket when it has enough. */
static struct ticket *place_ticket(const struct session *session, uint64_t now_ms)
{
	struct ticket *place = NULL, *oldest = NULL;
	unsigned nr = 0;

	for (size_t i = 0; i < MAX_TICKETS; i++) {
		struct ticket *ticket = &tickets[i];

		if (!ticket->session || ticket->deadline_ms <= now_ms) {
			place = ticket;
		} else if (ticket->session == session) {
			nr++;
			if (!oldest || ticket->deadline_ms < oldest->deadline_ms)
				oldest = ticket;
		}
	}
	return nr < MAX_TICKETS_EACH ? place : oldest;
}

static uint64_t limit_ms(uint64_t seconds)
{
	return seconds && seconds < UINT64_MAX / 1000 ? seconds * 1000 : UINT64_MAX;
}

static int choose_terms(const struct session *session, const struct wire_ticket *want,
			struct terms *terms)
{
	if (want->flags & WIRE_KEEP_LIMITS)
		return terms_recall(session->terms_id, terms) ? 0 : -ENODATA;
	if (want->limit_bytes && (want->limit_bytes < MIN_LIMIT || !want->limit_s))
		return -EINVAL;
	terms->lease_ms = limit_ms(want->lease_s);
	terms->idle_ms = limit_ms(want->idle_s);
	terms->limit_bytes = want->limit_bytes ? want->limit_bytes : UINT64_MAX;
	terms->limit_ms = want->limit_bytes ? limit_ms(want->limit_s) : 0;
	return 0;
}

int session_ticket(struct session *session, const struct wire_ticket *want,
		   uint8_t value[WIRE_TICKET_BYTES])
{
	uint64_t now = clock_now_ms();
	struct ticket *ticket;
	struct terms terms;
	int ret = choose_terms(session, want, &terms);

	if (ret)
		return ret;
	if (random_bytes(value, WIRE_TICKET_BYTES))
		return -EIO;
	pthread_rwlock_rdlock(&session->lock);
	pthread_mutex_lock(&tickets_lock);
	ticket = place_ticket(session, now);
	if (session->locked || !session_lease_stands(session, now)) {
		ret = -EKEYREVOKED;
	} else if (!ticket) {
		ret = -ENOSPC;
	} else {
		ticket->session = session;
		ticket->rights = want->rights;
		ticket->terms = terms;
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
	const struct terms *terms = &ticket.terms;
	uint64_t now = clock_now_ms();

	if (!take_ticket(value, &ticket))
		return -EKEYREJECTED;
	terms_remember(ticket.session->terms_id, terms);
	pthread_rwlock_wrlock(&ticket.session->lock);
	ticket.session->lease_end_ms =
		terms->lease_ms == UINT64_MAX ? UINT64_MAX : now + terms->lease_ms;
	ticket.session->idle_ms = terms->idle_ms;
	ticket.session->last_use_ms = now;
	ticket.session->limited = terms->limit_bytes != UINT64_MAX;
	limits_bytes_set(&ticket.session->opened, terms->limit_bytes, terms->limit_ms,
			 now);
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

static void report_limit(struct session *session, uint64_t now_ms,
			 struct wire_status_reply *out)
{
	struct limits_report report;

	limits_bytes_report(&session->opened, now_ms, &report);
	out->limit_bytes = report.max;
	out->limit_s = report.period_ms / 1000;
	out->limit_left = report.left;
	out->limit_resets_s = (report.resets_ms + 999) / 1000;
	out->over_limit = report.refused;
}

void session_status(struct session *session, struct wire_status_reply *out)
{
	uint64_t now = clock_now_ms();

	memset(out, 0, sizeof(*out));
	pthread_rwlock_rdlock(&session->lock);
	memcpy(out->uuid, session->uuid, KEYSLOT_UUID_BYTES);
	for (const struct service *s = session->queues; s; s = s->next)
		out->queues++;
	out->generation = session->generation;
	out->pages_sealed = session->pages_sealed;
	out->pages_opened = session->pages_opened;
	out->refused = session->refused;
	out->lease_left_s = left_s(session->lease_end_ms, now);
	out->idle_left_s = session->idle_ms == UINT64_MAX
				   ? UINT64_MAX
				   : left_s(session->last_use_ms + session->idle_ms, now);
	pthread_rwlock_unlock(&session->lock);
	report_limit(session, now, out);
}
