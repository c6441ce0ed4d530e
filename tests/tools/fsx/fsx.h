/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_TOOLS_FSX_FSX_H
#define TESTS_TOOLS_FSX_FSX_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum {
	FSX_SIZE = 300000, /* no file gets longer */
	FSX_LEN = 40000,   /* no operation does */
	FSX_HISTORY = 24,
	FSX_FILES = 4,
	FSX_PATH = 4096,
};

/* A file as one worker knows it. */
struct fsx_file {
	char path[FSX_PATH];
	uint8_t model[FSX_SIZE];
	size_t size; /* of a shared file: the end of what this worker wrote */
	/* Of a shared file the worker owns every nr_workers-th stripe; 0: all is its own.
	 */
	size_t stripe;
	/* Stripes share pages of the page cache: all go through it, or none does. */
	bool shares_pages, never_cached;
	struct timespec mtime;	/* before a remount */
	int fd, direct, reader; /* the reader is direct as well, and cannot write */
};

/* Lies in memory that outlives the worker's process: the next one goes on with it. */
struct fsx_worker {
	unsigned id, nr_workers;
	unsigned interrupts;
	bool suspends; /* the volume is suspended now and then */
	uint64_t random;
	unsigned long step;
	unsigned long nr_logged;
	struct fsx_file files[FSX_FILES];
	char log[FSX_PATH];
	int log_fd;
	char history[FSX_HISTORY][100];
	uint8_t buf[FSX_SIZE];
};

/*
 * A call that waits for a suspended volume ends early, with less than was asked for or
 * with EINTR, when its process is stopped and continued (signal(7)). Nothing else may end
 * it so.
 */
#define FSX_DONE(w, condition)                                                           \
	({                                                                               \
		bool done_, again_;                                                      \
		do {                                                                     \
			errno = 0;                                                       \
			done_ = (condition);                                             \
			again_ = !done_ && (errno == EINTR || !errno) &&                 \
				 (w)->interrupts++ < 1000;                               \
		} while (again_ && (w)->suspends);                                       \
		done_;                                                                   \
	})

/* Random numbers. The second: half of them lie near an edge of a page. */
size_t fsx_draw(struct fsx_worker *w, size_t below);
size_t fsx_draw_edge(struct fsx_worker *w, size_t below);

/* Prints @what, errno and the last steps, and ends the process with 1. */
__attribute__((noreturn)) void fsx_fail(struct fsx_worker *w, const char *what);
__attribute__((format(printf, 2, 3))) void fsx_note(struct fsx_worker *w,
						    const char *format, ...);

/* Neither of these fails. */
int fsx_open_fd(struct fsx_worker *w, const char *path, int flags);
void fsx_close_fd(struct fsx_worker *w, int *fd);

/* Opens and closes all files; the first time they are made. */
void fsx_open(struct fsx_worker *w);
void fsx_close(struct fsx_worker *w);
void fsx_reopen(struct fsx_worker *w, struct fsx_file *file);

/* Every byte of the worker's in every file, and every size. */
void fsx_check_all(struct fsx_worker *w);
void fsx_check_size(struct fsx_worker *w, struct fsx_file *file);
/* @got bytes at @off, which the worker owns, against the model. */
void fsx_compare(struct fsx_worker *w, const struct fsx_file *file, const uint8_t *got,
		 size_t off, size_t len);

/* A range of its own to write to, never empty; of whole pages if asked and shared. */
void fsx_draw_range(struct fsx_worker *w, const struct fsx_file *file, bool whole_pages,
		    size_t *off, size_t *len);
/* The model's side of a write. */
void fsx_fill(struct fsx_worker *w, struct fsx_file *file, size_t off, size_t len);
void fsx_grow(struct fsx_file *file, size_t end);

/* One random operation. */
void fsx_step(struct fsx_worker *w);

#endif
