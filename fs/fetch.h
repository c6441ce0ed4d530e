/* SPDX-License-Identifier: Apache-2.0 */
/* Reading backing pages for requests, when others may wait to be received. */
#ifndef FS_FETCH_H
#define FS_FETCH_H

#include <stdint.h>

struct worker;

/*
 * Like pages_read_backing(). What is not in memory is waited for without keeping
 * requests that are there from being received.
 */
int fetch_backing(struct worker *w, int fd, void *buf, uint64_t len, uint64_t off);

#endif
