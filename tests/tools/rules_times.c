/* SPDX-License-Identifier: Apache-2.0 */
/* rules_times DIR: which times an operation moves, and that set ones stay. */
#include <sys/mman.h>
#include <sys/xattr.h>

#include "tests/tools/rules.h"

static int is_later(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

/* What of "mc" has moved on since @before: "m", "c", "mc" or "-". */
static const char *moved(const char *path, const struct stat *before)
{
	struct stat now;
	int m, c;

	if (lstat(path, &now))
		return "?";
	m = is_later(&now.st_mtim, &before->st_mtim);
	c = is_later(&now.st_ctim, &before->st_ctim);
	return m && c ? "mc" : m ? "m" : c ? "c" : "-";
}

/* @call moves these times of the file and of the directory it is in. */
#define MOVES(call, path, file_times, dir, dir_times)                                    \
	do {                                                                             \
		struct stat file_, dir_;                                                 \
                                                                                         \
		memset(&file_, 0x7f, sizeof(file_));                                     \
		lstat(path, &file_);                                                     \
		REQUIRE(lstat(dir, &dir_) == 0);                                         \
		nap();                                                                   \
		REQUIRE(call);                                                           \
		if (strcmp(moved(path, &file_), file_times) ||                           \
		    strcmp(moved(dir, &dir_), dir_times)) {                              \
			fprintf(stderr,                                                  \
				"  line %d: %s moves %s of the file, %s of %s\n",        \
				__LINE__, #call, moved(path, &file_), moved(dir, &dir_), \
				dir);                                                    \
			return 1;                                                        \
		}                                                                        \
	} while (0)

static int entries(void)
{
	REQUIRE(!put("f", "x", 0600) && mkdir("d", 0700) == 0);
	MOVES(!put("new", "", 0600), "f", "-", ".", "mc");
	MOVES(mkdir("e", 0700) == 0, "d", "-", ".", "mc");
	MOVES(mkdir("d/sub", 0700) == 0, "d", "mc", ".", "-");
	MOVES(symlink("x", "l") == 0, "f", "-", ".", "mc");
	MOVES(mkfifo("p", 0600) == 0, "f", "-", ".", "mc");
	MOVES(link("f", "d/g") == 0, "f", "c", "d", "mc");
	MOVES(unlink("d/g") == 0, "f", "c", "d", "mc");
	MOVES(unlink("new") == 0, "f", "-", ".", "mc");
	MOVES(rmdir("d/sub") == 0, "d", "mc", ".", "-");
	return 0;
}

static int renames(void)
{
	struct stat st;

	REQUIRE(!put("f", "x", 0600) && !put("g", "y", 0600) && mkdir("d", 0700) == 0 &&
		mkdir("sub", 0700) == 0 && lstat("f", &st) == 0);
	MOVES(rename("f", "d/f") == 0, "g", "-", "d", "mc");
	REQUIRE(!strcmp(moved("d/f", &st), "c"));
	MOVES(rename("d/f", "f") == 0, "d", "mc", ".", "mc");
	REQUIRE(lstat("sub", &st) == 0);
	MOVES(rename("sub", "d/sub") == 0, "d", "mc", ".", "mc");
	/* another parent, another "..": that may count as a change or not */
	REQUIRE(link("g", "h") == 0 && lstat("g", &st) == 0);
	MOVES(rename("f", "g") == 0, "h", "c", ".", "mc");
	return 0;
}

static int contents(void)
{
	int fd;

	REQUIRE(!put("f", "some text", 0600));
	fd = open("f", O_RDWR);
	MOVES(write(fd, "x", 1) == 1 && fsync(fd) == 0, "f", "mc", ".", "-");
	MOVES(pwrite(fd, "x", 1, 100000) == 1, "f", "mc", ".", "-");
	MOVES(write(fd, "x", 0) == 0, "f", "-", ".", "-");
	MOVES(ftruncate(fd, 5) == 0, "f", "mc", ".", "-");
	MOVES(ftruncate(fd, 5) == 0, "f", "mc", ".", "-");
	MOVES(ftruncate(fd, 50000) == 0, "f", "mc", ".", "-");
	MOVES(close(open("f", O_WRONLY | O_TRUNC)) == 0, "f", "mc", ".", "-");
	MOVES(close(open("f", O_RDWR | O_CREAT, 0600)) == 0, "f", "-", ".", "-");
	return 0;
}

static int direct_writes(void)
{
	int fd = open("f", O_RDWR | O_CREAT | O_DIRECT, 0600);
	void *block;

	REQUIRE(fd >= 0 && posix_memalign(&block, 4096, 4096) == 0);
	MOVES(pwrite(fd, block, 4096, 0) == 4096, "f", "mc", ".", "-");
	MOVES(pwrite(fd, block, 4096, 0) == 4096, "f", "mc", ".", "-");
	return 0;
}

static int truncate_to_same(void)
{
	REQUIRE(!put("f", "some text", 0600));
	MOVES(truncate("f", 9) == 0, "f", "mc", ".", "-");
	return 0;
}

static int mapped_writes(void)
{
	char *map;
	int fd = open("f", O_RDWR | O_CREAT, 0600);

	REQUIRE(ftruncate(fd, 4096) == 0);
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	REQUIRE(map != MAP_FAILED);
	MOVES((map[0] = 'x') && msync(map, 4096, MS_SYNC) == 0, "f", "mc", ".", "-");
	return 0;
}

static int attributes(void)
{
	struct timespec set[2] = {{1000, 1}, {2000, 2}};

	REQUIRE(!put("f", "x", 0600) && mkdir("d", 0700) == 0);
	MOVES(chmod("f", 0640) == 0, "f", "c", ".", "-");
	MOVES(chown("f", getuid(), getgid()) == 0, "f", "c", ".", "-");
	MOVES(setxattr("f", "user.a", "x", 1, 0) == 0, "f", "c", ".", "-");
	MOVES(removexattr("f", "user.a") == 0, "f", "c", ".", "-");
	MOVES(chmod("d", 0750) == 0, "d", "c", ".", "-");
	MOVES(utimensat(AT_FDCWD, "f", set, 0) == 0, "f", "c", ".", "-");
	MOVES(utimensat(AT_FDCWD, "f", NULL, 0) == 0, "f", "mc", ".", "-");
	return 0;
}

static int is_time(const struct timespec *ts, time_t sec, long nsec)
{
	return ts->tv_sec == sec && ts->tv_nsec == nsec;
}

static int set_times(void)
{
	struct timespec set[2] = {{1000000000, 123456789}, {1100000000, 987654321}};
	struct timespec old[2] = {{-1, 5}, {0x7fffffffL + 100, 7}};
	struct timespec part[2] = {{0, UTIME_OMIT}, {5, 6}};
	struct stat st;

	REQUIRE(!put("f", "x", 0600) && utimensat(AT_FDCWD, "f", set, 0) == 0);
	REQUIRE(stat("f", &st) == 0 && is_time(&st.st_atim, 1000000000, 123456789) &&
		is_time(&st.st_mtim, 1100000000, 987654321));
	REQUIRE(utimensat(AT_FDCWD, "f", part, 0) == 0 && stat("f", &st) == 0);
	REQUIRE(is_time(&st.st_atim, 1000000000, 123456789) &&
		is_time(&st.st_mtim, 5, 6));
	/* before 1970 and after 2038 */
	REQUIRE(utimensat(AT_FDCWD, "f", old, 0) == 0 && stat("f", &st) == 0);
	REQUIRE(is_time(&st.st_atim, -1, 5) &&
		is_time(&st.st_mtim, 0x7fffffffL + 100, 7));
	REQUIRE(symlink("f", "l") == 0 && mkfifo("p", 0600) == 0);
	REQUIRE(utimensat(AT_FDCWD, "l", set, AT_SYMLINK_NOFOLLOW) == 0 &&
		!lstat("l", &st));
	REQUIRE(is_time(&st.st_mtim, 1100000000, 987654321));
	REQUIRE(stat("f", &st) == 0 && is_time(&st.st_atim, -1, 5));
	REQUIRE(utimensat(AT_FDCWD, "p", set, 0) == 0 && !lstat("p", &st));
	REQUIRE(is_time(&st.st_mtim, 1100000000, 987654321));
	return 0;
}

/* As tar and rsync do: the date is set while written data may still be on its way. */
static int set_times_stay(void)
{
	struct timespec set[2] = {{1000000000, 123456789}, {1100000000, 987654321}};
	static char data[300000];
	struct stat st;
	int fd = open("f", O_RDWR | O_CREAT, 0600);

	REQUIRE(write(fd, data, sizeof(data)) == sizeof(data) && futimens(fd, set) == 0);
	REQUIRE(fstat(fd, &st) == 0 && is_time(&st.st_mtim, 1100000000, 987654321));
	REQUIRE(fsync(fd) == 0 && close(fd) == 0 && stat("f", &st) == 0);
	REQUIRE(is_time(&st.st_mtim, 1100000000, 987654321));
	fd = open("f", O_RDONLY);
	REQUIRE(read(fd, data, sizeof(data)) == sizeof(data) && close(fd) == 0);
	REQUIRE(stat("f", &st) == 0 && is_time(&st.st_mtim, 1100000000, 987654321));
	return 0;
}

/* Reading a file or a directory right after it was changed moves its atime (relatime). */
static int reads_move_atime(void)
{
	struct stat before, after;
	char c;
	int fd;

	REQUIRE(!put("f", "x", 0600) && stat("f", &before) == 0);
	nap();
	fd = open("f", O_RDONLY);
	REQUIRE(read(fd, &c, 1) == 1 && close(fd) == 0 && stat("f", &after) == 0);
	REQUIRE(is_later(&after.st_atim, &before.st_atim));
	return 0;
}

static const struct rule rules[] = {
	{"times: making and removing", entries, 0},
	{"times: renames", renames, 0},
	{"times: contents", contents, 0},
	{"times: direct writes", direct_writes, 0},
	{"times: truncating to the same size", truncate_to_same, 0},
	{"times: mapped writes", mapped_writes, 0},
	{"times: attributes", attributes, 0},
	{"times: set to the nanosecond", set_times, 0},
	{"times: set ones stay", set_times_stay, 0},
	{"times: reads move atime", reads_move_atime, 0},
};

RULES_MAIN(rules)
