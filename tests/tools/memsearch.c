/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memsearch find PID FILE    searches the whole memory of a process for each of FILE's
 *                            lines "HEX [LABEL]", as bytes and as text of hex digits.
 *                            Prints what it finds; exit 0 found, 1 nothing, 2 trouble.
 * memsearch file DUMP FILE   the same in a file, a core dump for instance
 * memsearch secret PID       exit 0 if the process has memfd_secret memory and none of
 *                            it can be read
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	MAX_PATTERNS = 4096,
	PATTERN_MAX = 256,
	CHUNK = 1 << 20,
	BEGIN_BYTES = sizeof(uint64_t),
	BUCKET_BITS = 16,
};

/*
 * Patterns are found by a hash of how they begin, so that a byte of memory costs the same
 * whatever the keys are: memmem() took minutes when one of them hashed like zeros.
 */
struct pattern {
	struct pattern *next;		/* in its bucket */
	uint64_t begin;			/* the first bytes */
	const struct mapping *found_in; /* the last one, which began there */
	uint64_t found_start;
	uint8_t bytes[PATTERN_MAX];
	size_t len;
	char label[64];
};

struct mapping {
	uint64_t start, end;
	char perms[8];
	char name[256];
};

static struct pattern patterns[MAX_PATTERNS];
static size_t nr_patterns;
static struct pattern *buckets[1 << BUCKET_BITS];

static struct pattern **bucket_of(uint64_t begin)
{
	return &buckets[begin * UINT64_C(0x9e3779b97f4a7c15) >> (64 - BUCKET_BITS)];
}

static void add_pattern(const uint8_t *bytes, size_t len, const char *label,
			const char *form)
{
	struct pattern *p = &patterns[nr_patterns];
	struct pattern **bucket;
	uint64_t begin = 0;

	if (len >= BEGIN_BYTES)
		memcpy(&begin, bytes, BEGIN_BYTES);
	/* zeros are everywhere */
	if (nr_patterns == MAX_PATTERNS || len > PATTERN_MAX || !begin) {
		fprintf(stderr, "memsearch: cannot search for %s\n", label);
		exit(2);
	}
	memcpy(p->bytes, bytes, len);
	p->len = len;
	p->begin = begin;
	snprintf(p->label, sizeof(p->label), "%.40s%s", label, form);
	bucket = bucket_of(begin);
	p->next = *bucket;
	*bucket = p;
	nr_patterns++;
}

static void load_patterns(const char *path)
{
	char line[1024], hex[2 * PATTERN_MAX + 1], label[64];
	uint8_t bytes[PATTERN_MAX];
	FILE *file = fopen(path, "r");
	size_t len, i;
	unsigned byte;

	while (file && fgets(line, sizeof(line), file)) {
		label[0] = '\0';
		if (sscanf(line, "%512[0-9a-f] %63[^\n]", hex, label) < 1)
			continue;
		len = strlen(hex) / 2;
		for (i = 0; i < len; i++) {
			sscanf(hex + 2 * i, "%2x", &byte);
			bytes[i] = (uint8_t)byte;
		}
		add_pattern(bytes, len, label, "");
		if (2 * len <= PATTERN_MAX)
			add_pattern((uint8_t *)hex, 2 * len, label, " (as text)");
	}
	if (!file || !nr_patterns) {
		fprintf(stderr, "memsearch: no patterns in %s\n", path);
		exit(2);
	}
	fclose(file);
}

/* Whether @p is at @at, of which @len bytes are there; tells once for each mapping. */
static bool matches(struct pattern *p, const uint8_t *at, size_t len,
		    const struct mapping *map)
{
	if (p->len > len || memcmp(at, p->bytes, p->len) != 0)
		return false;
	if (p->found_in != map || p->found_start != map->start)
		printf("found %s in %s %s\n", p->label, map->perms, map->name);
	p->found_in = map;
	p->found_start = map->start;
	return true;
}

static bool search(const uint8_t *buf, size_t len, const struct mapping *map)
{
	bool found = false;

	for (size_t i = 0; i + BEGIN_BYTES <= len; i++) {
		uint64_t begin;

		memcpy(&begin, buf + i, BEGIN_BYTES);
		if (!begin)
			continue;
		for (struct pattern *p = *bucket_of(begin); p; p = p->next) {
			if (p->begin == begin)
				found |= matches(p, buf + i, len - i, map);
		}
	}
	return found;
}

/* Chunks overlap by a pattern's length, so that none hides on a border. */
static bool search_mapping(int mem, const struct mapping *map, uint64_t *searched)
{
	static uint8_t buf[CHUNK + PATTERN_MAX];
	bool found = false;

	for (uint64_t at = map->start; at < map->end; at += CHUNK) {
		uint64_t left = map->end - at;
		size_t want = left < sizeof(buf) ? (size_t)left : sizeof(buf);
		ssize_t got = pread(mem, buf, want, (off_t)at);

		if (got <= 0)
			continue;
		*searched += (uint64_t)got;
		found |= search(buf, (size_t)got, map);
	}
	return found;
}

static bool next_mapping(FILE *maps, struct mapping *map)
{
	char line[512];
	unsigned long long start, end;

	if (!fgets(line, sizeof(line), maps))
		return false;
	map->name[0] = '\0';
	if (sscanf(line, "%llx-%llx %7s %*s %*s %*s %255[^\n]", &start, &end, map->perms,
		   map->name) < 3)
		return false;
	map->start = start;
	map->end = end;
	return true;
}

static int find(FILE *maps, int mem)
{
	struct mapping map;
	uint64_t searched = 0;
	bool found = false;

	while (next_mapping(maps, &map))
		found |= search_mapping(mem, &map, &searched);
	printf("%llu bytes searched for %zu patterns\n", (unsigned long long)searched,
	       nr_patterns);
	if (searched < 100000)
		return 2;
	return found ? 0 : 1;
}

static int find_in_file(const char *path)
{
	struct mapping map = {.perms = "file"};
	uint64_t searched = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	off_t end = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	bool found;

	if (end <= 0) {
		fprintf(stderr, "memsearch: nothing to read in %s\n", path);
		return 2;
	}
	map.end = (uint64_t)end;
	found = search_mapping(fd, &map, &searched);
	printf("%llu bytes searched for %zu patterns\n", (unsigned long long)searched,
	       nr_patterns);
	close(fd);
	return found ? 0 : 1;
}

static int secret(FILE *maps, int mem)
{
	struct mapping map;
	int nr = 0, readable = 0;
	char byte;

	while (next_mapping(maps, &map)) {
		if (!strstr(map.name, "secretmem"))
			continue;
		nr++;
		for (uint64_t at = map.start; at < map.end; at += 4096)
			readable += pread(mem, &byte, 1, (off_t)at) == 1;
	}
	printf("%d secret mappings, %d of their pages readable\n", nr, readable);
	return nr && !readable ? 0 : 1;
}

int main(int argc, char **argv)
{
	char path[64];
	FILE *maps;
	int mem;

	if (argc < 3 || (strcmp(argv[1], "secret") != 0 && argc != 4)) {
		fprintf(stderr, "usage: memsearch find PID FILE | file DUMP FILE | "
				"secret PID\n");
		return 2;
	}
	if (!strcmp(argv[1], "file")) {
		load_patterns(argv[3]);
		return find_in_file(argv[2]);
	}
	snprintf(path, sizeof(path), "/proc/%.20s/maps", argv[2]);
	maps = fopen(path, "re");
	snprintf(path, sizeof(path), "/proc/%.20s/mem", argv[2]);
	mem = open(path, O_RDONLY | O_CLOEXEC);
	if (!maps || mem < 0) {
		fprintf(stderr, "memsearch: %s: %s\n", path, strerror(errno));
		return 2;
	}
	if (!strcmp(argv[1], "secret"))
		return secret(maps, mem);
	load_patterns(argv[3]);
	return find(maps, mem);
}
