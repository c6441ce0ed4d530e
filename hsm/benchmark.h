/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HSM_BENCHMARK_H
#define HSM_BENCHMARK_H

/*
 * Measures, in about two seconds, every engine of this program and what the rotation of
 * handles adds to an operation, and prints one JSON object:
 *
 *   {"engines": [ENGINE, ...],
 *    "handles": {"extent_kib": N, "kept_ns": X, "rotating_ns": X}}
 *   ENGINE: {"engine": NAME, "available": BOOL, "default": BOOL, "extents": [EXTENT,
 * ...]} EXTENT: {"extent_kib": N, "seal_mib_s": X, "open_mib_s": X}
 *
 * The default is the engine that hsmd takes when none is named; one that this processor
 * cannot run is not available and has no extents. Times are of one operation, sealing,
 * with one handle for all of them and with a new one for each. Serves nobody: opens no
 * token, socket or file, and works under a key that it throws away. Returns the exit
 * code: 0, or 1 with a sentence on standard error.
 */
int benchmark_run(void);

#endif
