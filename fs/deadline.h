/* SPDX-License-Identifier: Apache-2.0 */
/* What time it is and when to stop waiting, by CLOCK_MONOTONIC, which nobody sets. */
#ifndef FS_DEADLINE_H
#define FS_DEADLINE_H

#include <stdint.h>
#include <time.h>

static inline uint64_t monotonic_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* For pthread_cond_clockwait(3) and the like: @ms milliseconds, fewer than 1000, from
 * now. */
static inline struct timespec deadline_in(unsigned ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)ms * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	return until;
}

#endif
