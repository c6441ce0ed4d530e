/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps a queue's thread off the core on which its client looks for answers: the kernel
 * wakes a thread beside its waker, and from there on the two would take turns. Which core
 * that is the client says, so it is a hint: the worst it can do is to have its own
 * queue's thread moved two hundred times a second.
 */
#ifndef HSM_APART_H
#define HSM_APART_H

#include <stdint.h>

struct apart {
	uint64_t next_ms; /* not moved again before */
};

/*
 * Moves the calling thread to another core that it may use if it runs on core number
 * @peer_core. For a thread that has nothing to do just now.
 */
void apart_keep(struct apart *apart, uint32_t peer_core);

#endif
