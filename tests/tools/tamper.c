/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Damages the backing files of many small files, each in one way, and then looks at what
 * the mount makes of it. Every file has a size of its own, by which its backing file is
 * known, and content that follows from its number.
 *
 *   tamper make   DIR NR          writes the files in the mounted directory DIR
 *   tamper damage CIPHER LOG SEED on the closed volume; says in LOG what was done
 *   tamper check  DIR NR LOG      no byte may be wrong, no undamaged page unreadable
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/volume/layout.h"

enum { MAX_FILES = 4000, MAX_PAGES = 12, MAX_PLAIN = MAX_PAGES * PAGE_DATA_BYTES };

/* What a file's page may do when it is read. */
enum fate {
	INTACT,	  /* must be right */
	DAMAGED,  /* must be EIO */
	DOUBTFUL, /* right, EIO, or, behind a cut, not there: never wrong */
	OTHERS,	  /* EIO, or the partner's: page 0 is what says whose file it is */
};

struct victim {
	int number;
	char *path;
	int fd;
	uint64_t plain;
	uint64_t pages;
	uint64_t backing;
	enum fate fate[MAX_PAGES + 2];
};

static uint64_t state = 88172645463325252u;

static uint64_t draw(uint64_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % below;
}

__attribute__((noreturn)) static void die(const char *what)
{
	fprintf(stderr, "tamper: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* Sizes from two to MAX_PAGES pages; no two alike. */
static uint64_t plain_size(int number)
{
	uint64_t span = MAX_PLAIN - 2 * PAGE_DATA_BYTES - 100;
	uint64_t step = (uint64_t)number * 1597 % MAX_FILES; /* a permutation */

	return PAGE_DATA_BYTES + 200 + step * (span / MAX_FILES);
}

static void content(int number, uint8_t *out, uint64_t len)
{
	uint64_t x = (uint64_t)number * 0x9e3779b97f4a7c15u + 99;

	for (uint64_t i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		out[i] = (uint8_t)(x >> 32);
	}
}

static void file_name(const char *dir, int number, char *path, size_t len)
{
	snprintf(path, len, "%s/file-%04d", dir, number);
}

static int make(const char *dir, int nr)
{
	static uint8_t data[MAX_PLAIN];
	char path[4096];

	for (int i = 0; i < nr; i++) {
		file_name(dir, i, path, sizeof(path));
		int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);

		content(i, data, plain_size(i));
		if (fd < 0 || write(fd, data, plain_size(i)) != (ssize_t)plain_size(i) ||
		    close(fd))
			die(path);
	}
	return 0;
}

/* --- damaging ------------------------------------------------------------------- */

static void get(struct victim *v, uint64_t at, void *buf, size_t len)
{
	if (pread(v->fd, buf, len, (off_t)at) != (ssize_t)len)
		die("read backing file");
}

static void put(struct victim *v, uint64_t at, const void *buf, size_t len)
{
	if (pwrite(v->fd, buf, len, (off_t)at) != (ssize_t)len)
		die("write backing file");
}

static size_t page_len(struct victim *v, uint64_t page)
{
	uint64_t left = v->backing - page * PAGE_BYTES;

	return left < PAGE_BYTES ? (size_t)left : PAGE_BYTES;
}

static void flip(struct victim *v, uint64_t at, uint8_t mask)
{
	uint8_t byte;

	get(v, at, &byte, 1);
	byte ^= mask;
	put(v, at, &byte, 1);
}

static void all_pages(struct victim *v, enum fate fate)
{
	for (uint64_t i = 0; i < v->pages; i++)
		v->fate[i] = fate;
}

/* Bytes up to the end of page 0's header say whose pages the others are. */
static bool is_header(uint64_t page, uint64_t at)
{
	return page == 0 && at < PAGE_SEAL_BYTES + PAGE_HEADER_BYTES;
}

static void zero(struct victim *v, uint64_t at, size_t len)
{
	static const uint8_t zeros[PAGE_BYTES];

	put(v, at, zeros, len);
}

/* What a way of damaging works on: drawn pages, @inner not being the first. */
struct target {
	struct victim *v, *other;
	uint64_t page, inner;
};

static void flip_bit(struct target *t)
{
	struct victim *v = t->v;
	uint64_t at = draw(page_len(v, t->page));

	flip(v, t->page * PAGE_BYTES + at, (uint8_t)(1 << draw(8)));
	if (is_header(t->page, at) && at >= PAGE_SEAL_BYTES)
		all_pages(v, DOUBTFUL);
	v->fate[t->page] = DAMAGED;
}

static void flip_header(struct target *t)
{
	flip(t->v, PAGE_SEAL_BYTES + draw(PAGE_HEADER_BYTES), (uint8_t)(1 << draw(8)));
	all_pages(t->v, DOUBTFUL);
	t->v->fate[0] = DAMAGED;
}

/* In a sparse file a page of zeros would be a hole. */
static void claim_sparse(struct target *t)
{
	struct victim *v = t->v;

	flip(v, PAGE_SEAL_BYTES + PAGE_ID_BYTES, FILE_SPARSE);
	zero(v, t->inner * PAGE_BYTES, page_len(v, t->inner));
	all_pages(v, DOUBTFUL);
	v->fate[0] = DAMAGED;
	v->fate[t->inner] = DAMAGED;
}

static void zero_page(struct target *t)
{
	zero(t->v, t->page * PAGE_BYTES, page_len(t->v, t->page));
	if (t->page == 0)
		all_pages(t->v, DOUBTFUL);
	t->v->fate[t->page] = DAMAGED;
}

static void zero_part(struct target *t)
{
	uint64_t at = draw(page_len(t->v, t->page) - 20);

	zero(t->v, t->page * PAGE_BYTES + at, 20);
	if (is_header(t->page, at))
		all_pages(t->v, DOUBTFUL);
	t->v->fate[t->page] = DAMAGED;
}

static void cut(struct victim *v, uint64_t size)
{
	uint64_t page = size / PAGE_BYTES;

	if (ftruncate(v->fd, (off_t)size))
		die("truncate");
	for (uint64_t i = page; i < v->pages; i++)
		v->fate[i] = DOUBTFUL;
	v->fate[size % PAGE_BYTES ? page : page - 1] = DAMAGED;
	/* Less than a page's overhead is no page: the one before it is the last. */
	if (size % PAGE_BYTES && size % PAGE_BYTES <= page_overhead(page)) {
		v->fate[page] = DOUBTFUL;
		v->fate[page - 1] = DOUBTFUL;
	}
}

static void cut_at_page(struct target *t)
{
	cut(t->v, t->inner * PAGE_BYTES);
}

static void cut_inside(struct target *t)
{
	cut(t->v, t->v->backing - 1 - draw(t->v->backing - PAGE_BYTES - 1));
}

static void add(struct victim *v, const uint8_t *page)
{
	uint8_t last[PAGE_BYTES] = {0};
	uint64_t end = v->pages * PAGE_BYTES;

	get(v, (v->pages - 1) * PAGE_BYTES, last, page_len(v, v->pages - 1));
	put(v, (v->pages - 1) * PAGE_BYTES, last, PAGE_BYTES);
	put(v, end, page, PAGE_BYTES);
	v->fate[v->pages - 1] = DOUBTFUL;
	v->fate[v->pages] = DAMAGED;
}

static void add_zeros(struct target *t)
{
	const uint8_t zeros[PAGE_BYTES] = {0};

	add(t->v, zeros);
}

static void add_copy(struct target *t)
{
	uint8_t page[PAGE_BYTES] = {0};

	get(t->v, t->page * PAGE_BYTES, page, page_len(t->v, t->page));
	add(t->v, page);
}

/* Page @p of @a and page @q of @b change places; the shorter one is padded. */
static void swap(struct victim *a, uint64_t p, struct victim *b, uint64_t q)
{
	uint8_t one[PAGE_BYTES] = {0}, two[PAGE_BYTES] = {0};

	get(a, p * PAGE_BYTES, one, page_len(a, p));
	get(b, q * PAGE_BYTES, two, page_len(b, q));
	put(a, p * PAGE_BYTES, two, page_len(a, p));
	put(b, q * PAGE_BYTES, one, page_len(b, q));
	a->fate[p] = DAMAGED;
	b->fate[q] = DAMAGED;
}

static void swap_within(struct target *t)
{
	uint64_t others = t->v->pages - 1;

	if (others < 2)
		zero_page(t);
	else
		swap(t->v, t->inner, t->v, 1 + (t->inner + draw(others - 1)) % others);
}

static void swap_between(struct target *t)
{
	uint64_t page = t->inner < t->other->pages ? t->inner : t->other->pages - 1;

	swap(t->v, page, t->other, page);
}

static void swap_first(struct target *t)
{
	swap(t->v, 0, t->other, 0);
	all_pages(t->v, DAMAGED);
	all_pages(t->other, DAMAGED);
	t->v->fate[0] = t->other->fate[0] = OTHERS;
}

static void swap_page_0(struct target *t)
{
	swap(t->v, 0, t->v, t->inner);
	all_pages(t->v, DOUBTFUL);
	t->v->fate[0] = DAMAGED;
	t->v->fate[t->inner] = DAMAGED;
}

static void copy_within(struct target *t)
{
	uint8_t page[PAGE_BYTES] = {0};
	uint64_t to = (t->page + 1) % t->v->pages;

	get(t->v, t->page * PAGE_BYTES, page, page_len(t->v, t->page));
	put(t->v, to * PAGE_BYTES, page, page_len(t->v, to));
	if (to == 0)
		all_pages(t->v, DOUBTFUL);
	t->v->fate[to] = DAMAGED;
}

static const struct way {
	const char *name;
	void (*damage)(struct target *t);
	bool two; /* works on two files */
} ways[] = {
	{"flip-bit", flip_bit, false},	       {"flip-header", flip_header, false},
	{"claim-sparse", claim_sparse, false}, {"zero-page", zero_page, false},
	{"zero-part", zero_part, false},       {"cut-at-page", cut_at_page, false},
	{"cut-inside", cut_inside, false},     {"add-zeros", add_zeros, false},
	{"add-copy", add_copy, false},	       {"swap-within", swap_within, false},
	{"swap-between", swap_between, true},  {"swap-first", swap_first, true},
	{"swap-page-0", swap_page_0, false},   {"copy-within", copy_within, false},
};

/* The backing files of numbered files, found by their size. */
static void find_victims(const char *cipher, struct victim *victims)
{
	char path[4096];
	struct dirent *entry;
	struct stat st;
	DIR *dir = opendir(cipher);

	if (!dir)
		die(cipher);
	while ((entry = readdir(dir))) {
		snprintf(path, sizeof(path), "%s/%s", cipher, entry->d_name);
		if (lstat(path, &st) || !S_ISREG(st.st_mode))
			continue;
		for (int i = 0; i < MAX_FILES; i++) {
			struct victim *v = &victims[i];

			if (layout_backing_size(plain_size(i)) != (uint64_t)st.st_size)
				continue;
			v->number = i;
			v->plain = plain_size(i);
			v->pages = layout_pages(v->plain);
			v->backing = (uint64_t)st.st_size;
			v->path = strdup(path);
			if (!v->path)
				die("strdup");
		}
	}
	closedir(dir);
}

static void open_victim(struct victim *v)
{
	v->fd = open(v->path, O_RDWR | O_CLOEXEC);
	if (v->fd < 0)
		die(v->path);
}

static void log_victim(FILE *log, const struct victim *v, const struct victim *partner,
		       const struct way *way)
{
	fprintf(log, "%d %d %s ", v->number, partner->number, way->name);
	for (uint64_t i = 0; i < MAX_PAGES + 2; i++)
		fputc("-!?o"[v->fate[i]], log);
	fputc('\n', log);
}

static void damage_file(const struct way *way, struct victim *v, struct victim *other)
{
	struct target target = {.v = v, .other = other};

	target.page = draw(v->pages);
	target.inner = 1 + draw(v->pages - 1);
	open_victim(v);
	open_victim(other);
	way->damage(&target);
	close(v->fd);
	close(other->fd);
}

static int damage(const char *cipher, const char *log_path)
{
	static struct victim victims[MAX_FILES];
	FILE *log = fopen(log_path, "w");
	int nr = 0;

	if (!log)
		die(log_path);
	find_victims(cipher, victims);
	for (; nr < MAX_FILES && victims[nr].path; nr++)
		;
	for (int i = 0; i + 1 < nr; i++) {
		const struct way *way = &ways[draw(sizeof(ways) / sizeof(ways[0]))];

		damage_file(way, &victims[i], &victims[i + 1]);
		log_victim(log, &victims[i], &victims[i + 1], way);
		if (way->two) {
			log_victim(log, &victims[i + 1], &victims[i], way);
			i++;
		}
	}
	printf("%d files damaged\n", nr);
	return fclose(log) || nr < 2 ? 2 : 0;
}

/* --- checking ------------------------------------------------------------------- */

static int failures;

static void complain(const char *line, const char *what, uint64_t page)
{
	if (failures++ < 40)
		printf("page %llu: %s: %s", (unsigned long long)page, what, line);
}

/* Reads exactly one page's content past the page cache, so that neighbours play no part.
 */
static void check_page(int fd, const char *line, const uint8_t *truth, uint64_t size,
		       uint64_t page, char fate)
{
	static uint8_t buf[PAGE_BYTES];
	uint64_t start = layout_page_start(page);
	bool there = start < size;
	size_t len = there ? layout_content(page, size) : PAGE_DATA_BYTES;
	ssize_t got = pread(fd, buf, len, (off_t)start);

	if (got < 0) {
		if (errno != EIO)
			complain(line, strerror(errno), page);
		else if (fate == '-' && there)
			complain(line, "unreadable though intact", page);
		return;
	}
	if (!there && got > 0)
		complain(line, "content behind the end", page);
	else if (memcmp(buf, truth + start, (size_t)got))
		complain(line, "wrong data", page);
	else if (fate == '!' && got > 0)
		complain(line, "damaged page was read", page);
	else if (fate == '-' && there && got != (ssize_t)len)
		complain(line, "short", page);
}

/* Front to back through the page cache, as programs read. */
static void check_stream(const char *path, const char *line, const uint8_t *truth,
			 uint64_t size, bool damaged)
{
	static uint8_t buf[MAX_PLAIN * 2];
	uint64_t at = 0;
	ssize_t got;
	int fd = open(path, O_RDONLY);

	if (fd < 0) {
		if (errno != EIO || !damaged)
			complain(line, "open", 0);
		return;
	}
	while ((got = read(fd, buf, 5000)) > 0) {
		if (at + (uint64_t)got > size || memcmp(buf, truth + at, (size_t)got)) {
			complain(line, "wrong data in a stream", at / PAGE_DATA_BYTES);
			break;
		}
		at += (uint64_t)got;
	}
	if (got == 0 && damaged)
		complain(line, "read to the end without an error", at / PAGE_DATA_BYTES);
	if (got == 0 && !damaged && at != size)
		complain(line, "too short", at / PAGE_DATA_BYTES);
	close(fd);
}

/* What each page should hold; where page 0 is another file's, that file's. */
static void load_truth(uint8_t *truth, int number, int partner, const char *fates)
{
	static uint8_t other[MAX_PLAIN];

	content(number, truth, plain_size(number));
	if (fates[0] != 'o')
		return;
	content(partner, other, PAGE_DATA0_BYTES);
	memcpy(truth, other, PAGE_DATA0_BYTES);
}

static void check_file(const char *dir, int number, int partner, const char *line,
		       const char *fates)
{
	static uint8_t truth[MAX_PLAIN * 2];
	uint64_t size = plain_size(number), pages = layout_pages(size);
	char path[4096];
	int fd;

	load_truth(truth, number, partner, fates);
	file_name(dir, number, path, sizeof(path));
	check_stream(path, line, truth, size, strpbrk(fates, "!?o"));
	fd = open(path, O_RDONLY | O_DIRECT);
	if (fd < 0) {
		if (errno != EIO || memchr(fates, '-', pages))
			complain(line, "cannot be opened", 0);
		return;
	}
	for (uint64_t i = 0; i <= pages; i++)
		check_page(fd, line, truth, size, i, fates[i]);
	close(fd);
}

static int check(const char *dir, int nr, const char *log_path)
{
	static bool done[MAX_FILES];
	char line[256], how[64], fates[64];
	FILE *log = fopen(log_path, "r");
	int number, partner;

	if (!log)
		die(log_path);
	while (fgets(line, sizeof(line), log)) {
		if (sscanf(line, "%d %d %63s %63s", &number, &partner, how, fates) != 4 ||
		    number < 0 || number >= MAX_FILES)
			die("bad log");
		check_file(dir, number, partner, line, fates);
		done[number] = true;
	}
	fclose(log);
	for (number = 0; number < nr; number++)
		if (!done[number])
			check_file(dir, number, number, "undamaged\n", "--------------");
	return failures ? 1 : 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "make") && atoi(argv[3]) <= MAX_FILES)
		return make(argv[2], atoi(argv[3]));
	if (argc == 5 && !strcmp(argv[1], "damage")) {
		state += strtoull(argv[4], NULL, 0) * 0x9e3779b97f4a7c15u;
		return damage(argv[2], argv[3]);
	}
	if (argc == 5 && !strcmp(argv[1], "check"))
		return check(argv[2], atoi(argv[3]), argv[4]);
	fprintf(stderr, "usage: tamper make|damage|check ...\n");
	return 2;
}
