/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for keys and passphrases.
 *
 * Pages come from memfd_secret(2) (not readable through /proc/PID/mem, ptrace or
 * the kernel's direct map); where the kernel has none, from locked, undumpable
 * anonymous memory. Thread-safe. Chunks lie between guard pages.
 *
 * A forked child inherits none of it: it may not touch what its parent allocated, and
 * starts with an empty heap of its own.
 */
#ifndef HSM_API_SECMEM_H
#define HSM_API_SECMEM_H

#include <stddef.h>
#include <stdint.h>

/*
 * Zeroed secret memory of @len bytes, aligned to 64. Freed with secmem_free().
 * Returns NULL when RLIMIT_MEMLOCK (errno EAGAIN) or memory (ENOMEM) is exhausted.
 */
void *secmem_alloc(size_t len);

/*
 * Wipes and releases @ptr; NULL is allowed. Aborts on anything else that is not
 * allocated: a double free, a pointer into the middle, or a parent's pointer.
 */
void secmem_free(void *ptr);

/* Overwrites @len bytes in a way the compiler cannot drop. */
void secmem_wipe(void *ptr, size_t len);

/* Constant-time comparison of @len bytes: 0 when equal. */
int secmem_compare(const void *a, const void *b, size_t len);

/*
 * "memfd_secret" or "mlock": what backs the memory on this kernel. Makes the
 * first chunk if there is none yet.
 */
const char *secmem_kind(void);

/*
 * Routes every OpenSSL allocation of this process through secmem. Call before the
 * first use of OpenSSL. Returns 0 or -EBUSY when OpenSSL has already allocated.
 * Takes about 0.5 MiB. A child forked afterwards may only exec or _exit.
 */
int secmem_adopt_openssl(void);

/*
 * Makes this process undumpable and without core files, so that keys reach
 * neither ptrace of its own user nor a dump. Returns 0 or -errno.
 */
int secmem_harden_process(void);

/*
 * Calls @visit for every chunk of secret memory that exists, for tests that prove
 * a wipe. The chunk must not be kept. Takes the allocator's lock.
 */
void secmem_visit(void (*visit)(const void *chunk, size_t len, void *arg), void *arg);

#endif
