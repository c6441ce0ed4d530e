/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hsm/api/client.h"
#include "hsm/api/runtime.h"
#include "hsm/api/secmem.h"
#include "hsm/api/spawn.h"

enum { ERRNO_MAX = 4095 }; /* the kernel's */

struct hsm_client {
	pthread_mutex_t lock;
	int fd;
	struct wire_hello_reply identity;
	uint8_t *message; /* secret memory: passphrases pass through */
};

/* A request's body in pieces, so that a passphrase is copied only into secret memory. */
struct request {
	enum wire_type type;
	const void *body;
	size_t body_len;
	const void *pass;
	size_t pass_len;
	int fd; /* to pass along, or -1 */
};

static int send_message(struct hsm_client *hsm, size_t len, int fd)
{
	struct iovec iov = {hsm->message, len};
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (fd >= 0) {
		struct cmsghdr *cmsg;

		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	}
	do
		n = sendmsg(hsm->fd, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	return 0;
}

static int receive_reply(struct hsm_client *hsm, enum wire_type type, void *reply,
			 size_t reply_len, uint32_t *detail)
{
	struct wire_header header;
	ssize_t n;

	do
		n = recv(hsm->fd, hsm->message, WIRE_MESSAGE_MAX, 0);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n == 0 || errno == ECONNRESET ? -EPIPE : -errno;
	if ((size_t)n < sizeof(header))
		return -EPROTO;
	memcpy(&header, hsm->message, sizeof(header));
	if (header.type != type || header.length != (size_t)n || header.status > 0 ||
	    header.status < -ERRNO_MAX)
		return -EPROTO;
	if (detail)
		*detail = header.detail;
	if (header.status)
		return header.status;
	if ((size_t)n != sizeof(header) + reply_len)
		return -EPROTO;
	if (reply_len)
		memcpy(reply, hsm->message + sizeof(header), reply_len);
	return 0;
}

static int call(struct hsm_client *hsm, const struct request *request, void *reply,
		size_t reply_len, uint32_t *detail)
{
	struct wire_header header = {.type = request->type};
	size_t len = sizeof(header) + request->body_len + request->pass_len;
	uint8_t *at = hsm->message + sizeof(header);
	int ret;

	if (request->pass_len > WIRE_PASSPHRASE_MAX)
		return -EINVAL;
	pthread_mutex_lock(&hsm->lock);
	header.length = (uint32_t)len;
	memcpy(hsm->message, &header, sizeof(header));
	if (request->body_len)
		memcpy(at, request->body, request->body_len);
	if (request->pass_len)
		memcpy(at + request->body_len, request->pass, request->pass_len);
	ret = send_message(hsm, len, request->fd);
	if (!ret)
		ret = receive_reply(hsm, request->type, reply, reply_len, detail);
	secmem_wipe(hsm->message, WIRE_MESSAGE_MAX);
	pthread_mutex_unlock(&hsm->lock);
	return ret;
}

static int call_simple(struct hsm_client *hsm, enum wire_type type, const void *body,
		       size_t body_len, void *reply, size_t reply_len)
{
	struct request request = {type, body, body_len, NULL, 0, -1};

	return call(hsm, &request, reply, reply_len, NULL);
}

/* They are shown on terminals. */
static bool is_name(const char name[WIRE_NAME_BYTES])
{
	size_t len = strnlen(name, WIRE_NAME_BYTES);

	for (size_t i = 0; i < len; i++)
		if (name[i] <= ' ' || name[i] > '~')
			return false;
	return len && len < WIRE_NAME_BYTES;
}

static int say_hello(struct hsm_client *hsm, char *why, size_t why_len)
{
	struct wire_hello hello = {.version = WIRE_VERSION};
	int ret = call_simple(hsm, WIRE_HELLO, &hello, sizeof(hello), &hsm->identity,
			      sizeof(hsm->identity));

	if (!ret &&
	    (hsm->identity.version != WIRE_VERSION || !is_name(hsm->identity.engine) ||
	     !is_name(hsm->identity.token) || !is_name(hsm->identity.memory)))
		ret = -EPROTO;
	if (ret)
		snprintf(why, why_len,
			 "the running hsmd does not answer as this version expects (%s); "
			 "stop it "
			 "and try again",
			 strerror(-ret));
	return ret;
}

static int connect_and_greet(struct hsm_client *hsm, int spawn, char *why, size_t why_len)
{
	if (hsm->fd >= 0)
		close(hsm->fd);
	hsm->fd = spawn ? spawn_connect(why, why_len) : runtime_connect(why, why_len);
	return hsm->fd < 0 ? hsm->fd : say_hello(hsm, why, why_len);
}

int hsm_connect(int spawn, struct hsm_client **out, char *why, size_t why_len)
{
	struct hsm_client *hsm = calloc(1, sizeof(*hsm));
	int ret = -ENOMEM;

	if (!hsm)
		return -ENOMEM;
	pthread_mutex_init(&hsm->lock, NULL);
	hsm->fd = -1;
	hsm->message = secmem_alloc(WIRE_MESSAGE_MAX);
	if (!hsm->message) {
		snprintf(why, why_len,
			 "no locked memory for secrets: raise the limit (ulimit -l)");
		goto out;
	}
	ret = connect_and_greet(hsm, spawn, why, why_len);
	/* an hsmd that nobody needs was ending just then */
	if (ret == -EPIPE)
		ret = connect_and_greet(hsm, spawn, why, why_len);
	if (ret)
		goto out;
	*out = hsm;
	return 0;
out:
	hsm_disconnect(hsm);
	return ret;
}

void hsm_disconnect(struct hsm_client *hsm)
{
	if (!hsm)
		return;
	if (hsm->fd >= 0)
		close(hsm->fd);
	secmem_free(hsm->message);
	pthread_mutex_destroy(&hsm->lock);
	free(hsm);
}

const struct wire_hello_reply *hsm_identity(const struct hsm_client *hsm)
{
	return &hsm->identity;
}

int hsm_fd(const struct hsm_client *hsm)
{
	return hsm->fd;
}

int hsm_tokens(struct hsm_client *hsm, struct wire_tokens_reply *out)
{
	int ret = call_simple(hsm, WIRE_TOKENS, NULL, 0, out, sizeof(*out));

	if (!ret && (!out->nr_tokens || out->nr_tokens > WIRE_TOKENS_MAX))
		return -EPROTO;
	for (uint32_t i = 0; !ret && i < out->nr_tokens; i++)
		if (!is_name(out->tokens[i].kind))
			ret = -EPROTO;
	return ret;
}

int hsm_create(struct hsm_client *hsm, const uint8_t uuid[KEYSLOT_UUID_BYTES])
{
	return call_simple(hsm, WIRE_CREATE, uuid, KEYSLOT_UUID_BYTES, NULL, 0);
}

int hsm_unlock(struct hsm_client *hsm, const uint8_t uuid[KEYSLOT_UUID_BYTES],
	       const struct keyslot *slot, const void *pass, size_t pass_len,
	       uint32_t *detail)
{
	struct wire_unlock body = {.slot = *slot, .pass_len = (uint32_t)pass_len};
	struct request request = {WIRE_UNLOCK, &body, sizeof(body), pass, pass_len, -1};

	memcpy(body.uuid, uuid, KEYSLOT_UUID_BYTES);
	return call(hsm, &request, NULL, 0, detail);
}

int hsm_add_slot_as(struct hsm_client *hsm, const struct wire_add_slot *want,
		    const void *pass, size_t pass_len, struct keyslot *out)
{
	struct wire_add_slot body = *want;
	struct request request = {WIRE_ADD_SLOT, &body, sizeof(body), pass, pass_len, -1};

	body.pass_len = (uint32_t)pass_len;
	return call(hsm, &request, out, sizeof(*out), NULL);
}

int hsm_add_slot(struct hsm_client *hsm, uint32_t slot, const struct keyslot_kdf *kdf,
		 uint32_t kdf_ms, const void *pass, size_t pass_len, struct keyslot *out)
{
	struct wire_add_slot want = {.slot = slot, .kdf_ms = kdf_ms};

	if (kdf)
		want.kdf = *kdf;
	return hsm_add_slot_as(hsm, &want, pass, pass_len, out);
}

int hsm_mac(struct hsm_client *hsm, const uint8_t digest[WIRE_MAC_BYTES],
	    uint8_t mac[WIRE_MAC_BYTES])
{
	return call_simple(hsm, WIRE_MAC, digest, WIRE_MAC_BYTES, mac, WIRE_MAC_BYTES);
}

int hsm_verify(struct hsm_client *hsm, const uint8_t digest[WIRE_MAC_BYTES],
	       const uint8_t mac[WIRE_MAC_BYTES])
{
	struct wire_verify body;

	memcpy(body.digest, digest, WIRE_MAC_BYTES);
	memcpy(body.mac, mac, WIRE_MAC_BYTES);
	return call_simple(hsm, WIRE_VERIFY, &body, sizeof(body), NULL, 0);
}

int hsm_ticket(struct hsm_client *hsm, const struct wire_ticket *want,
	       uint8_t ticket[WIRE_TICKET_BYTES])
{
	return call_simple(hsm, WIRE_TICKET, want, sizeof(*want), ticket,
			   WIRE_TICKET_BYTES);
}

int hsm_redeem(struct hsm_client *hsm, const uint8_t ticket[WIRE_TICKET_BYTES],
	       struct wire_redeem_reply *out)
{
	return call_simple(hsm, WIRE_REDEEM, ticket, WIRE_TICKET_BYTES, out,
			   sizeof(*out));
}

int hsm_queue(struct hsm_client *hsm, int memfd, uint64_t arena_len,
	      struct wire_handle *out)
{
	struct wire_queue body = {.arena_len = arena_len};
	struct request request = {WIRE_QUEUE, &body, sizeof(body), NULL, 0, memfd};

	return call(hsm, &request, out, sizeof(*out), NULL);
}

int hsm_renew(struct hsm_client *hsm, uint32_t queue, struct wire_handle *out)
{
	struct wire_renew body = {.queue = queue};

	return call_simple(hsm, WIRE_RENEW, &body, sizeof(body), out, sizeof(*out));
}

int hsm_status(struct hsm_client *hsm, struct wire_status_reply *out)
{
	return call_simple(hsm, WIRE_STATUS, NULL, 0, out, sizeof(*out));
}

int hsm_lock(struct hsm_client *hsm)
{
	return call_simple(hsm, WIRE_LOCK, NULL, 0, NULL, 0);
}
