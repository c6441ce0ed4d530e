/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A control connection fed with messages: each u16 length and so many bytes of the input.
 * The length's upper two bits say that a ring's memory comes along, and that the sender
 * is another process. Ends with a hang-up.
 *
 * The TPM is a stand-in, and so is the socket: includes the connection with system calls
 * of our own. Costs of passphrases are bounded. So all time goes into hsmd's own code.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static int fuzz_poll(struct pollfd *fds, nfds_t nr, int timeout_ms);
static ssize_t fuzz_recvmsg(int fd, struct msghdr *msg, int flags);
static ssize_t fuzz_send(int fd, const void *data, size_t len, int flags);
static int fuzz_setsockopt(int fd, int level, int option, const void *value,
			   socklen_t len);
static int fuzz_getsockopt(int fd, int level, int option, void *value, socklen_t *len);

#define poll	   fuzz_poll
#define recvmsg	   fuzz_recvmsg
#define send	   fuzz_send
#define setsockopt fuzz_setsockopt
#define getsockopt fuzz_getsockopt
#include "hsm/connection.c" /* NOLINT(bugprone-suspicious-include) */
#undef poll
#undef recvmsg
#undef send
#undef setsockopt
#undef getsockopt

enum {
	LENGTH_MASK = 0x3fff,
	WITH_MEMORY = 0x4000,
	OF_ANOTHER = 0x8000,
	ARENA_BYTES = PAGE_BYTES,
};

/* --- a TPM that keeps its secrets in the open -----------------------------------------
 */

static const uint8_t name[KEYSLOT_TPM_NAME_BYTES] = {0, 0x0b, 1};

const uint8_t *token_name(const struct token *token)
{
	(void)token;
	return name;
}

const char *token_kind(const struct token *token)
{
	(void)token;
	return "fuzz";
}

int token_seal(struct token *token, const uint8_t auth[TOKEN_AUTH_BYTES],
	       const uint8_t secret[TOKEN_SECRET_BYTES], uint32_t pcrs,
	       struct token_blob *out)
{
	(void)token;
	(void)auth;
	memset(out, 0, sizeof(*out));
	out->pcrs.mask = pcrs;
	out->public_len = TOKEN_SECRET_BYTES;
	memcpy(out->public, secret, TOKEN_SECRET_BYTES);
	return 0;
}

int token_unseal(struct token *token, const uint8_t auth[TOKEN_AUTH_BYTES],
		 const struct token_blob *blob, uint8_t secret[TOKEN_SECRET_BYTES],
		 uint32_t *detail)
{
	(void)token;
	(void)auth;
	*detail = 0;
	if (blob->public_len != TOKEN_SECRET_BYTES)
		return -EBADMSG;
	memcpy(secret, blob->public, TOKEN_SECRET_BYTES);
	return 0;
}

/* --- messages ----------------------------------------------------------------------- */

static void bound_costs(struct keyslot_kdf *kdf)
{
	if (kdf->time > 1 && kdf->time <= KEYSLOT_KDF_MAX_TIME)
		kdf->time = 1;
	if (kdf->memory_kib > 64 && kdf->memory_kib <= KEYSLOT_KDF_MAX_KIB)
		kdf->memory_kib = 64;
	if (kdf->lanes > 1 && kdf->lanes <= 16)
		kdf->lanes = 1; /* others cost a thread each */
}

/* A ticket that no fuzzer would find: every other REDEEM gets one. */
static void give_ticket(uint8_t value[WIRE_TICKET_BYTES])
{
	static const uint8_t uuid[KEYSLOT_UUID_BYTES];
	static struct session *session;
	struct wire_ticket want = {.rights = 1 + value[1] % 3};

	if (value[0] % 2)
		return;
	if (session && session->locked) {
		session_release(session);
		session = NULL;
	}
	if (!session)
		session = session_create(uuid, secmem_alloc(KEYSLOT_VMK_BYTES));
	if (!session || session_ticket(session, &want, value))
		abort();
}

/* Passphrases are dear: most of what the fuzzer makes is not worth its time. */
static void make_useful(uint8_t *message, size_t len)
{
	struct wire_header header;
	struct wire_unlock unlock;
	struct wire_add_slot slot;
	uint8_t *body = message + sizeof(header);

	if (len < sizeof(header))
		return;
	memcpy(&header, message, sizeof(header));
	if (header.type == WIRE_UNLOCK && len >= sizeof(header) + sizeof(unlock)) {
		memcpy(&unlock, body, sizeof(unlock));
		bound_costs(&unlock.slot.kdf);
		memcpy(body, &unlock, sizeof(unlock));
	}
	if (header.type == WIRE_ADD_SLOT && len >= sizeof(header) + sizeof(slot)) {
		memcpy(&slot, body, sizeof(slot));
		bound_costs(&slot.kdf);
		slot.kdf.time |= !slot.kdf.time; /* no calibration */
		memcpy(body, &slot, sizeof(slot));
	}
	if (header.type == WIRE_REDEEM && len >= sizeof(header) + WIRE_TICKET_BYTES)
		give_ticket(body);
}

/* --- a socket ----------------------------------------------------------------------- */

static struct input {
	const uint8_t *data;
	size_t len;
	bool has_memory; /* some have, once: a queue costs two threads' work */
} input;

static int memfd = -1;

static int fuzz_poll(struct pollfd *fds, nfds_t nr, int timeout_ms)
{
	(void)timeout_ms;
	for (nfds_t i = 0; i < nr; i++)
		fds[i].revents = i ? 0 : POLLIN;
	return 1;
}

static int fuzz_setsockopt(int fd, int level, int option, const void *value,
			   socklen_t len)
{
	(void)fd, (void)level, (void)option, (void)value, (void)len;
	return 0;
}

static int fuzz_getsockopt(int fd, int level, int option, void *value, socklen_t *len)
{
	(void)fd, (void)level, (void)option, (void)value, (void)len;
	errno = ENOPROTOOPT;
	return -1;
}

static ssize_t fuzz_send(int fd, const void *data, size_t len, int flags)
{
	const struct wire_header *header = data;

	(void)fd, (void)flags;
	if (header->length != len || len > WIRE_MESSAGE_MAX || header->status > 0)
		abort();
	return (ssize_t)len;
}

static struct cmsghdr *add_ancillary(struct msghdr *msg, struct cmsghdr *cmsg, int type,
				     const void *data, size_t len)
{
	if (!cmsg)
		abort();
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = type;
	cmsg->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(cmsg), data, len);
	return CMSG_NXTHDR(msg, cmsg);
}

static void add_all_ancillary(struct msghdr *msg, unsigned flags)
{
	const struct ucred sender = {.pid = flags & OF_ANOTHER ? 1 : getpid()};
	size_t room = msg->msg_controllen;
	struct cmsghdr *cmsg;
	int fds[2];

	memset(msg->msg_control, 0, room);
	cmsg = add_ancillary(msg, CMSG_FIRSTHDR(msg), SCM_CREDENTIALS, &sender,
			     sizeof(sender));
	msg->msg_controllen = CMSG_SPACE(sizeof(sender));
	if (!(flags & WITH_MEMORY) || !input.has_memory)
		return;
	input.has_memory = false;
	fds[0] = dup(memfd);
	fds[1] = dup(memfd); /* one too many */
	msg->msg_controllen = room;
	add_ancillary(msg, cmsg, SCM_RIGHTS, fds, sizeof(fds));
	msg->msg_controllen = CMSG_SPACE(sizeof(sender)) + CMSG_SPACE(sizeof(fds));
}

static ssize_t fuzz_recvmsg(int fd, struct msghdr *msg, int flags)
{
	struct iovec *iov = msg->msg_iov;
	uint16_t want;
	size_t n;

	(void)fd, (void)flags;
	if (input.len < sizeof(want))
		return 0;
	memcpy(&want, input.data, sizeof(want));
	input.data += sizeof(want);
	input.len -= sizeof(want);
	n = want & LENGTH_MASK;
	if (n > input.len)
		n = input.len;
	msg->msg_flags = n > iov->iov_len ? MSG_TRUNC : 0;
	memcpy(iov->iov_base, input.data, n < iov->iov_len ? n : iov->iov_len);
	input.data += n;
	input.len -= n;
	if (n > iov->iov_len)
		n = iov->iov_len;
	make_useful(iov->iov_base, n);
	add_all_ancillary(msg, want);
	return (ssize_t)n;
}

static void make_memory(void)
{
	memfd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (memfd < 0 || ftruncate(memfd, RING_ARENA_OFFSET + ARENA_BYTES) ||
	    fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct connection_peer peer = {.pid = getpid()};
	struct hsm hsm = {.nr_tokens = 1, .handle_lifetime_ms = 1000};

	if (memfd < 0)
		make_memory();
	hsm.engine = aead_engines[0];
	input = (struct input){data, len, len % 16 == 0};
	peer.quota = limits_connect(peer.pid);
	if (!peer.quota)
		abort();
	connection_serve(&hsm, dup(memfd), &peer);
	limits_disconnect(peer.quota);
	return 0;
}
