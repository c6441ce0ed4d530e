/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's end of hsmd's control socket. A struct hsm_client serialises its calls
 * itself (thread-safe). Every call returns 0 or -errno; -EPIPE means that hsmd has gone
 * and the client can only be destroyed.
 */
#ifndef HSM_API_CLIENT_H
#define HSM_API_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "hsm/api/wire.h"

struct hsm_client;

/*
 * Connects and says hello. With @spawn, starts hsmd (beside this program, else in PATH)
 * when none answers and waits until it is ready. On error @why gets one sentence.
 * -ENOENT (none there), -EPROTO (another version), -EACCES, -ETIMEDOUT, or what hsmd
 * reported when it could not start (-EIO, -ENODEV, -EACCES...).
 */
int hsm_connect(int spawn, struct hsm_client **out, char *why, size_t why_len);

void hsm_disconnect(struct hsm_client *hsm); /* NULL is allowed */

/* What hsmd said of itself. Owned by @hsm. */
const struct wire_hello_reply *hsm_identity(const struct hsm_client *hsm);

/* The socket, for poll(): POLLHUP tells that hsmd has gone. Owned by @hsm. */
int hsm_fd(const struct hsm_client *hsm);

/* The TPMs that hsmd has open, one at least. */
int hsm_tokens(struct hsm_client *hsm, struct wire_tokens_reply *out);

/* Makes a new volume key in the HSM; this connection then owns its session. */
int hsm_create(struct hsm_client *hsm, const uint8_t uuid[KEYSLOT_UUID_BYTES]);

/*
 * Unlocks with one slot. -EKEYREJECTED (wrong passphrase), -EAGAIN (*@detail: seconds
 * until the TPM takes another try), -ESTALE (*@detail: PCRs that changed), -ENXIO (the
 * slot names another TPM), -EBADMSG (slot damaged), -EINVAL.
 */
int hsm_unlock(struct hsm_client *hsm, const uint8_t uuid[KEYSLOT_UUID_BYTES],
	       const struct keyslot *slot, const void *pass, size_t pass_len,
	       uint32_t *detail);

/* Wraps the session's key for @pass on the first TPM; @kdf NULL: calibrate to @kdf_ms
 * milliseconds. */
int hsm_add_slot(struct hsm_client *hsm, uint32_t slot, const struct keyslot_kdf *kdf,
		 uint32_t kdf_ms, const void *pass, size_t pass_len, struct keyslot *out);

/*
 * The same as @want says, whose pass_len is filled in. -ENXIO: hsmd has no such TPM.
 * -EOPNOTSUPP: the TPM has no such PCR.
 */
int hsm_add_slot_as(struct hsm_client *hsm, const struct wire_add_slot *want,
		    const void *pass, size_t pass_len, struct keyslot *out);

/* HMAC of @digest under the volume's header key. -EACCES: a read-only user. */
int hsm_mac(struct hsm_client *hsm, const uint8_t digest[WIRE_MAC_BYTES],
	    uint8_t mac[WIRE_MAC_BYTES]);

/* 0 when @mac is @digest's, -EBADMSG when it is not. */
int hsm_verify(struct hsm_client *hsm, const uint8_t digest[WIRE_MAC_BYTES],
	       const uint8_t mac[WIRE_MAC_BYTES]);

/*
 * A ticket that one other connection may redeem once within 60 s. -ENODATA: hsmd does not
 * know the limits that are to be kept, as after a restart.
 */
int hsm_ticket(struct hsm_client *hsm, const struct wire_ticket *want,
	       uint8_t ticket[WIRE_TICKET_BYTES]);

/* -EKEYREJECTED: no such ticket, used, or too old. */
int hsm_redeem(struct hsm_client *hsm, const uint8_t ticket[WIRE_TICKET_BYTES],
	       struct wire_redeem_reply *out);

/* Attaches a ring's memfd (hsm/api/queue.h does this for its callers). */
int hsm_queue(struct hsm_client *hsm, int memfd, uint64_t arena_len,
	      struct wire_handle *out);

/* -EKEYREVOKED: the lease is over or the session locked. */
int hsm_renew(struct hsm_client *hsm, uint32_t queue, struct wire_handle *out);

int hsm_status(struct hsm_client *hsm, struct wire_status_reply *out);

/* Wipes the session's keys in the HSM and drops its queues. */
int hsm_lock(struct hsm_client *hsm);

#endif
