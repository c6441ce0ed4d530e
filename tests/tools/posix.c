/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posix DIR [LONGEST-SYMLINK-TARGET]: what programs expect of a file system, checked in
 * the empty directory DIR. Prints what is wrong; exits with 1 if anything is.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int failures;
static const char *current;
static size_t longest_target = 3000;

#define CHECK(cond)                                                                      \
	do {                                                                             \
		if (!(cond)) {                                                           \
			printf("%s: line %d: %s (%s)\n", current, __LINE__, #cond,       \
			       strerror(errno));                                         \
			failures++;                                                      \
		}                                                                        \
	} while (0)

#define CHECK_FAILS(call, error)                                                         \
	do {                                                                             \
		errno = 0;                                                               \
		if ((call) != -1 || errno != (error)) {                                  \
			printf("%s: line %d: %s: %s, not %s\n", current, __LINE__,       \
			       #call, strerror(errno), strerror(error));                 \
			failures++;                                                      \
		}                                                                        \
	} while (0)

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	CHECK(fd >= 0);
	CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	CHECK(close(fd) == 0);
}

static int has(const char *path, const char *text)
{
	char buf[256];
	int fd = open(path, O_RDONLY);
	ssize_t len;

	if (fd < 0)
		return 0;
	len = read(fd, buf, sizeof(buf));
	close(fd);
	return len == (ssize_t)strlen(text) && !memcmp(buf, text, (size_t)len);
}

static off_t size_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) ? -1 : st.st_size;
}

static int same_inode(const char *a, const char *b)
{
	struct stat sa, sb;

	return !lstat(a, &sa) && !lstat(b, &sb) && sa.st_ino == sb.st_ino;
}

static int exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static void test_rename(void)
{
	put("a", "A");
	put("b", "B");
	CHECK(rename("a", "b") == 0 && !exists("a") && has("b", "A"));
	put("a", "new");
	CHECK_FAILS(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE), EEXIST);
	CHECK(has("a", "new") && has("b", "A"));
	CHECK(renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE) == 0 &&
	      has("c", "new"));
	CHECK(renameat2(AT_FDCWD, "b", AT_FDCWD, "c", RENAME_EXCHANGE) == 0);
	CHECK(has("b", "new") && has("c", "A"));
	CHECK_FAILS(renameat2(AT_FDCWD, "b", AT_FDCWD, "none", RENAME_EXCHANGE), ENOENT);
	CHECK(rename("b", "b") == 0 && has("b", "new"));
	CHECK_FAILS(rename("none", "b"), ENOENT);
	CHECK(link("b", "b2") == 0 && rename("b", "b2") == 0 && exists("b") &&
	      exists("b2"));
	CHECK(unlink("b") == 0 && unlink("b2") == 0 && unlink("c") == 0);
}

static void test_rename_directories(void)
{
	CHECK(mkdir("d1", 0755) == 0 && mkdir("d2", 0755) == 0);
	put("d1/f", "1");
	put("d2/f", "2");
	CHECK(mkdir("d1/sub", 0755) == 0);
	put("d1/sub/deep", "deep");
	CHECK_FAILS(rename("d1", "d1/sub/x"), EINVAL);
	CHECK(rename("d1", "d2") == -1 && (errno == ENOTEMPTY || errno == EEXIST));
	CHECK(renameat2(AT_FDCWD, "d1", AT_FDCWD, "d2", RENAME_EXCHANGE) == 0);
	CHECK(has("d1/f", "2") && has("d2/f", "1") && has("d2/sub/deep", "deep"));
	CHECK(mkdir("d3", 0755) == 0 && rename("d2", "d3") == 0);
	CHECK(has("d3/sub/deep", "deep") && !exists("d2"));
	CHECK(rename("d3/sub", "d1/moved") == 0 && has("d1/moved/deep", "deep"));
	CHECK(rename("d1/moved/deep", "up") == 0 && has("up", "deep"));
	CHECK_FAILS(rename("up", "d1"), EISDIR);
	CHECK_FAILS(rename("d1", "up"), ENOTDIR);
	CHECK(rmdir("d1") == -1 && errno == ENOTEMPTY);
	CHECK(unlink("d1/f") == 0 && rmdir("d1/moved") == 0 && rmdir("d1") == 0);
	CHECK(unlink("d3/f") == 0 && rmdir("d3") == 0 && unlink("up") == 0);
}

static void test_hard_links(void)
{
	struct stat st;

	put("a", "text");
	CHECK(link("a", "b") == 0 && same_inode("a", "b"));
	CHECK(lstat("a", &st) == 0 && st.st_nlink == 2);
	put("b", "changed");
	CHECK(has("a", "changed"));
	CHECK(mkdir("d", 0755) == 0 && link("a", "d/c") == 0);
	CHECK(unlink("a") == 0 && has("b", "changed") && has("d/c", "changed"));
	CHECK(lstat("b", &st) == 0 && st.st_nlink == 2);
	CHECK_FAILS(link("b", "d/c"), EEXIST);
	CHECK(link("d", "e") == -1 && errno == EPERM);
	CHECK(unlink("b") == 0 && truncate("d/c", 3) == 0 && has("d/c", "cha"));
	CHECK(unlink("d/c") == 0 && rmdir("d") == 0);
}

static void test_unlinked_files(void)
{
	char buf[16] = "";
	struct stat st;
	int fd = open("gone", O_RDWR | O_CREAT | O_EXCL, 0600);

	CHECK(fd >= 0 && write(fd, "before", 6) == 6);
	CHECK(unlink("gone") == 0 && !exists("gone"));
	CHECK(pwrite(fd, "AFTER", 5, 6) == 5);
	CHECK(pread(fd, buf, 16, 0) == 11 && !memcmp(buf, "beforeAFTER", 11));
	CHECK(ftruncate(fd, 4) == 0 && fstat(fd, &st) == 0 && st.st_size == 4);
	CHECK(st.st_nlink == 0 && fchmod(fd, 0640) == 0 && fsync(fd) == 0);
	put("gone", "another");
	CHECK(pread(fd, buf, 16, 0) == 4 && !memcmp(buf, "befo", 4));
	CHECK(close(fd) == 0 && has("gone", "another") && unlink("gone") == 0);

	/* Replaced by a rename while open. */
	put("old", "old");
	put("new", "new");
	fd = open("old", O_RDWR);
	CHECK(fd >= 0 && rename("new", "old") == 0);
	CHECK(pwrite(fd, "x", 1, 0) == 1 && pread(fd, buf, 16, 0) == 3 &&
	      !memcmp(buf, "xld", 3));
	CHECK(has("old", "new") && close(fd) == 0 && unlink("old") == 0);
}

static void test_open_flags(void)
{
	char buf[16];
	int fd, other;

	put("f", "12345");
	CHECK_FAILS(open("f", O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
	fd = open("f", O_WRONLY | O_APPEND);
	other = open("f", O_WRONLY | O_APPEND);
	CHECK(fd >= 0 && other >= 0);
	CHECK(write(fd, "a", 1) == 1 && write(other, "b", 1) == 1 &&
	      write(fd, "c", 1) == 1);
	CHECK(has("f", "12345abc"));
	CHECK(read(fd, buf, 1) == -1 && errno == EBADF);
	CHECK(close(fd) == 0 && close(other) == 0);
	fd = open("f", O_RDONLY);
	CHECK(fd >= 0 && write(fd, "x", 1) == -1 && errno == EBADF && close(fd) == 0);
	CHECK_FAILS(open("none", O_RDONLY), ENOENT);
	CHECK_FAILS(open("f/x", O_RDONLY), ENOTDIR);
	CHECK_FAILS(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR);
	fd = open("f", O_RDWR | O_TRUNC);
	CHECK(fd >= 0 && size_of("f") == 0 && close(fd) == 0);
	CHECK(symlink("f", "l") == 0);
	CHECK_FAILS(open("l", O_RDONLY | O_NOFOLLOW), ELOOP);
	CHECK(mkdir("d", 0755) == 0);
	CHECK_FAILS(open("d", O_WRONLY), EISDIR);
	/* Made without any right, it is open for writing all the same. */
	fd = open("mode0", O_RDWR | O_CREAT | O_EXCL, 0);
	CHECK(fd >= 0 && write(fd, "x", 1) == 1 && pread(fd, buf, 1, 0) == 1 &&
	      close(fd) == 0);
	CHECK(unlink("mode0") == 0);
	fd = open(".", O_TMPFILE | O_RDWR, 0600);
	CHECK(fd >= 0 || errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL);
	if (fd >= 0)
		close(fd);
	CHECK(unlink("l") == 0 && unlink("f") == 0 && rmdir("d") == 0);
}

static const off_t edges[] = {0,    1,	  31,	4031,  4032,  4033,   4063,
			      4064, 4065, 4095, 4096,  4097,  8095,   8096,
			      8097, 8191, 8192, 12160, 65535, 1 << 20};
enum { NR_EDGES = sizeof(edges) / sizeof(edges[0]) };

static uint8_t pattern(off_t at)
{
	return (uint8_t)(at * 7 + at / 251 + 1);
}

/* Is it the pattern up to @data and zeros up to @size? */
static int check_content(const char *path, off_t data, off_t size)
{
	static uint8_t buf[(1 << 20) + 1];
	int fd = open(path, O_RDONLY);
	ssize_t got = fd < 0 ? -1 : read(fd, buf, sizeof(buf));
	off_t i;

	if (fd >= 0)
		close(fd);
	if (got != size || size_of(path) != size)
		return 0;
	for (i = 0; i < size; i++)
		if (buf[i] != (i < data ? pattern(i) : 0))
			return 0;
	return 1;
}

static void write_pattern(const char *path, off_t size)
{
	static uint8_t buf[1 << 20];
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	off_t i;

	for (i = 0; i < size; i++)
		buf[i] = pattern(i);
	CHECK(fd >= 0 && write(fd, buf, (size_t)size) == size && close(fd) == 0);
}

static void test_truncate(void)
{
	off_t keep;
	int a, b;

	for (a = 0; a < NR_EDGES; a++) {
		for (b = 0; b < NR_EDGES; b++) {
			write_pattern("t", edges[a]);
			CHECK(truncate("t", edges[b]) == 0);
			keep = edges[a] < edges[b] ? edges[a] : edges[b];
			CHECK(check_content("t", keep, edges[b]));
			if (failures > 10)
				return;
		}
	}
	CHECK(truncate("t", 5000) == 0 && truncate("t", 100) == 0 &&
	      truncate("t", 5000) == 0);
	CHECK(check_content("t", 100, 5000));
	CHECK_FAILS(truncate("t", -1), EINVAL);
	CHECK(unlink("t") == 0);
}

static void test_sparse(void)
{
	static uint8_t zeros[4096], buf[4096];
	off_t big = (off_t)5 << 30;
	struct stat st;
	int fd = open("s", O_RDWR | O_CREAT, 0644);

	CHECK(fd >= 0 && pwrite(fd, "end", 3, big) == 3 &&
	      pwrite(fd, "mid", 3, 1 << 20) == 3);
	CHECK(fstat(fd, &st) == 0 && st.st_size == big + 3);
	CHECK(st.st_blocks < 1024);
	CHECK(pread(fd, buf, 4096, 0) == 4096 && !memcmp(buf, zeros, 4096));
	CHECK(pread(fd, buf, 4096, big - 2000) == 2003 && !memcmp(buf, zeros, 2000) &&
	      !memcmp(buf + 2000, "end", 3));
	CHECK(pread(fd, buf, 4096, (1 << 20) - 10) == 4096 && !memcmp(buf, zeros, 10) &&
	      !memcmp(buf + 10, "mid", 3) && !memcmp(buf + 13, zeros, 4000));
	CHECK(close(fd) == 0);
	CHECK(truncate("s", (off_t)3 << 30) == 0 && size_of("s") == (off_t)3 << 30);
	fd = open("s", O_RDONLY);
	CHECK(pread(fd, buf, 4096, ((off_t)3 << 30) - 96) == 96 &&
	      !memcmp(buf, zeros, 96));
	CHECK(close(fd) == 0 && unlink("s") == 0);
}

static void test_mmap(void)
{
	size_t len = 300000, i;
	uint8_t *map;
	int fd = open("m", O_RDWR | O_CREAT, 0644);

	CHECK(fd >= 0 && ftruncate(fd, (off_t)len) == 0);
	map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(map != MAP_FAILED);
	if (map == MAP_FAILED)
		return;
	for (i = 0; i < len; i++)
		map[i] = pattern((off_t)i);
	CHECK(msync(map, len, MS_SYNC) == 0 && munmap(map, len) == 0 && close(fd) == 0);
	CHECK(check_content("m", (off_t)len, (off_t)len));
	fd = open("m", O_RDWR);
	map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	CHECK(map != MAP_FAILED && map[77777] == pattern(77777));
	map[77777] ^= 1;
	CHECK(munmap(map, len) == 0 && close(fd) == 0);
	CHECK(check_content("m", (off_t)len, (off_t)len) && unlink("m") == 0);
}

static void test_times(void)
{
	struct timespec set[2] = {{1000000000, 123456789}, {1100000000, 987654321}}, now;
	struct timespec part[2] = {{0, UTIME_OMIT}, {0, UTIME_NOW}};
	struct stat st;

	put("f", "x");
	CHECK(utimensat(AT_FDCWD, "f", set, 0) == 0 && stat("f", &st) == 0);
	CHECK(st.st_atim.tv_sec == 1000000000 && st.st_atim.tv_nsec == 123456789);
	CHECK(st.st_mtim.tv_sec == 1100000000 && st.st_mtim.tv_nsec == 987654321);
	clock_gettime(CLOCK_REALTIME, &now);
	CHECK(utimensat(AT_FDCWD, "f", part, 0) == 0 && stat("f", &st) == 0);
	CHECK(st.st_atim.tv_sec == 1000000000 &&
	      labs(st.st_mtim.tv_sec - now.tv_sec) < 5);
	CHECK(symlink("nowhere", "l") == 0);
	CHECK(utimensat(AT_FDCWD, "l", set, AT_SYMLINK_NOFOLLOW) == 0 &&
	      lstat("l", &st) == 0);
	CHECK(st.st_mtim.tv_sec == 1100000000 && st.st_mtim.tv_nsec == 987654321);
	/* Written, closed, then dated, as tar and rsync do: the date must stay. */
	put("g", "content");
	CHECK(utimensat(AT_FDCWD, "g", set, 0) == 0);
	sync();
	CHECK(stat("g", &st) == 0 && st.st_mtim.tv_sec == 1100000000);
	CHECK(mkdir("d", 0700) == 0 && utimensat(AT_FDCWD, "d", set, 0) == 0);
	CHECK(stat("d", &st) == 0 && st.st_mtim.tv_sec == 1100000000);
	put("d/x", "");
	CHECK(stat("d", &st) == 0 && labs(st.st_mtim.tv_sec - now.tv_sec) < 5);
	CHECK(unlink("d/x") == 0 && rmdir("d") == 0 && unlink("l") == 0);
	CHECK(unlink("f") == 0 && unlink("g") == 0);
}

static void long_name(char *name, size_t len, int number)
{
	memset(name, 'n', len);
	name[len] = '\0';
	snprintf(name, 12, "%010d", number);
	name[10] = 'n';
}

static void test_names(void)
{
	char name[300], other[300];
	size_t len;
	int i;

	for (len = 20; len <= 255; len++) {
		long_name(name, len, (int)len);
		put(name, "x");
		CHECK(has(name, "x"));
	}
	for (len = 20; len <= 255; len++) {
		long_name(name, len, (int)len);
		long_name(other, 255, (int)len + 1000);
		CHECK(rename(name, other) == 0 && !exists(name) && has(other, "x"));
		CHECK(link(other, name) == 0 && unlink(other) == 0 && unlink(name) == 0);
	}
	memset(name, 'y', 256);
	name[256] = '\0';
	CHECK_FAILS(open(name, O_WRONLY | O_CREAT, 0600), ENAMETOOLONG);
	name[255] = '\0';
	CHECK(mkdir(name, 0700) == 0 && rmdir(name) == 0 && !exists(name));
	CHECK(symlink(name, name) == 0 && readlink(name, other, 300) == 255 &&
	      unlink(name) == 0);
	for (i = 1; i < 256; i++) {
		if (i == '/' || i == '.')
			continue;
		snprintf(name, sizeof(name), "%c", i);
		put(name, "x");
		CHECK(has(name, "x") && unlink(name) == 0);
	}
	put(".hsmfs", "mine");
	put(".hsmfs.id", "mine too");
	CHECK(has(".hsmfs", "mine") && has(".hsmfs.id", "mine too"));
	CHECK(unlink(".hsmfs") == 0 && unlink(".hsmfs.id") == 0);
}

static void test_symlinks(void)
{
	char target[PATH_MAX], buf[PATH_MAX + 1];
	struct stat st;
	size_t len;

	for (len = 1; len <= longest_target; len += len + 3 < longest_target ? 107 : 1) {
		memset(target, 't', len);
		target[len] = '\0';
		CHECK(symlink(target, "l") == 0);
		CHECK(readlink("l", buf, sizeof(buf)) == (ssize_t)len &&
		      !memcmp(buf, target, len));
		CHECK(lstat("l", &st) == 0 && S_ISLNK(st.st_mode) &&
		      st.st_size == (off_t)len);
		CHECK(unlink("l") == 0);
	}
	put("f", "found");
	CHECK(symlink("f", "l") == 0 && has("l", "found"));
	CHECK_FAILS(symlink("x", "l"), EEXIST);
	CHECK_FAILS(readlink("f", buf, 10), EINVAL);
	CHECK(rename("l", "l2") == 0 && has("l2", "found") && unlink("l2") == 0 &&
	      unlink("f") == 0);
}

/* Every name once, also when the directory changes and is read again from a position. */
static void test_directories(void)
{
	enum { NR = 700 };
	static uint8_t seen[NR];
	long position[NR + 8];
	char name[64];
	struct dirent *entry;
	DIR *dir;
	int i, nr = 0;

	CHECK(mkdir("big", 0755) == 0);
	for (i = 0; i < NR; i++) {
		snprintf(name, sizeof(name), "big/entry-%d", i);
		put(name, "");
	}
	dir = opendir("big");
	CHECK(dir != NULL);
	while (dir && (position[nr] = telldir(dir), entry = readdir(dir))) {
		nr++;
		if (sscanf(entry->d_name, "entry-%d", &i) == 1 && i >= 0 && i < NR)
			CHECK(seen[i]++ == 0);
		if (nr > NR + 2)
			break;
	}
	CHECK(nr == NR + 2);
	for (i = nr - 1; i >= 0; i -= 37) {
		seekdir(dir, position[i]);
		CHECK(readdir(dir) != NULL && telldir(dir) == position[i + 1]);
	}
	rewinddir(dir);
	for (nr = 0; dir && (entry = readdir(dir)); nr++) {
		snprintf(name, sizeof(name), "big/%.50s", entry->d_name);
		if (entry->d_name[0] != '.')
			CHECK(unlink(name) == 0);
	}
	CHECK(nr == NR + 2 && dir && closedir(dir) == 0);
	CHECK(rmdir("big") == 0);
	CHECK_FAILS(rmdir("big"), ENOENT);
}

static void test_modes(void)
{
	struct statvfs vfs;
	struct stat st;

	umask(022);
	put("f", "x");
	CHECK(stat("f", &st) == 0 && (st.st_mode & 07777) == 0644);
	CHECK(st.st_uid == geteuid() && chmod("f", 04751) == 0);
	CHECK(stat("f", &st) == 0 && (st.st_mode & 07777) == 04751);
	CHECK(chmod("f", 0) == 0);
	if (geteuid())
		CHECK_FAILS(open("f", O_RDONLY), EACCES);
	CHECK(chown("f", (uid_t)-1, getegid()) == 0);
	CHECK(mkdir("d", 0777) == 0 && stat("d", &st) == 0 &&
	      (st.st_mode & 07777) == 0755);
	CHECK(st.st_nlink == 2 || st.st_nlink == 1);
	CHECK(mkfifo("p", 0600) == 0 && lstat("p", &st) == 0 && S_ISFIFO(st.st_mode));
	CHECK(access("d", R_OK | W_OK | X_OK) == 0 && access("d/none", F_OK) == -1);
	CHECK(statvfs(".", &vfs) == 0 && vfs.f_namemax == 255 && vfs.f_blocks > 0);
	CHECK(unlink("f") == 0 && unlink("p") == 0 && rmdir("d") == 0);
}

/* Two processes append lines; none may be lost or torn. */
static void test_append_race(void)
{
	enum { LINES = 300, WRITERS = 2 };
	char line[80], text[80];
	int i, fd, status, count[WRITERS] = {0}, who, number;
	FILE *file;

	put("log", "");
	for (i = 0; i < WRITERS; i++) {
		if (fork())
			continue;
		fd = open("log", O_WRONLY | O_APPEND);
		for (number = 0; number < LINES; number++) {
			snprintf(line, sizeof(line), "%d %d %40d\n", i, number, number);
			if (write(fd, line, strlen(line)) != (ssize_t)strlen(line))
				_exit(1);
		}
		_exit(close(fd) != 0);
	}
	for (i = 0; i < WRITERS; i++)
		CHECK(wait(&status) > 0 && status == 0);
	file = fopen("log", "r");
	while (file && fgets(line, sizeof(line), file)) {
		CHECK(sscanf(line, "%d %d", &who, &number) == 2 && who >= 0 &&
		      who < WRITERS);
		snprintf(text, sizeof(text), "%d %d %40d\n", who, number, number);
		CHECK(!strcmp(line, text) && number == count[who]);
		count[who]++;
	}
	for (i = 0; i < WRITERS; i++)
		CHECK(count[i] == LINES);
	CHECK(file && fclose(file) == 0 && unlink("log") == 0);
}

static void test_fsync(void)
{
	int fd, dir = open(".", O_RDONLY | O_DIRECTORY);

	fd = open("f", O_RDWR | O_CREAT, 0644);
	CHECK(fd >= 0 && write(fd, "x", 1) == 1 && fsync(fd) == 0 && fdatasync(fd) == 0);
	CHECK(dir >= 0 && fsync(dir) == 0 && syncfs(dir) == 0);
	CHECK(close(fd) == 0 && close(dir) == 0 && unlink("f") == 0);
}

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{"rename", test_rename},
	{"rename of directories", test_rename_directories},
	{"hard links", test_hard_links},
	{"unlinked files", test_unlinked_files},
	{"open flags", test_open_flags},
	{"truncate", test_truncate},
	{"sparse files", test_sparse},
	{"mmap", test_mmap},
	{"times", test_times},
	{"names", test_names},
	{"symlinks", test_symlinks},
	{"directories", test_directories},
	{"modes", test_modes},
	{"append race", test_append_race},
	{"fsync", test_fsync},
};

int main(int argc, char **argv)
{
	size_t i;

	if (argc < 2 || argc > 3 || chdir(argv[1])) {
		fprintf(stderr, "usage: posix DIR [LONGEST-SYMLINK-TARGET]\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IONBF, 0);
	if (argc == 3)
		longest_target = strtoul(argv[2], NULL, 10);
	for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		current = tests[i].name;
		tests[i].run();
	}
	return failures ? 1 : 0;
}
