/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit log: audit.jsonl in the state directory, one JSON object a line, each with
 * the SHA-256 of the line before, so that a line that was changed, removed or put in is
 * found (hsm/PROTOCOL.md). It has no key, passphrase, file name or path in it. When it is
 * long it is put aside, and the oldest of those that were is removed.
 *
 * One log per process; every call but audit_open() and audit_close() is thread-safe and,
 * without an open log, does nothing. An event that cannot be written goes to syslog and
 * is counted in the next that can.
 */
#ifndef HSM_AUDIT_H
#define HSM_AUDIT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "hsm/api/keyslot.h"

enum audit_event {
	AUDIT_START,
	AUDIT_STOP,
	AUDIT_TORN,    /* the line before was cut off by a crash */
	AUDIT_ROTATED, /* the log was put aside and another begun */
	AUDIT_TOKEN,   /* a TPM was opened; tpm */
	AUDIT_CREATE,
	AUDIT_UNLOCK, /* slot, result */
	AUDIT_SLOT,   /* a key slot was made; slot, tpm, result */
	AUDIT_LOCK,
	AUDIT_LEASE_OVER,
	AUDIT_HANDLES, /* count handles were refused since the last such line */
	AUDIT_LIMIT,   /* count operations were over the limit of opened bytes */
};

struct audit_record {
	enum audit_event event;
	pid_t pid;	     /* the client's, or 0 */
	const uint8_t *uuid; /* KEYSLOT_UUID_BYTES, or NULL */
	const uint8_t *tpm;  /* KEYSLOT_TPM_NAME_BYTES, or NULL */
	int slot;	     /* or -1 */
	int result;	     /* 0 or -errno */
	uint64_t count;	     /* or 0 */
};

/*
 * Opens or makes the log in @state_dir and goes on with its chain. 0, -EBUSY (another
 * hsmd writes it), or -errno with one sentence in @why.
 */
int audit_open(const char *state_dir, char *why, size_t why_len);
void audit_close(void);

/* Appends one line and waits until it is on disk. */
void audit_write(const struct audit_record *record);

/*
 * Counts a refusal of session @uuid. The first is written at once and those after it
 * summed up, a line a minute at most, without waiting for the disk.
 */
void audit_refused(enum audit_event event, const uint8_t uuid[KEYSLOT_UUID_BYTES]);

#endif
