/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ways in which a worker of hsmfs could do its requests' I/O on backing files, for
 * bench/store_bench.c. One thread only. Whatever fails ends the program.
 */
#ifndef BENCH_STORE_WAY_H
#define BENCH_STORE_WAY_H

#include <stdbool.h>
#include <stdint.h>

enum { STORE_NR_FILES = 2, STORE_NR_IOS = 9, STORE_BUF_BYTES = 1024 * 1024 };

struct store_way {
	const char *name;
	bool peeks;	 /* reads by RWF_NOWAIT first */
	bool ring;	 /* then by io_uring; else looks again, as fs/fetch.c does */
	bool registered; /* with registered buffers and files */
	bool together;	 /* one system call for all that is there to be submitted */
};

struct store_io {
	unsigned file; /* which of those that were given */
	bool write;
	uint32_t len; /* up to STORE_BUF_BYTES */
	uint64_t off;
	uint64_t nr_done; /* so many times */
	/* the way's own */
	bool busy;
	uint8_t *buf;
	uint32_t done_len;
	uint64_t since_ns;
};

/* All that there are, the first one with pread and pwrite alone, up to a name of NULL. */
extern const struct store_way store_ways[];

/* Gives the @ios their buffers. @fds stay the caller's. */
void store_init(const int fds[STORE_NR_FILES], struct store_io ios[STORE_NR_IOS]);
void store_fini(void);

/* NULL, or why this machine has no such way. */
const char *store_unavailable(const struct store_way *way);

/* It may be done afterwards; if it is not, it is busy. */
void store_start(const struct store_way *way, struct store_io *io);

/*
 * Brings what is busy forward. Without @others, waits until one more is done; with them,
 * which are to be served meanwhile, only until @others' own is.
 */
void store_collect(const struct store_way *way, struct store_io *ios, unsigned nr_ios,
		   const struct store_io *others);

uint64_t store_now_ns(void);

/* Ends the program, saying @what, unless @rc is 0 or more (else -errno). */
void store_expect(long rc, const char *what);

#endif
