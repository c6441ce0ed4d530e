/* SPDX-License-Identifier: Apache-2.0 */
/* The part of the benchmark that hsmd does by itself (hsm/benchmark.h). */
#ifndef MKFS_ENGINES_H
#define MKFS_ENGINES_H

#include <jansson.h>

/*
 * Has hsmd measure its engines and handles, and prints that, or with @out not NULL adds
 * "engines" and "handles" to it. What hsmd says is checked first. 0, or an exit code, the
 * reason having been said.
 */
int engines_benchmark(json_t *out);

#endif
