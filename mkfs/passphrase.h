/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passphrases, read as cryptsetup reads them: a line from the terminal or from standard
 * input without its newline, or a key file as it is. They are only ever in secret memory.
 */
#ifndef MKFS_PASSPHRASE_H
#define MKFS_PASSPHRASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PASSPHRASE_LINE_MAX = 512 };

struct passphrase {
	uint8_t *bytes; /* secret memory, or NULL */
	size_t len;
};

/* Where it comes from. */
struct passphrase_source {
	const char *key_file; /* NULL: terminal or stdin; "-": all of stdin */
	uint64_t offset;      /* bytes to skip in the key file */
	uint64_t size;	      /* bytes to take of it; 0: all */
};

/*
 * Reads one. @prompt is shown on a terminal; @verify asks for it twice there. 0 or an
 * exit code, having said why. The caller ends it with passphrase_fini().
 */
int passphrase_read(const struct passphrase_source *source, const char *prompt,
		    bool verify, struct passphrase *out);

/*
 * As passphrase_read() for a passphrase to be: typed twice unless @batch, and not empty
 * unless it is a key file.
 */
int passphrase_read_new(const struct passphrase_source *source, const char *prompt,
			bool batch, struct passphrase *out);

void passphrase_fini(struct passphrase *passphrase);

/* Whether a person types it, who may be asked again. */
bool passphrase_is_typed(const struct passphrase_source *source);

#endif
