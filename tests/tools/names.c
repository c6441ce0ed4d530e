/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names make|check|remove|change DIR [NAME...]
 *
 * A file for each name that a directory entry can have, or nearly: every byte, every
 * length, pairs that differ in case or in their encoding only, what a volume itself uses,
 * and the NAMEs given. Each contains its name. "check" finds these and no others;
 * "change" takes each through link, rename, unlink, mkdir, rmdir, symlink, and tries what
 * is too long.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_NAMES = 2000, LONGEST_TARGET = 3039 };

static char *names[MOST_NAMES];
static size_t nr_names;
static int dir;

static void fail(const char *what, const char *name)
{
	int error = errno;

	printf("names: %s: %s: ", what, strerror(error));
	for (size_t i = 0; *name && i < NAME_MAX; i++, name++)
		printf(*name > ' ' && *name < 127 ? "%c" : "\\%03o",
		       (unsigned char)*name);
	printf("\n");
	exit(1);
}

/* Once; a name may come from two of the sets. */
static void add(const char *name)
{
	for (size_t i = 0; i < nr_names; i++) {
		if (!strcmp(names[i], name))
			return;
	}
	if (nr_names == MOST_NAMES || !strcmp(name, ".") || !strcmp(name, "..") ||
	    strchr(name, '/'))
		return;
	names[nr_names] = strdup(name);
	if (!names[nr_names++])
		fail("strdup", name);
}

/* Bytes that only @seed determines, with neither NUL nor slash. */
static void fill(char *name, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * 1103515245 + 12345;
		name[i] = (char)(1 + (seed >> 16) % 255);
		if (name[i] == '/')
			name[i] = '_';
	}
	name[len] = '\0';
}

static void add_bytes(void)
{
	char name[NAME_MAX + 1];

	for (int c = 1; c < 256; c++) {
		add((char[]){(char)c, '\0'});
		add((char[]){'x', (char)c, '\0'});
		memset(name, c, NAME_MAX);
		name[NAME_MAX] = '\0';
		add(name);
	}
	for (unsigned len = 1; len <= NAME_MAX; len++) {
		fill(name, len, len);
		add(name);
	}
}

static void add_odd(void)
{
	static const char *const odd[] = {
		"name",
		"Name",
		"NAME",
		"\303\251",
		"e\314\201",
		"\303\211",
		"\305\277",
		"\377\376",
		"\300\257",
		"\355\240\200",
		"\357\273\277",
		"...",
		".x",
		" ",
		"  ",
		"-",
		"-rf",
		"*",
		"\n",
		"a\nb",
		"a\\",
		"con",
		"aux.txt",
		"x ",
		"x.",
		".hsmfs",
		".hsmfs.id",
		".hsmfs.new",
		"header",
		"header.backup",
		"lock",
		".long.",
		".name.",
		".long.abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOP0",
		".name.abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOP0",
		".fuse_hidden0000000100000001",
		"2oK8KsNfOaCR2KzrSAY-Y-U"};

	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		add(odd[i]);
}

static void make_file(const char *name)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0)
		fail("create", name);
	if (write(fd, name, strlen(name)) != (ssize_t)strlen(name) || close(fd))
		fail("write", name);
}

static void check_file(const char *name)
{
	char content[NAME_MAX + 2];
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t len;

	if (fd < 0)
		fail("open", name);
	len = read(fd, content, sizeof(content));
	if (len != (ssize_t)strlen(name) || memcmp(content, name, (size_t)len))
		fail("content", name);
	close(fd);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_known(const char *name)
{
	return bsearch(&name, names, nr_names, sizeof(names[0]), compare);
}

static void check_listing(size_t want)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	size_t found = 0;

	if (!stream)
		fail("opendir", ".");
	while ((entry = readdir(stream))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (!is_known(entry->d_name))
			fail("nobody made this", entry->d_name);
		found++;
	}
	closedir(stream);
	errno = 0;
	if (found != want) {
		printf("names: %zu entries, not %zu\n", found, want);
		exit(1);
	}
}

static void check(bool good, const char *what, const char *name)
{
	if (!good)
		fail(what, name);
}

/* All that can be done with the name of the file; in the end it is there as before. */
static void change(const char *name)
{
	char target[NAME_MAX + 1];
	struct stat st;

	check(!linkat(dir, name, dir, "../link", 0), "link", name);
	check(!unlinkat(dir, name, 0), "unlink", name);
	check(fstatat(dir, name, &st, 0) && errno == ENOENT, "stat of none", name);
	check(!linkat(dir, "../link", dir, name, 0), "link to", name);
	check(!unlinkat(dir, "../link", 0), "unlink", "../link");
	check_file(name);
	check(!renameat(dir, name, dir, "../moved"), "rename from", name);
	check(!mkdirat(dir, name, 0755), "mkdir", name);
	check(unlinkat(dir, name, 0) && errno == EISDIR, "unlink of a directory", name);
	check(!unlinkat(dir, name, AT_REMOVEDIR), "rmdir", name);
	check(!symlinkat(name, dir, name), "symlink", name);
	check(readlinkat(dir, name, target, sizeof(target)) == (ssize_t)strlen(name) &&
		      !memcmp(target, name, strlen(name)),
	      "readlink", name);
	check(!renameat(dir, "../moved", dir, name), "rename over", name);
	check_file(name);
}

static void check_too_long(void)
{
	char name[NAME_MAX + 2];
	struct stat st;

	memset(name, 'n', NAME_MAX + 1);
	name[NAME_MAX + 1] = '\0';
	check(fstatat(dir, name, &st, 0) && errno == ENAMETOOLONG, "stat", name);
	check(openat(dir, name, O_CREAT | O_WRONLY, 0644) < 0 && errno == ENAMETOOLONG,
	      "create", name);
	check(mkdirat(dir, name, 0755) && errno == ENAMETOOLONG, "mkdir", name);
	check(symlinkat("x", dir, name) && errno == ENAMETOOLONG, "symlink", name);
	check(mknodat(dir, name, S_IFIFO | 0644, 0) && errno == ENAMETOOLONG, "mkfifo",
	      name);
	check(linkat(dir, names[0], dir, name, 0) && errno == ENAMETOOLONG, "link", name);
	check(renameat(dir, names[0], dir, name) && errno == ENAMETOOLONG, "rename",
	      name);
	check(unlinkat(dir, name, 0) && errno == ENAMETOOLONG, "unlink", name);
}

static void check_targets(void)
{
	static char target[4096], back[4096];
	struct stat st;

	for (size_t len = 1; len <= 4095; len += len < 3000 ? 61 : 1) {
		memset(target, '/', len);
		fill(target + len / 2, len - len / 2, (unsigned)len);
		errno = 0;
		if (symlinkat(target, dir, "../target")) {
			if (len <= LONGEST_TARGET || errno != ENAMETOOLONG)
				fail("symlink", target);
			continue;
		}
		check(len <= LONGEST_TARGET, "longer than the documents say", target);
		check(readlinkat(dir, "../target", back, sizeof(back)) == (ssize_t)len &&
			      !memcmp(target, back, len),
		      "readlink", target);
		check(!fstatat(dir, "../target", &st, AT_SYMLINK_NOFOLLOW) &&
			      st.st_size == (off_t)len,
		      "st_size", target);
		check(!unlinkat(dir, "../target", 0), "unlink", "../target");
	}
}

/* A file whose absolute path has 4,095 bytes; one more is too long. */
static void check_path(const char *root)
{
	static char path[4200];
	size_t len = (size_t)snprintf(path, sizeof(path), "%s/deep", root);
	char *end;
	int fd;

	check(!mkdir(path, 0755), "mkdir", path);
	while (len < 4095 - 256) {
		path[len] = '/';
		fill(path + len + 1, 200, (unsigned)len);
		len += 201;
		check(!mkdir(path, 0755), "mkdir", path);
	}
	path[len] = '/';
	fill(path + len + 1, 4095 - len - 1, 7);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
	check(fd >= 0 && !close(fd), "create", path);
	check(!access(path, F_OK), "access", path);
	memcpy(path + 4095, "x", 2);
	check(open(path, O_RDONLY) < 0 && errno == ENAMETOOLONG, "open", path);
	path[4095] = '\0';
	check(!unlink(path), "unlink", path);
	for (end = strrchr(path, '/'); strcmp(end, "/deep"); end = strrchr(path, '/')) {
		*end = '\0';
		check(!rmdir(path), "rmdir", path);
	}
}

static void for_all(void (*run)(const char *name))
{
	for (size_t i = 0; i < nr_names; i++)
		run(names[i]);
}

static void remove_file(const char *name)
{
	check(!unlinkat(dir, name, 0), "unlink", name);
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "usage: names make|check|change|remove DIR [NAME...]\n");
		return 2;
	}
	dir = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		fail("open", argv[2]);
	add_bytes();
	add_odd();
	for (int i = 3; i < argc; i++)
		add(argv[i]);
	qsort(names, nr_names, sizeof(names[0]), compare);
	if (!strcmp(argv[1], "make")) {
		for_all(make_file);
	} else if (!strcmp(argv[1], "remove")) {
		for_all(remove_file);
		check_listing(0);
		return 0;
	} else if (!strcmp(argv[1], "change")) {
		for_all(change);
		check_too_long();
		check_targets();
		check_path(argv[2]);
		return 0;
	}
	for_all(check_file);
	check_listing(nr_names);
	return 0;
}
