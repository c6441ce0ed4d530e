/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control messages between a client and hsmd: one SOCK_SEQPACKET datagram each way, on
 * $HSMFS_RUNTIME_DIR/hsmd.sock. hsm/PROTOCOL.md says the same in prose.
 *
 * A request is a struct wire_header followed by the body its type names; the reply has
 * the same type, a status (0 or a negative errno) and, when the status is 0, the reply
 * body. Fixed sizes, native byte order: the socket never leaves the machine.
 */
#ifndef HSM_API_WIRE_H
#define HSM_API_WIRE_H

#include <stdint.h>

#include "hsm/api/keyslot.h"

enum {
	WIRE_VERSION = 1,
	WIRE_PASSPHRASE_MAX = 8192,
	WIRE_KDF_MS_MAX = 60000,  /* that a try may be asked to take */
	WIRE_MESSAGE_MAX = 12288, /* no message is longer */
	WIRE_TICKET_BYTES = 32,
	WIRE_HANDLE_BYTES = 16,
	WIRE_MAC_BYTES = 32,
	WIRE_NAME_BYTES = 24, /* short NUL-terminated texts */
	WIRE_TOKENS_MAX = 8,
};

enum wire_type {
	WIRE_HELLO = 1,	   /* first on every connection */
	WIRE_CREATE = 2,   /* a new volume key: the connection owns a session */
	WIRE_UNLOCK = 3,   /* a volume key from a slot: the same */
	WIRE_ADD_SLOT = 4, /* owner: wrap the volume key for a passphrase */
	WIRE_MAC = 5,	   /* who may seal: MAC of a volume header's digest */
	WIRE_TICKET = 6,   /* owner: one-time ticket for a file system process */
	WIRE_REDEEM = 7,   /* the connection uses a session through a ticket */
	WIRE_QUEUE = 8,	   /* user: attach a ring (memfd in SCM_RIGHTS) */
	WIRE_RENEW = 9,	   /* user: a new handle for a queue whose handle died */
	WIRE_STATUS = 10,  /* owner or user */
	WIRE_LOCK = 11,	   /* owner or user: wipe the session's keys, drop its queues */
	WIRE_TOKENS = 12,  /* the TPMs that this hsmd has open */
	WIRE_VERIFY = 13,  /* owner or user: is it that digest's MAC? */
};

enum wire_rights {
	WIRE_MAY_OPEN = 1 << 0,
	WIRE_MAY_SEAL = 1 << 1,
};

struct wire_header {
	uint32_t type;	 /* enum wire_type */
	uint32_t length; /* of the whole message */
	int32_t status;	 /* replies: 0 or -errno; requests: 0 */
	uint32_t detail; /* replies: with -EAGAIN (TPM locked out) seconds to wait, with
			  * -ESTALE the mask of PCRs that changed */
};

struct wire_hello {
	uint32_t version; /* highest the sender speaks; the reply's is the one used */
	uint32_t reserved;
};

struct wire_hello_reply {
	uint32_t version;
	uint32_t pid;
	char engine[WIRE_NAME_BYTES]; /* "ipsec-mb" or "openssl" */
	char token[WIRE_NAME_BYTES];  /* the first: "libtpms", "swtpm", "device" */
	char memory[WIRE_NAME_BYTES]; /* "memfd_secret" or "mlock" */
	uint8_t tpm_name[KEYSLOT_TPM_NAME_BYTES];
	uint8_t reserved[6];
};

struct wire_token {
	char kind[WIRE_NAME_BYTES];
	uint8_t tpm_name[KEYSLOT_TPM_NAME_BYTES];
	uint8_t reserved[6];
};

/* All of them; the first is the one that new slots are made for by default. */
struct wire_tokens_reply {
	uint32_t nr_tokens;
	uint32_t reserved;
	struct wire_token tokens[WIRE_TOKENS_MAX];
};

struct wire_create {
	uint8_t uuid[KEYSLOT_UUID_BYTES];
};

/* Followed by @pass_len bytes of passphrase. */
struct wire_unlock {
	uint8_t uuid[KEYSLOT_UUID_BYTES];
	struct keyslot slot;
	uint32_t pass_len;
};

/*
 * Followed by @pass_len bytes of passphrase. kdf.time == 0: the HSM calibrates to
 * @kdf_ms milliseconds; the salt is always the HSM's. @tpm_name says which TPM the slot
 * is for; zeros: the first. @pcrs are those that must be as they are now whenever the
 * slot is to be opened, a bit each. Replies with a struct keyslot.
 */
struct wire_add_slot {
	uint32_t slot;
	uint32_t kdf_ms;
	struct keyslot_kdf kdf;
	uint8_t tpm_name[KEYSLOT_TPM_NAME_BYTES];
	uint16_t reserved;
	uint32_t pcrs;
	uint32_t pass_len;
};

/* SHA-256 of what is authenticated; the reply is its HMAC under the header key. */
struct wire_mac {
	uint8_t digest[WIRE_MAC_BYTES];
};

/* Status 0 when @mac is the digest's, else -EBADMSG. */
struct wire_verify {
	uint8_t digest[WIRE_MAC_BYTES];
	uint8_t mac[WIRE_MAC_BYTES];
};

enum wire_ticket_flags {
	WIRE_KEEP_LIMITS =
		1 << 0, /* those of the volume's last ticket that was redeemed */
};

/* Limits of the lease that the ticket's user gets; 0 is none. */
struct wire_ticket {
	uint32_t rights;      /* WIRE_MAY_* */
	uint32_t flags;	      /* WIRE_KEEP_LIMITS: the rest is not looked at */
	uint64_t lease_s;     /* from now */
	uint64_t idle_s;      /* without any operation */
	uint64_t limit_bytes; /* of file content opened in every limit_s seconds */
	uint64_t limit_s;
};

/* Body of the reply to WIRE_TICKET and of the request WIRE_REDEEM. */
struct wire_ticket_value {
	uint8_t ticket[WIRE_TICKET_BYTES];
};

struct wire_redeem_reply {
	uint8_t uuid[KEYSLOT_UUID_BYTES];
	uint32_t rights;
	uint32_t reserved;
};

/* With exactly one file descriptor: a memfd sealed SHRINK|GROW|SEAL (hsm/api/ring.h). */
struct wire_queue {
	uint64_t arena_len;
};

struct wire_handle {
	uint32_t queue;
	uint32_t lifetime_ms; /* the handle dies when unused for so long */
	uint64_t generation;
	uint8_t handle[WIRE_HANDLE_BYTES];
};

struct wire_renew {
	uint32_t queue; /* as in the reply to WIRE_QUEUE */
	uint32_t reserved;
};

struct wire_status_reply {
	uint8_t uuid[KEYSLOT_UUID_BYTES];
	uint32_t queues;
	uint32_t handle_lifetime_ms;
	uint64_t generation; /* newest of all queues */
	uint64_t pages_sealed;
	uint64_t pages_opened;
	uint64_t refused;      /* handles that got the key error */
	uint64_t lease_left_s; /* UINT64_MAX: no limit */
	uint64_t idle_left_s;  /* UINT64_MAX: no limit */
	uint64_t limit_bytes;  /* as in the ticket; UINT64_MAX: no limit */
	uint64_t limit_s;
	uint64_t limit_left;	 /* bytes that may still be opened now */
	uint64_t limit_resets_s; /* until all of limit_bytes may be opened again */
	uint64_t over_limit;	 /* operations refused for it */
};

_Static_assert(sizeof(struct wire_header) == 16, "wire header");
_Static_assert(sizeof(struct wire_hello) == 8, "wire hello");
_Static_assert(sizeof(struct wire_hello_reply) == 120, "wire hello's reply");
_Static_assert(sizeof(struct wire_tokens_reply) == 520, "wire tokens' reply");
_Static_assert(sizeof(struct keyslot) == 1944, "key slot");
_Static_assert(sizeof(struct wire_unlock) == 1964, "wire unlock");
_Static_assert(sizeof(struct wire_add_slot) == 96, "wire add slot");
_Static_assert(sizeof(struct wire_ticket) == 40, "wire ticket");
_Static_assert(sizeof(struct wire_redeem_reply) == 24, "wire redeem's reply");
_Static_assert(sizeof(struct wire_queue) == 8, "wire queue");
_Static_assert(sizeof(struct wire_handle) == 32, "wire handle");
_Static_assert(sizeof(struct wire_renew) == 8, "wire renew");
_Static_assert(sizeof(struct wire_status_reply) == 112, "wire status' reply");
_Static_assert(sizeof(struct wire_header) + sizeof(struct wire_unlock) +
			       WIRE_PASSPHRASE_MAX <=
		       WIRE_MESSAGE_MAX,
	       "the largest message fits");

#endif
