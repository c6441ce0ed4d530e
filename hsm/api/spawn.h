/* SPDX-License-Identifier: Apache-2.0 */
/* Starting hsmd on demand, as gpg starts its agent. */
#ifndef HSM_API_SPAWN_H
#define HSM_API_SPAWN_H

#include <stddef.h>

/*
 * The path of @program beside the calling one, so that a build folder or prefix stays
 * together; else its mere name, for PATH.
 */
void spawn_find(const char *program, char *path, size_t len);

/*
 * Connects to hsmd, starting the one that spawn_find() finds when there is none. Only one
 * of several callers starts it. A descriptor or -errno with one sentence in @why, which
 * is hsmd's own when it could not start.
 */
int spawn_connect(char *why, size_t why_len);

#endif
