/* SPDX-License-Identifier: Apache-2.0 */
/* A client's arena as the HSM sees it. */
#ifndef HSM_ARENA_H
#define HSM_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena {
	uint8_t *base;
	size_t len; /* fixed: the memfd is sealed against resizing */
};

/* The bytes [off, off + len) of the arena, or NULL when they are not all inside. */
static inline uint8_t *arena_range(const struct arena *arena, uint32_t off, uint64_t len)
{
	return (uint64_t)off + len <= arena->len ? arena->base + off : NULL;
}

#endif
