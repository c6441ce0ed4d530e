/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cipher engine that copies instead of encrypting, for measuring what encryption costs.
 * Nothing that people run is linked with it.
 */
#ifndef BENCH_NULL_ENGINE_H
#define BENCH_NULL_ENGINE_H

#include "hsm/crypto/aead.h"

extern const struct aead_engine null_engine;

#endif
