/* SPDX-License-Identifier: Apache-2.0 */
/* Asking a person for a secret. */
#ifndef MKFS_TERMINAL_H
#define MKFS_TERMINAL_H

#include <stddef.h>
#include <stdint.h>

/*
 * Shows @prompt on the controlling terminal (else on stdin's and stderr) and reads one
 * line without echo into @line (@max + 1 bytes of secret memory); the newline is not
 * counted. A signal meanwhile finds the terminal as it was before. 0, -EMSGSIZE (longer
 * than @max), -ENODATA (end of input) or -errno.
 */
int terminal_ask(const char *prompt, uint8_t *line, size_t max, size_t *len);

#endif
