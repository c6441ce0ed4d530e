/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hsm/api/secmem.h"
#include "hsm/audit.h"
#include "hsm/clock.h"
#include "hsm/connection.h"
#include "hsm/crypto/aead.h"
#include "hsm/crypto/kdf.h"
#include "hsm/crypto/random.h"
#include "hsm/hsm.h"
#include "hsm/keyslot.h"
#include "hsm/limits.h"
#include "hsm/service.h"
#include "hsm/session.h"
#include "hsm/token/token.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

enum {
	CALIBRATE_MAX_KIB = 1024 * 1024,
	CONTROL_BYTES = CMSG_SPACE(4 * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred)),
};

/* What a connection may say depends on what it has done; see the permit table. */
enum state {
	STATE_NEW = 1 << 0,   /* nothing but hello */
	STATE_READY = 1 << 1, /* no session */
	STATE_OWNER = 1 << 2, /* made or unlocked a session */
	STATE_USER = 1 << 3,  /* redeemed a ticket */
};

struct connection {
	const struct hsm *hsm;
	const struct connection_peer *peer;
	int fd;
	int peer_fd; /* pidfd, or -1 */
	enum state state;
	struct session *session;
	uint32_t rights;
	struct service *queues[LIMITS_QUEUES_EACH];
	uint32_t nr_queues;
	uint8_t *message; /* secret memory, WIRE_MESSAGE_MAX */
	size_t length;
	pid_t sender; /* of the message */
	int passed_fd;
};

/* A handler's reply body and its length; bodies live in the message buffer. */
struct reply {
	size_t len;
	uint32_t detail;
	uint8_t *body;
};

static const uint8_t *body_of(const struct connection *c)
{
	return c->message + sizeof(struct wire_header);
}

/* The passphrase that follows a body of @body_len bytes, if its length is what it says.
 */
static const uint8_t *passphrase_of(const struct connection *c, size_t body_len,
				    uint32_t pass_len)
{
	if (pass_len > WIRE_PASSPHRASE_MAX ||
	    c->length != sizeof(struct wire_header) + body_len + pass_len)
		return NULL;
	return body_of(c) + body_len;
}

static void drop_queues(struct connection *c)
{
	for (uint32_t i = 0; i < c->nr_queues; i++) {
		uint64_t arena_len = c->queues[i]->arena.len;

		service_stop(c->queues[i]);
		limits_return_queue(c->peer->quota, arena_len);
	}
	c->nr_queues = 0;
}

static void drop_session(struct connection *c)
{
	drop_queues(c);
	session_release(c->session);
	c->session = NULL;
	c->state = STATE_READY;
}

static void tell(const struct connection *c, enum audit_event event, const uint8_t *uuid,
		 const uint8_t *tpm, int slot, int result)
{
	const struct audit_record record = {.event = event,
					    .pid = c->peer->pid,
					    .uuid = uuid,
					    .tpm = tpm,
					    .slot = slot,
					    .result = result};

	audit_write(&record);
}

/* The token called @name, or with zeros the first; NULL: it is not here. */
static struct token *find_token(const struct hsm *hsm, const uint8_t *name)
{
	static const uint8_t any[KEYSLOT_TPM_NAME_BYTES];

	if (!memcmp(name, any, sizeof(any)))
		return hsm->tokens[0];
	for (uint32_t i = 0; i < hsm->nr_tokens; i++)
		if (!memcmp(name, token_name(hsm->tokens[i]), KEYSLOT_TPM_NAME_BYTES))
			return hsm->tokens[i];
	return NULL;
}

static int on_hello(struct connection *c, struct reply *reply)
{
	struct wire_hello_reply *out = (struct wire_hello_reply *)reply->body;
	struct wire_hello request;

	memcpy(&request, body_of(c), sizeof(request));
	if (request.version < WIRE_VERSION)
		return -EPROTONOSUPPORT;
	memset(out, 0, sizeof(*out));
	out->version = WIRE_VERSION;
	out->pid = (uint32_t)getpid();
	strncpy(out->engine, c->hsm->engine->name, WIRE_NAME_BYTES - 1);
	strncpy(out->token, token_kind(c->hsm->tokens[0]), WIRE_NAME_BYTES - 1);
	strncpy(out->memory, secmem_kind(), WIRE_NAME_BYTES - 1);
	memcpy(out->tpm_name, token_name(c->hsm->tokens[0]), KEYSLOT_TPM_NAME_BYTES);
	reply->len = sizeof(*out);
	c->state = STATE_READY;
	return 0;
}

static int on_tokens(struct connection *c, struct reply *reply)
{
	struct wire_tokens_reply out = {.nr_tokens = c->hsm->nr_tokens};

	for (uint32_t i = 0; i < out.nr_tokens; i++) {
		const struct token *token = c->hsm->tokens[i];

		strncpy(out.tokens[i].kind, token_kind(token), WIRE_NAME_BYTES - 1);
		memcpy(out.tokens[i].tpm_name, token_name(token), KEYSLOT_TPM_NAME_BYTES);
	}
	memcpy(reply->body, &out, sizeof(out));
	reply->len = sizeof(out);
	return 0;
}

static int own_session(struct connection *c, const uint8_t *uuid, uint8_t *vmk)
{
	c->session = session_create(uuid, vmk);
	if (!c->session)
		return -ENOMEM;
	c->state = STATE_OWNER;
	return 0;
}

static int on_create(struct connection *c, struct reply *reply)
{
	uint8_t *vmk = secmem_alloc(KEYSLOT_VMK_BYTES);

	(void)reply;
	if (!vmk)
		return -ENOMEM;
	if (random_bytes(vmk, KEYSLOT_VMK_BYTES)) {
		secmem_free(vmk);
		return -EIO;
	}
	tell(c, AUDIT_CREATE, body_of(c), NULL, -1, 0);
	return own_session(c, body_of(c), vmk);
}

static bool peer_is_there(const struct connection *c)
{
	struct pollfd fds[] = {{.fd = c->fd}, {.fd = c->peer_fd, .events = POLLIN}};

	return poll(fds, 2, 0) >= 0 && !fds[1].revents && !(fds[0].revents & POLLHUP);
}

/* Waits for the client's turn, which is not spent on one that has gone meanwhile. */
static int begin_kdf(const struct connection *c, uint32_t kib)
{
	int ret = limits_begin_kdf(c->peer->quota, kib);

	if (!ret && !peer_is_there(c)) {
		limits_end_kdf(c->peer->quota, kib);
		ret = -EPROTO;
	}
	return ret;
}

static int unwrap(struct connection *c, const struct wire_unlock *request,
		  const uint8_t *pass, uint8_t *vmk, uint32_t *detail)
{
	struct token *token = find_token(c->hsm, request->slot.tpm_name);
	uint32_t kib = request->slot.kdf.memory_kib;
	int ret;

	if (!token)
		return -ENXIO;
	if (!kib || kib > KEYSLOT_KDF_MAX_KIB)
		return -EINVAL;
	ret = begin_kdf(c, kib);
	if (ret)
		return ret;
	ret = keyslot_unwrap(token, request->uuid, &request->slot, pass,
			     request->pass_len, vmk, detail);
	limits_end_kdf(c->peer->quota, kib);
	return ret;
}

static int on_unlock(struct connection *c, struct reply *reply)
{
	struct wire_unlock request;
	const uint8_t *pass;
	uint8_t *vmk;
	int ret;

	memcpy(&request, body_of(c), sizeof(request));
	pass = passphrase_of(c, sizeof(request), request.pass_len);
	if (!pass)
		return -EPROTO;
	vmk = secmem_alloc(KEYSLOT_VMK_BYTES);
	if (!vmk)
		return -ENOMEM;
	ret = unwrap(c, &request, pass, vmk, &reply->detail);
	if (ret != -EPROTO) /* then nothing was tried */
		tell(c, AUDIT_UNLOCK, request.uuid, request.slot.tpm_name,
		     (int)(request.slot.slot % KEYSLOT_COUNT), ret);
	if (ret) {
		secmem_free(vmk);
		return ret;
	}
	return own_session(c, request.uuid, vmk);
}

/* Wraps the session's key, if it is still there. */
static int seal_slot(struct session *session, const uint8_t *kek, struct keyslot *slot)
{
	int ret = -EKEYREVOKED;

	pthread_rwlock_rdlock(&session->lock);
	if (!session->locked && session_lease_stands(session, clock_now_ms()))
		ret = keyslot_seal(kek, session->uuid, session->vmk, slot);
	pthread_rwlock_unlock(&session->lock);
	return ret;
}

/* What matters before its turn has come; the rest is kdf_passphrase()'s. */
static bool costs_valid(const struct wire_add_slot *request)
{
	if (!request->kdf.time)
		return request->kdf_ms <= WIRE_KDF_MS_MAX;
	return request->kdf.memory_kib && request->kdf.memory_kib <= KEYSLOT_KDF_MAX_KIB;
}

static int fresh_kdf(const struct wire_add_slot *request, struct keyslot_kdf *kdf)
{
	if (request->kdf.time == 0)
		return kdf_calibrate(request->kdf_ms, CALIBRATE_MAX_KIB, kdf);
	*kdf = request->kdf;
	return random_bytes(kdf->salt, sizeof(kdf->salt));
}

/* Wraps the session's key into @slot, whose number is given. */
static int wrap(struct connection *c, const struct wire_add_slot *request,
		const uint8_t *pass, struct token *token, struct keyslot *slot)
{
	uint8_t *kek = secmem_alloc(KEYSLOT_KEK_BYTES);
	int ret = kek ? fresh_kdf(request, &slot->kdf) : -ENOMEM;

	if (!ret)
		ret = keyslot_prepare(token, c->session->uuid, pass, request->pass_len,
				      slot, kek);
	if (!ret)
		ret = seal_slot(c->session, kek, slot);
	secmem_free(kek);
	return ret;
}

static int on_add_slot(struct connection *c, struct reply *reply)
{
	struct wire_add_slot request;
	struct keyslot slot = {0};
	struct token *token;
	const uint8_t *pass;
	uint32_t kib;
	int ret;

	memcpy(&request, body_of(c), sizeof(request));
	pass = passphrase_of(c, sizeof(request), request.pass_len);
	if (!pass)
		return -EPROTO;
	if (request.slot >= KEYSLOT_COUNT || !costs_valid(&request))
		return -EINVAL;
	slot.slot = request.slot;
	slot.pcrs = request.pcrs;
	token = find_token(c->hsm, request.tpm_name);
	if (!token)
		return -ENXIO;
	kib = request.kdf.time ? request.kdf.memory_kib : LIMITS_KIB_UNKNOWN;
	ret = begin_kdf(c, kib);
	if (ret)
		return ret;
	ret = wrap(c, &request, pass, token, &slot);
	limits_end_kdf(c->peer->quota, kib);
	tell(c, AUDIT_SLOT, c->session->uuid, token_name(token), (int)slot.slot, ret);
	if (ret)
		return ret;
	memcpy(reply->body, &slot, sizeof(slot));
	reply->len = sizeof(slot);
	return 0;
}

static int on_mac(struct connection *c, struct reply *reply)
{
	uint8_t digest[WIRE_MAC_BYTES];

	/* a read-only mount that was taken over must not make headers */
	if (c->state == STATE_USER && !(c->rights & WIRE_MAY_SEAL))
		return -EACCES;
	memcpy(digest, body_of(c), sizeof(digest));
	reply->len = WIRE_MAC_BYTES;
	return session_mac(c->session, digest, reply->body);
}

static int on_verify(struct connection *c, struct reply *reply)
{
	struct wire_verify request;
	uint8_t mac[WIRE_MAC_BYTES];
	int ret;

	(void)reply;
	memcpy(&request, body_of(c), sizeof(request));
	ret = session_mac(c->session, request.digest, mac);
	if (!ret && secmem_compare(mac, request.mac, sizeof(mac)))
		ret = -EBADMSG;
	secmem_wipe(mac, sizeof(mac));
	return ret;
}

static int on_ticket(struct connection *c, struct reply *reply)
{
	struct wire_ticket want;

	memcpy(&want, body_of(c), sizeof(want));
	if (!want.rights || (want.rights & ~(uint32_t)(WIRE_MAY_OPEN | WIRE_MAY_SEAL)) ||
	    (want.flags & ~(uint32_t)WIRE_KEEP_LIMITS))
		return -EINVAL;
	reply->len = WIRE_TICKET_BYTES;
	return session_ticket(c->session, &want, reply->body);
}

static int on_redeem(struct connection *c, struct reply *reply)
{
	struct wire_redeem_reply out = {0};
	int ret = session_redeem(body_of(c), &c->session, &c->rights);

	if (ret)
		return ret;
	c->state = STATE_USER;
	memcpy(out.uuid, c->session->uuid, sizeof(out.uuid));
	out.rights = c->rights;
	memcpy(reply->body, &out, sizeof(out));
	reply->len = sizeof(out);
	return 0;
}

static int on_queue(struct connection *c, struct reply *reply)
{
	struct service_config config = {
		.engine = c->hsm->engine,
		.id = c->nr_queues,
		.rights = c->rights,
		.handle_lifetime_ms = c->hsm->handle_lifetime_ms,
		.notify_fd = c->fd,
	};
	struct wire_handle first = {0};
	struct wire_queue request;
	int ret;

	memcpy(&request, body_of(c), sizeof(request));
	if (c->passed_fd < 0)
		return -EINVAL;
	if (request.arena_len > RING_ARENA_MAX)
		return -EINVAL;
	ret = limits_take_queue(c->peer->quota, request.arena_len);
	if (ret)
		return ret;
	ret = service_start(c->session, &config, c->passed_fd, request.arena_len,
			    &c->queues[c->nr_queues], &first);
	if (ret) {
		limits_return_queue(c->peer->quota, request.arena_len);
		return ret;
	}
	c->nr_queues++;
	memcpy(reply->body, &first, sizeof(first));
	reply->len = sizeof(first);
	return 0;
}

static int on_renew(struct connection *c, struct reply *reply)
{
	struct wire_handle out;
	struct wire_renew request;
	int ret;

	memcpy(&request, body_of(c), sizeof(request));
	if (request.queue >= c->nr_queues)
		return -EINVAL;
	ret = service_renew(c->queues[request.queue], &out);
	if (ret)
		return ret;
	memcpy(reply->body, &out, sizeof(out));
	reply->len = sizeof(out);
	return 0;
}

static int on_status(struct connection *c, struct reply *reply)
{
	struct wire_status_reply out;

	session_status(c->session, &out);
	out.handle_lifetime_ms = c->hsm->handle_lifetime_ms;
	memcpy(reply->body, &out, sizeof(out));
	reply->len = sizeof(out);
	return 0;
}

static int on_lock(struct connection *c, struct reply *reply)
{
	(void)reply;
	session_lock(c->session);
	drop_session(c);
	return 0;
}

/* Which message is taken in which state, and how long its body is. */
static const struct message {
	unsigned states;
	size_t body_len;
	bool has_tail; /* a passphrase follows the body */
	int (*handle)(struct connection *c, struct reply *reply);
} messages[] = {
	[WIRE_HELLO] = {STATE_NEW, sizeof(struct wire_hello), false, on_hello},
	[WIRE_CREATE] = {STATE_READY, sizeof(struct wire_create), false, on_create},
	[WIRE_UNLOCK] = {STATE_READY, sizeof(struct wire_unlock), true, on_unlock},
	[WIRE_ADD_SLOT] = {STATE_OWNER, sizeof(struct wire_add_slot), true, on_add_slot},
	[WIRE_MAC] = {STATE_OWNER | STATE_USER, sizeof(struct wire_mac), false, on_mac},
	[WIRE_TICKET] = {STATE_OWNER, sizeof(struct wire_ticket), false, on_ticket},
	[WIRE_REDEEM] = {STATE_READY, sizeof(struct wire_ticket_value), false, on_redeem},
	[WIRE_QUEUE] = {STATE_USER, sizeof(struct wire_queue), false, on_queue},
	[WIRE_RENEW] = {STATE_USER, sizeof(struct wire_renew), false, on_renew},
	[WIRE_STATUS] = {STATE_OWNER | STATE_USER, 0, false, on_status},
	[WIRE_LOCK] = {STATE_OWNER | STATE_USER, 0, false, on_lock},
	[WIRE_TOKENS] = {STATE_READY | STATE_OWNER | STATE_USER, 0, false, on_tokens},
	[WIRE_VERIFY] = {STATE_OWNER | STATE_USER, sizeof(struct wire_verify), false,
			 on_verify},
};

/* The table's row for a message that is well-formed and allowed now, else NULL. */
static const struct message *find_message(const struct connection *c,
					  const struct wire_header *header)
{
	const struct message *m;
	size_t body_len = c->length - sizeof(*header);

	if (header->type >= sizeof(messages) / sizeof(messages[0]) ||
	    header->length != c->length || header->status)
		return NULL;
	m = &messages[header->type];
	if (!m->handle || !(m->states & c->state))
		return NULL;
	if (m->has_tail ? body_len < m->body_len : body_len != m->body_len)
		return NULL;
	return m;
}

/* Takes the first descriptor passed along and closes any other. */
static void take_fds(struct connection *c, const struct cmsghdr *cmsg)
{
	size_t n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	for (size_t i = 0; i < n; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(fd));
		if (c->passed_fd < 0)
			c->passed_fd = fd;
		else
			close(fd);
	}
}

/* What the kernel added to the message: who sent it, and descriptors. */
static void take_ancillary(struct connection *c, struct msghdr *msg)
{
	struct ucred cred;

	c->sender = -1;
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg;
	     cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET)
			continue;
		if (cmsg->cmsg_type == SCM_RIGHTS)
			take_fds(c, cmsg);
		if (cmsg->cmsg_type == SCM_CREDENTIALS &&
		    cmsg->cmsg_len == CMSG_LEN(sizeof(cred))) {
			memcpy(&cred, CMSG_DATA(cmsg), sizeof(cred));
			c->sender = cred.pid;
		}
	}
}

/* Waits for POLLIN or POLLOUT. False when the process that connected has ended. */
static bool wait_peer(const struct connection *c, short events)
{
	struct pollfd fds[] = {{.fd = c->fd, .events = events},
			       {.fd = c->peer_fd, .events = POLLIN}};

	while (poll(fds, 2, -1) < 0)
		if (errno != EINTR)
			return false;
	return !fds[1].revents;
}

/* One datagram into the message buffer. False at the end of the connection. */
static bool receive(struct connection *c)
{
	struct iovec iov = {c->message, WIRE_MESSAGE_MAX};
	union {
		char buf[CONTROL_BYTES];
		struct cmsghdr align;
	} control;
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.buf,
			     .msg_controllen = sizeof(control.buf)};
	ssize_t n;

	if (!wait_peer(c, POLLIN))
		return false;
	do
		n = recvmsg(c->fd, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return false;
	take_ancillary(c, &msg);
	c->length = (size_t)n;
	return !(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) &&
	       c->length >= sizeof(struct wire_header);
}

static bool respond(struct connection *c, uint32_t type, int status, struct reply *reply)
{
	struct wire_header *header = (struct wire_header *)c->message;
	size_t len = sizeof(*header) + (status ? 0 : reply->len);
	ssize_t n;

	*header = (struct wire_header){type, (uint32_t)len, status, reply->detail};
	/* while it waits for a client to read, it must still see that client end */
	do
		n = send(c->fd, c->message, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && (errno == EINTR || (errno == EAGAIN && wait_peer(c, POLLOUT))));
	return n == (ssize_t)len;
}

/* One request and its reply. False when the connection has to end. */
static bool serve_one(struct connection *c)
{
	struct reply reply = {0, 0, c->message + sizeof(struct wire_header)};
	struct wire_header header;
	const struct message *m;
	bool ok = false;
	int status;

	c->passed_fd = -1;
	if (!receive(c))
		goto out;
	memcpy(&header, c->message, sizeof(header));
	m = find_message(c, &header);
	if (!m)
		goto out;
	/* a child that inherited the socket is not the client */
	status = c->sender == c->peer->pid ? m->handle(c, &reply) : -EPERM;
	if (status == -EPROTO)
		goto out;
	ok = respond(c, header.type, status, &reply);
out:
	if (c->passed_fd >= 0)
		close(c->passed_fd);
	secmem_wipe(c->message, WIRE_MESSAGE_MAX);
	return ok;
}

/* Asks the kernel for a hold on the client's process and for the sender of messages. */
static bool pin_peer(struct connection *c)
{
	socklen_t len = sizeof(c->peer_fd);
	int on = 1;

	if (setsockopt(c->fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)))
		return false;
	if (!getsockopt(c->fd, SOL_SOCKET, SO_PEERPIDFD, &c->peer_fd, &len))
		return true;
	c->peer_fd = -1;
	return errno == ENOPROTOOPT;
}

void connection_serve(const struct hsm *hsm, int fd, const struct connection_peer *peer)
{
	struct connection c = {
		.hsm = hsm, .peer = peer, .fd = fd, .peer_fd = -1, .state = STATE_NEW};

	c.message = secmem_alloc(WIRE_MESSAGE_MAX);
	if (c.message && pin_peer(&c))
		while (serve_one(&c))
			;
	if (c.session)
		drop_session(&c);
	secmem_free(c.message);
	if (c.peer_fd >= 0)
		close(c.peer_fd);
	close(fd);
}
