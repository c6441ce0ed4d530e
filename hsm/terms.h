/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a ticket's user is limited to, and what it was for each volume the last time: a
 * suspended volume is resumed under the same terms, without anybody being asked who might
 * have an interest in others. Forgotten when hsmd ends. Thread-safe.
 */
#ifndef HSM_TERMS_H
#define HSM_TERMS_H

#include <stdbool.h>
#include <stdint.h>

enum { TERMS_ID_BYTES = 32 };

/* Milliseconds and bytes; UINT64_MAX: no limit. */
struct terms {
	uint64_t lease_ms, idle_ms;
	uint64_t limit_bytes, limit_ms; /* so many in each limit_ms */
};

/*
 * @id: what only who has the volume's key can make. Of many volumes the one that was not
 * remembered for longest is forgotten.
 */
void terms_remember(const uint8_t id[TERMS_ID_BYTES], const struct terms *terms);

/* False when nothing is known of the volume. */
bool terms_recall(const uint8_t id[TERMS_ID_BYTES], struct terms *terms);

/* Whether any volume that is remembered was limited: then it would be a loss to end. */
bool terms_limit_any(void);

#endif
