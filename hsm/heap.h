/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ordinary memory that is overwritten when it is freed: the TPM libraries free copies of
 * what passed through them without wiping them. Linking heap.c replaces free() and
 * realloc() of the whole program, its shared libraries included.
 */
#ifndef HSM_HEAP_H
#define HSM_HEAP_H

#include <stdbool.h>

/* False under a sanitizer, which has a heap of its own. */
bool heap_is_wiped(void);

#endif
