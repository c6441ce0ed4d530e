/* SPDX-License-Identifier: Apache-2.0 */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "hsm/heap.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_HEAP 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||               \
	__has_feature(memory_sanitizer)
#define OWN_HEAP 0
#endif
#endif
#ifndef OWN_HEAP
#define OWN_HEAP 1
#endif

bool heap_is_wiped(void)
{
	return OWN_HEAP;
}

#if OWN_HEAP
/* glibc's own, under the names that it keeps for replacements. */
void __libc_free(void *ptr);
void *__libc_malloc(size_t size);

void free(void *ptr)
{
	if (ptr)
		explicit_bzero(ptr, malloc_usable_size(ptr));
	__libc_free(ptr);
}

/* glibc's would free the old place unseen. */
void *realloc(void *ptr, size_t size)
{
	size_t had = ptr ? malloc_usable_size(ptr) : 0;
	void *new;

	if (ptr && !size) {
		free(ptr);
		return NULL;
	}
	if (ptr && size <= had && size >= had / 2)
		return ptr;
	new = __libc_malloc(size);
	if (new &&ptr) {
		memcpy(new, ptr, had < size ? had : size);
		free(ptr);
	}
	return new;
}
#endif
