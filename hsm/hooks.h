/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tests need to know to look for keys where none may be. In the program people run
 * this is nothing; the test build (HSM_TEST_HOOKS) appends every key to the file that
 * $HSMFS_TEST_KEYS names.
 */
#ifndef HSM_HOOKS_H
#define HSM_HOOKS_H

#include <stddef.h>
#include <stdint.h>

#ifdef HSM_TEST_HOOKS
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline void hook_key(const char *label, const uint8_t *key, size_t len)
{
	const char *path = getenv("HSMFS_TEST_KEYS");
	FILE *file = path ? fopen(path, "ae") : NULL;

	if (!file)
		return;
	for (size_t i = 0; i < len; i++)
		fprintf(file, "%02x", key[i]);
	fprintf(file, " %s\n", label);
	fclose(file);
}

/* Where that file is, for the sandbox to leave open; or NULL. */
static inline const char *hook_directory(void)
{
	static char directory[4096];
	const char *path = getenv("HSMFS_TEST_KEYS");
	const char *slash = path ? strrchr(path, '/') : NULL;

	if (!slash || (size_t)(slash - path) >= sizeof(directory))
		return NULL;
	memcpy(directory, path, (size_t)(slash - path));
	return directory;
}
#else
static inline void hook_key(const char *label, const uint8_t *key, size_t len)
{
	(void)label;
	(void)key;
	(void)len;
}

static inline const char *hook_directory(void)
{
	return NULL;
}
#endif

#endif
