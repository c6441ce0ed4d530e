/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsx [-s SEED] [-n OPERATIONS] [-p PROCESSES] [-r ROUNDS] [-m COMMAND] [-u COMMAND] [-t]
 * [-d] DIR
 *
 * Random operations of several processes, each compared with a copy in memory: on files
 * of their own, on two files of which each process owns stripes, and on one that all
 * append to. Between rounds no file is open and the command of -m runs (a remount); that
 * of -u (a suspend and resume) runs once in each round, while the others go on. With -d
 * all reads and writes are direct, so that a page of a memory map must have one owner.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/tools/fsx/fsx.h"

enum { MOST_WORKERS = 16, BYTE_STRIPE = 3001, PAGE_STRIPE = 8192 };

struct run {
	const char *directory, *remount, *suspend;
	unsigned long seed, operations;
	unsigned nr_workers, rounds;
	bool times, direct;
	struct fsx_worker *workers;
	pid_t pids[MOST_WORKERS];
	unsigned nr_alive;
	atomic_ulong *steps;
};

static void *shared_memory(size_t len)
{
	void *memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			    -1, 0);

	if (memory == MAP_FAILED) {
		perror("fsx: mmap");
		exit(2);
	}
	return memory;
}

static void name_file(const struct run *run, struct fsx_worker *w, size_t i,
		      const char *name, size_t stripe)
{
	struct fsx_file *file = &w->files[i];

	if (stripe)
		snprintf(file->path, FSX_PATH, "%s/%s", run->directory, name);
	else
		snprintf(file->path, FSX_PATH, "%s/%s-%u", run->directory, name, w->id);
	file->stripe = stripe;
	file->shares_pages = stripe % 4096;
	file->never_cached = run->direct;
}

static void prepare(struct run *run)
{
	run->workers = shared_memory(run->nr_workers * sizeof(*run->workers));
	run->steps = shared_memory(sizeof(*run->steps));
	for (unsigned i = 0; i < run->nr_workers; i++) {
		struct fsx_worker *w = &run->workers[i];

		w->id = i;
		w->nr_workers = run->nr_workers;
		w->suspends = run->suspend;
		w->random = (run->seed * MOST_WORKERS + i) * 0x9e3779b97f4a7c15u + 1;
		name_file(run, w, 0, "one", 0);
		name_file(run, w, 1, "two", 0);
		name_file(run, w, 2, "bytes", BYTE_STRIPE);
		name_file(run, w, 3, "pages", PAGE_STRIPE);
		snprintf(w->log, FSX_PATH, "%s/log", run->directory);
	}
}

static void work(struct run *run, struct fsx_worker *w, unsigned long steps)
{
	fsx_note(w, "open and compare all");
	fsx_open(w);
	fsx_check_all(w);
	while (steps--) {
		fsx_step(w);
		atomic_fetch_add(run->steps, 1);
	}
	fsx_close(w);
}

static void end_with(struct run *run, const char *why)
{
	for (unsigned i = 0; i < run->nr_workers; i++) {
		if (run->pids[i] > 0)
			kill(run->pids[i], SIGKILL);
	}
	printf("fsx: %s after %lu operations, seed %lu\n", why, atomic_load(run->steps),
	       run->seed);
	exit(1);
}

static void command(struct run *run, const char *what)
{
	if (what && system(what))
		end_with(run, "a command failed");
}

/* Reaps who is done. */
static void look_after(struct run *run)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (unsigned i = 0; i < run->nr_workers; i++) {
			if (run->pids[i] == pid)
				run->pids[i] = 0;
		}
		run->nr_alive--;
		if (status)
			end_with(run, "a worker failed");
	}
}

static void play_round(struct run *run, unsigned long steps)
{
	unsigned long suspend_at = atomic_load(run->steps) + (unsigned long)random() %
								     (steps + 1) *
								     run->nr_workers;
	const char *suspend = run->suspend;

	fflush(stdout);
	for (unsigned i = 0; i < run->nr_workers; i++) {
		run->pids[i] = fork();
		if (run->pids[i] < 0)
			end_with(run, "fork failed");
		if (!run->pids[i]) {
			work(run, &run->workers[i], steps);
			exit(0);
		}
		run->nr_alive++;
	}
	while (run->nr_alive) {
		if (suspend && atomic_load(run->steps) >= suspend_at) {
			command(run, suspend);
			suspend = NULL;
		}
		look_after(run);
		usleep(1000);
	}
}

/* Each worker's records are there, whole and in its order. */
static bool check_log(const struct run *run)
{
	uint32_t next[MOST_WORKERS] = {0}, record[64];
	FILE *log = fopen(run->workers[0].log, "r");
	bool good = log;

	while (good && fread(record, 4, 3, log) == 3) {
		size_t words = record[2];

		good = record[0] < run->nr_workers && words >= 3 && words < 64 &&
		       record[1] == next[record[0]]++ &&
		       fread(record + 3, 4, words - 3, log) == words - 3;
		for (size_t i = 3; good && i < words; i++)
			good = record[i] == record[1] + i;
	}
	for (unsigned i = 0; good && i < run->nr_workers; i++)
		good = next[i] == run->workers[i].nr_logged;
	if (log)
		fclose(log);
	return good;
}

/* A remount changes no time. */
static void check_times(struct run *run, bool remember)
{
	for (size_t i = 0; i < run->nr_workers * FSX_FILES; i++) {
		struct fsx_file *file = &run->workers[i / FSX_FILES].files[i % FSX_FILES];
		struct stat st;

		if (stat(file->path, &st))
			end_with(run, "stat failed");
		if (!remember && run->times &&
		    (st.st_mtim.tv_sec != file->mtime.tv_sec ||
		     st.st_mtim.tv_nsec != file->mtime.tv_nsec)) {
			printf("fsx: %s: mtime is %ld.%09ld, was %ld.%09ld\n", file->path,
			       (long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
			       (long)file->mtime.tv_sec, file->mtime.tv_nsec);
			end_with(run, "a remount has changed a time");
		}
		file->mtime = st.st_mtim;
	}
}

static unsigned long number(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 0);

	if (!*text || *end) {
		fprintf(stderr, "fsx: not a number: %s\n", text);
		exit(2);
	}
	return value;
}

static void parse(struct run *run, int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "s:n:p:r:m:u:td")) != -1) {
		switch (c) {
		case 's':
			run->seed = number(optarg);
			break;
		case 'n':
			run->operations = number(optarg);
			break;
		case 'p':
			run->nr_workers = (unsigned)number(optarg);
			break;
		case 'r':
			run->rounds = (unsigned)number(optarg);
			break;
		case 'm':
			run->remount = optarg;
			break;
		case 'u':
			run->suspend = optarg;
			break;
		case 't':
			run->times = true;
			break;
		case 'd':
			run->direct = true;
			break;
		default:
			exit(2);
		}
	}
	if (argc - optind != 1 || !run->rounds || !run->nr_workers ||
	    run->nr_workers > MOST_WORKERS) {
		fprintf(stderr,
			"usage: fsx [-s SEED] [-n OPERATIONS] [-p PROCESSES (1 to %d)] "
			"[-r ROUNDS] [-m REMOUNT] [-u SUSPEND] [-t] [-d] DIR\n",
			MOST_WORKERS);
		exit(2);
	}
	run->directory = argv[optind];
}

int main(int argc, char **argv)
{
	struct run run = {.seed = (unsigned long)getpid(),
			  .operations = 10000,
			  .nr_workers = 8,
			  .rounds = 4};

	parse(&run, argc, argv);
	srandom((unsigned)run.seed);
	printf("fsx: seed %lu\n", run.seed);
	prepare(&run);
	for (unsigned i = 0; i < run.rounds; i++) {
		play_round(&run, run.operations / run.rounds / run.nr_workers);
		check_times(&run, true);
		command(&run, run.remount);
		check_times(&run, false);
		if (!check_log(&run))
			end_with(&run, "lines of the log are lost or torn");
	}
	/* the last round's remount is looked at too */
	play_round(&run, 1);
	printf("fsx: %lu operations\n", atomic_load(run.steps));
	return 0;
}
