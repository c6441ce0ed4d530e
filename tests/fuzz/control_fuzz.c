/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A control connection fed with messages: each u16 length and so many bytes of the input.
 * Ends with a hang-up. The TPM is a stand-in, and costs of passphrases are bounded, so
 * that all time goes into hsmd's own code.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hsm/api/wire.h"
#include "hsm/connection.h"
#include "hsm/crypto/aead.h"
#include "hsm/hsm.h"
#include "hsm/limits.h"
#include "hsm/token/token.h"

enum { MAX_MESSAGES = 24 }; /* their answers fit into the socket's buffer */

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
	if (kdf->memory_kib > 128 && kdf->memory_kib <= KEYSLOT_KDF_MAX_KIB)
		kdf->memory_kib = 128;
	kdf->lanes %= 4;
}

/* Passphrases are dear: most of what the fuzzer makes is not worth its time. */
static void make_cheap(uint8_t *message, size_t len)
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
}

static size_t send_one(int fd, const uint8_t *data, size_t len)
{
	static uint8_t message[WIRE_MESSAGE_MAX + 64];
	uint16_t want;
	size_t n;

	if (len < sizeof(want))
		return len;
	memcpy(&want, data, sizeof(want));
	n = want % sizeof(message);
	if (n > len - sizeof(want))
		n = len - sizeof(want);
	memcpy(message, data + sizeof(want), n);
	make_cheap(message, n);
	if (send(fd, message, n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return len;
	return sizeof(want) + n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct connection_peer peer = {.pid = getpid()};
	struct hsm hsm = {.nr_tokens = 1, .handle_lifetime_ms = 1000};
	int fds[2], on = 1;

	hsm.engine = aead_engines[0];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) ||
	    setsockopt(fds[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)))
		abort();
	for (int i = 0; i < MAX_MESSAGES && len; i++) {
		size_t used = send_one(fds[1], data, len);

		data += used;
		len -= used;
	}
	shutdown(fds[1], SHUT_WR);
	peer.quota = limits_connect(peer.pid);
	if (!peer.quota)
		abort();
	connection_serve(&hsm, fds[0], &peer);
	limits_disconnect(peer.quota);
	close(fds[1]);
	return 0;
}
