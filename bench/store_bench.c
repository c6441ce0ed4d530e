/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What I/O on backing files costs: what a request of hsmfs does with them, in each folder
 * that is named, by
 *   plain        pread and pwrite
 *   peek         reads as fs/fetch.c does them: RWF_NOWAIT, again and again, then pread
 *   uring        io_uring, each request submitted by itself
 *   uring-batch  io_uring, all that are there submitted together
 *   fixed, fixed-batch  the same with registered files and buffers
 *   peek-uring   RWF_NOWAIT, and what is not in memory by io_uring
 * One JSON line each, medians of rounds in which all take turns: an operation's time, how
 * many times as fast as the plain way that is, its CPU time and what of that the kernel's
 * own workers used. Some loads have a sibling, who always wants one thing more that is in
 * memory: then the CPU time is that of its operations, too, and how many it got is said.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "bench/store_way.h"

enum {
	NR_ROUNDS = 5,
	NR_WAYS_MAX = 8,
	PAGE = 4096,
	MIB = 1024 * 1024,
	WARM_BYTES = 64 * MIB,
	COLD_MIB = 512, /* one request in each */
	COLD_BYTES = COLD_MIB * MIB,
	SLOW_NS = 250000000, /* then a round of cold requests ends */
};

enum { WARM, COLD };				    /* files */
enum { US, CPU_US, KERNEL_US, OTHERS, NR_FIGURES }; /* of a round */

struct load {
	const char *op;
	uint32_t len;
	unsigned depth; /* requests that are there at the same time */
	unsigned nr;
	bool write, cold;
	bool sibling; /* one more request, for what is in memory, whenever one is done */
};

static const struct load loads[] = {
	{.op = "read", .len = 2 * PAGE, .depth = 1, .nr = 10000},
	{.op = "read", .len = 2 * PAGE, .depth = 8, .nr = 10000},
	{.op = "write", .len = 2 * PAGE, .depth = 1, .nr = 10000, .write = true},
	{.op = "write", .len = 2 * PAGE, .depth = 8, .nr = 10000, .write = true},
	{.op = "read", .len = MIB, .depth = 1, .nr = 200},
	{.op = "read", .len = MIB, .depth = 8, .nr = 200},
	{.op = "write", .len = MIB, .depth = 1, .nr = 200, .write = true},
	{.op = "write", .len = MIB, .depth = 8, .nr = 200, .write = true},
	{.op = "cold read", .len = 2 * PAGE, .depth = 1, .nr = COLD_MIB, .cold = true},
	{.op = "cold read", .len = 2 * PAGE, .depth = 8, .nr = COLD_MIB, .cold = true},
	{"cold read", 2 * PAGE, 1, COLD_MIB, .cold = true, .sibling = true},
	{"cold read", 2 * PAGE, 8, COLD_MIB, .cold = true, .sibling = true},
};

static struct {
	int fds[STORE_NR_FILES];
	struct store_io ios[STORE_NR_IOS]; /* the last is the sibling's */
	unsigned order[COLD_MIB];
	double rounds[NR_WAYS_MAX][NR_FIGURES][NR_ROUNDS];
} s;

static uint64_t cpu_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

/* A file of @bytes that vanishes with its descriptor. */
static int make_file(const char *folder, uint64_t bytes)
{
	static uint8_t block[MIB];
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/store_bench-XXXXXX", folder);
	fd = mkstemp(path);
	store_expect(fd < 0 ? -errno : 0, folder);
	unlink(path);
	for (uint64_t at = 0; at < bytes; at += MIB) {
		store_expect(getentropy(block, 256), "random bytes");
		store_expect(pwrite(fd, block, MIB, (off_t)at) == MIB ? 0 : -EIO, folder);
	}
	return fd;
}

static void drop_cache(int fd)
{
	store_expect(fdatasync(fd) ? -errno : 0, "fdatasync");
	store_expect(-posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), "posix_fadvise");
}

/* Brings it all to memory. */
static void warm_up(int fd, uint64_t bytes)
{
	static uint8_t block[MIB];

	for (uint64_t at = 0; at < bytes; at += MIB)
		store_expect(pread(fd, block, MIB, (off_t)at) == MIB ? 0 : -EIO,
			     "reading");
}

/* Does dropping the cache drop anything? */
static bool can_be_cold(int fd)
{
	unsigned char in_memory[MIB / PAGE];
	void *map = mmap(NULL, MIB, PROT_READ, MAP_SHARED, fd, 0);
	bool cold = true;

	store_expect(map == MAP_FAILED ? -errno : 0, "mmap");
	drop_cache(fd);
	store_expect(mincore(map, MIB, in_memory) ? -errno : 0, "mincore");
	for (int i = 0; i < MIB / PAGE; i++)
		cold &= !(in_memory[i] & 1);
	munmap(map, MIB);
	return cold;
}

static void shuffle(void)
{
	for (unsigned i = 0; i < COLD_MIB; i++) {
		unsigned other = (unsigned)random() % (i + 1);

		s.order[i] = s.order[other];
		s.order[other] = i;
	}
}

/*
 * What is cold lies far apart, so that nothing is in memory because the kernel read ahead
 * for another.
 */
static void place(struct store_io *io, const struct load *load, unsigned nr)
{
	uint64_t room = (load->cold ? MIB : WARM_BYTES) - load->len;

	io->file = load->cold ? COLD : WARM;
	io->write = load->write;
	io->len = load->len;
	io->off = (uint64_t)random() % (room / PAGE + 1) * PAGE;
	if (load->cold)
		io->off += (uint64_t)s.order[nr] * MIB;
}

/* The number of operations that it came to. */
static unsigned run(const struct load *load, const struct store_way *way)
{
	static const struct load warm = {.len = 2 * PAGE};
	struct store_io *sibling = &s.ios[STORE_NR_IOS - 1];
	uint64_t start = store_now_ns();
	unsigned nr = 0, max = load->nr;
	bool busy;

	do {
		for (unsigned i = 0; i < load->depth; i++) {
			if (s.ios[i].busy || nr == max)
				continue;
			place(&s.ios[i], load, nr++);
			store_start(way, &s.ios[i]);
		}
		if (load->sibling) {
			place(sibling, &warm, 0);
			store_start(way, sibling);
		}
		store_collect(way, s.ios, load->depth, load->sibling ? sibling : NULL);
		if (load->cold && store_now_ns() - start > SLOW_NS)
			max = nr;
		busy = nr < max;
		for (unsigned i = 0; i < load->depth; i++)
			busy |= s.ios[i].busy;
	} while (busy);
	return nr;
}

static void measure(const struct load *load, const struct store_way *way, int round)
{
	double(*figures)[NR_ROUNDS] = s.rounds[way - store_ways];
	struct store_io *sibling = &s.ios[STORE_NR_IOS - 1];
	uint64_t start, cpu, own, taken;
	double nr, nr_all;

	if (load->cold) {
		shuffle();
		drop_cache(s.fds[COLD]);
	}
	sibling->nr_done = 0;
	cpu = cpu_ns(CLOCK_PROCESS_CPUTIME_ID);
	own = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
	start = store_now_ns();
	nr = run(load, way) * 1e3;
	taken = store_now_ns() - start;
	own = cpu_ns(CLOCK_THREAD_CPUTIME_ID) - own;
	cpu = cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	nr_all = nr + (double)sibling->nr_done * 1e3;
	figures[US][round] = (double)taken / nr;
	figures[CPU_US][round] = (double)cpu / nr_all;
	figures[KERNEL_US][round] = (double)(cpu - own) / nr_all;
	figures[OTHERS][round] = (double)sibling->nr_done / (double)taken * 1e9;
}

static double median(double rounds[NR_ROUNDS])
{
	qsort(rounds, NR_ROUNDS, sizeof(double), compare_doubles);
	return rounds[NR_ROUNDS / 2];
}

static void report(const char *folder, const struct load *load)
{
	double plain = median(s.rounds[0][US]);

	for (const struct store_way *way = store_ways; way->name; way++) {
		double(*figures)[NR_ROUNDS] = s.rounds[way - store_ways];

		if (store_unavailable(way))
			continue;
		printf("{\"folder\": \"%s\", \"op\": \"%s\", \"kib\": %u, \"depth\": %u, "
		       "\"by\": \"%s\", \"us_per_op\": %.2f, \"times_plain\": %.2f, "
		       "\"cpu_us_per_op\": %.2f, \"kernel_workers_us\": %.2f",
		       folder, load->op, load->len / 1024, load->depth, way->name,
		       median(figures[US]), plain / median(figures[US]),
		       median(figures[CPU_US]), median(figures[KERNEL_US]));
		if (load->sibling)
			printf(", \"sibling_op_s\": %.0f", median(figures[OTHERS]));
		printf("}\n");
	}
	fflush(stdout);
}

static void bench(const char *folder, const struct load *load)
{
	unsigned nr_ways = 0;

	while (store_ways[nr_ways].name)
		nr_ways++;
	store_expect(fdatasync(s.fds[WARM]) ? -errno : 0, "fdatasync");
	for (int round = 0; round < NR_ROUNDS; round++)
		for (unsigned i = 0; i < nr_ways; i++) {
			const struct store_way *way = &store_ways[(i + round) % nr_ways];

			if (!store_unavailable(way))
				measure(load, way, round);
		}
	report(folder, load);
}

static void bench_folder(const char *folder)
{
	bool cold;

	s.fds[WARM] = s.fds[COLD] = make_file(folder, WARM_BYTES);
	cold = can_be_cold(s.fds[WARM]);
	warm_up(s.fds[WARM], WARM_BYTES);
	if (cold)
		s.fds[COLD] = make_file(folder, COLD_BYTES);
	else
		printf("{\"folder\": \"%s\", \"cold\": \"is always in memory\"}\n",
		       folder);
	store_init(s.fds, s.ios);
	for (const struct store_way *way = store_ways; way->name; way++)
		if (store_unavailable(way))
			printf("{\"by\": \"%s\", \"unavailable\": \"%s\"}\n", way->name,
			       store_unavailable(way));
	for (size_t i = 0; i < sizeof(loads) / sizeof(*loads); i++)
		if (cold || !loads[i].cold)
			bench(folder, &loads[i]);
	store_fini();
	close(s.fds[WARM]);
	if (cold)
		close(s.fds[COLD]);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: store_bench FOLDER...\n");
		return 2;
	}
	for (int i = 1; i < argc; i++)
		bench_folder(argv[i]);
	return 0;
}
