/* SPDX-License-Identifier: Apache-2.0 */
/* Starting hsmd on demand, as gpg starts its agent. */
#ifndef HSM_API_SPAWN_H
#define HSM_API_SPAWN_H

#include <stddef.h>

/*
 * Connects to hsmd, starting it when there is none: the one beside the calling program,
 * else the one in PATH. Only one of several callers starts it. A descriptor or -errno
 * with one sentence in @why, which is hsmd's own when it could not start.
 */
int spawn_connect(char *why, size_t why_len);

#endif
