/* SPDX-License-Identifier: Apache-2.0 */
/* What every connection of one hsmd shares. Set up once, then read-only. */
#ifndef HSM_HSM_H
#define HSM_HSM_H

#include <stdint.h>

#include "hsm/api/wire.h"

struct aead_engine;
struct token;

struct hsm {
	const struct aead_engine *engine;
	struct token *tokens[WIRE_TOKENS_MAX];
	uint32_t nr_tokens; /* one at least */
	uint32_t handle_lifetime_ms;
};

#endif
