/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clock of leases and handles: CLOCK_BOOTTIME, which goes on while a laptop sleeps.
 * Tests set their own source. Thread-safe once set.
 */
#ifndef HSM_CLOCK_H
#define HSM_CLOCK_H

#include <stdint.h>

/* Milliseconds since boot, sleep included. */
uint64_t clock_now_ms(void);

/* Replaces the source; NULL restores CLOCK_BOOTTIME. */
void clock_set_source(uint64_t (*source)(void));

#endif
