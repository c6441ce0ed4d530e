/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <time.h>

#include "hsm/clock.h"

static uint64_t boottime(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

static uint64_t (*source_now)(void) = boottime;

uint64_t clock_now_ms(void)
{
	return source_now();
}

void clock_set_source(uint64_t (*source)(void))
{
	source_now = source ? source : boottime;
}
