/* SPDX-License-Identifier: Apache-2.0 */
#include <sched.h>

#include "hsm/apart.h"
#include "hsm/clock.h"

enum { MOVE_EVERY_MS = 5 };

void apart_keep(struct apart *apart, uint32_t peer_core)
{
	cpu_set_t allowed, others;
	int core = sched_getcpu();
	uint64_t now_ms;

	if (core < 0 || (uint32_t)core != peer_core)
		return;
	now_ms = clock_now_ms();
	if (now_ms < apart->next_ms)
		return;
	apart->next_ms = now_ms + MOVE_EVERY_MS;
	/* more cores than a cpu_set_t has: then there is room for both anyhow */
	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return;
	others = allowed;
	CPU_CLR(core, &others);
	if (!CPU_COUNT(&others) || sched_setaffinity(0, sizeof(others), &others))
		return;
	sched_setaffinity(0, sizeof(allowed), &allowed);
}
