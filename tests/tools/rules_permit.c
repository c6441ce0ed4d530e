/* SPDX-License-Identifier: Apache-2.0 */
/* rules_permit DIR: what the modes of one's own files and directories forbid oneself. */
#include <dirent.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include "tests/tools/rules.h"

/* Each as a plain open(2) of a file that is open already, and may be open for more. */
static int open_modes(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0600);

	REQUIRE(fd >= 0 && write(fd, "text", 4) == 4);
	REQUIRE(chmod("f", 0077) == 0);
	REQUIRE_ERROR(open("f", O_RDONLY), EACCES);
	REQUIRE_ERROR(open("f", O_WRONLY), EACCES);
	REQUIRE_ERROR(open("f", O_RDONLY | O_TRUNC), EACCES);
	REQUIRE_ERROR(open("f", O_RDONLY | O_CREAT, 0600), EACCES);
	REQUIRE_ERROR(open("f", O_RDONLY | O_CREAT | O_EXCL, 0600), EEXIST);
	REQUIRE(open("f", O_PATH) >= 0);
	REQUIRE(chmod("f", 0400) == 0 && has("f", "text"));
	REQUIRE_ERROR(open("f", O_WRONLY), EACCES);
	REQUIRE_ERROR(open("f", O_RDWR), EACCES);
	REQUIRE_ERROR(open("f", O_RDONLY | O_TRUNC), EACCES);
	REQUIRE_ERROR(open("f", O_ACCMODE), EACCES);
	REQUIRE(has("f", "text") && chmod("f", 0200) == 0);
	REQUIRE_ERROR(open("f", O_RDONLY), EACCES);
	REQUIRE_ERROR(open("f", O_RDWR), EACCES);
	REQUIRE(open("f", O_WRONLY | O_APPEND) >= 0 &&
		open("f", O_WRONLY | O_TRUNC) >= 0);
	REQUIRE(chmod("f", 0100) == 0);
	REQUIRE_ERROR(open("f", O_RDONLY), EACCES);
	REQUIRE(pwrite(fd, "again", 5, 0) == 5 && chmod("f", 0400) == 0 &&
		has("f", "again"));
	return 0;
}

static int truncate_modes(void)
{
	struct stat st;
	int fd = open("f", O_RDWR | O_CREAT, 0600);

	REQUIRE(fd >= 0 && write(fd, "text", 4) == 4 && fchmod(fd, 0400) == 0);
	REQUIRE_ERROR(truncate("f", 2), EACCES);
	REQUIRE(has("f", "text") && ftruncate(fd, 3) == 0 && has("f", "tex"));
	REQUIRE(chmod("f", 0) == 0 && ftruncate(fd, 2) == 0);
	REQUIRE_ERROR(truncate("f", 0), EACCES);
	REQUIRE(chmod("f", 0200) == 0 && truncate("f", 1) == 0);
	REQUIRE(fstat(fd, &st) == 0 && st.st_size == 1 && close(fd) == 0);
	REQUIRE(chmod("f", 0400) == 0);
	REQUIRE_ERROR(truncate("f", 0), EACCES);
	REQUIRE(chmod("f", 0200) == 0 && truncate("f", 0) == 0);
	return 0;
}

static int attribute_modes_of(const char *path)
{
	char value[10];

	REQUIRE(chmod(path, 0400) == 0 && getxattr(path, "user.a", value, 10) == 1);
	REQUIRE_ERROR(setxattr(path, "user.a", "y", 1, 0), EACCES);
	REQUIRE_ERROR(setxattr(path, "user.a", "y", 1, XATTR_CREATE), EACCES);
	REQUIRE_ERROR(removexattr(path, "user.a"), EACCES);
	REQUIRE_ERROR(removexattr(path, "user.none"), EACCES);
	REQUIRE(chmod(path, 0200) == 0 && setxattr(path, "user.a", "yy", 2, 0) == 0);
	REQUIRE_ERROR(getxattr(path, "user.a", value, 10), EACCES);
	REQUIRE_ERROR(getxattr(path, "user.a", NULL, 0), EACCES);
	REQUIRE_ERROR(getxattr(path, "user.none", value, 10), EACCES);
	REQUIRE(chmod(path, 0) == 0 && listxattr(path, NULL, 0) == sizeof("user.a"));
	REQUIRE(chmod(path, 0600) == 0 && getxattr(path, "user.a", value, 10) == 2);
	REQUIRE(removexattr(path, "user.a") == 0);
	return 0;
}

static int attribute_modes(void)
{
	REQUIRE(!put("f", "x", 0600) && setxattr("f", "user.a", "x", 1, 0) == 0);
	REQUIRE(attribute_modes_of("f") == 0);
	REQUIRE(mkdir("d", 0700) == 0 && setxattr("d", "user.a", "x", 1, 0) == 0);
	return attribute_modes_of("d");
}

static int access_of(const char *path)
{
	for (int mode = 0; mode < 8; mode++) {
		REQUIRE(chmod(path, (mode_t)(mode << 6 | (~mode & 7))) == 0);
		for (int mask = 0; mask < 8; mask++) {
			if ((mask & mode) == mask) {
				REQUIRE(access(path, mask) == 0);
				REQUIRE(faccessat(AT_FDCWD, path, mask, AT_EACCESS) == 0);
			} else {
				REQUIRE_ERROR(access(path, mask), EACCES);
			}
		}
	}
	return 0;
}

static int access_tells(void)
{
	REQUIRE(!put("f", "x", 0600) && mkdir("d", 0700) == 0 && mkfifo("p", 0600) == 0);
	REQUIRE(access_of("f") == 0 && access_of("d") == 0 && access_of("p") == 0);
	REQUIRE_ERROR(access("none", F_OK), ENOENT);
	return 0;
}

static int change_directory(void)
{
	int fd;

	REQUIRE(mkdir("d", 0700) == 0 && chmod("d", 0677) == 0);
	fd = open("d", O_RDONLY | O_DIRECTORY);
	REQUIRE_ERROR(chdir("d"), EACCES);
	REQUIRE_ERROR(fchdir(fd), EACCES);
	REQUIRE(chmod("d", 0100) == 0 && fchdir(fd) == 0 && chdir("..") == 0 &&
		chdir("d") == 0);
	return 0;
}

static int exit_of(const char *path)
{
	int status;

	if (fork() == 0) {
		execl(path, path, (char *)NULL);
		_exit(errno);
	}
	return wait(&status) > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int run_modes(void)
{
	REQUIRE(system("cp /bin/true true") == 0);
	for (int mode = 0; mode < 8; mode++) {
		/* others' x does not count, but one is there */
		REQUIRE(chmod("true", (mode_t)(mode << 6 | 055)) == 0);
		REQUIRE(exit_of("./true") == (mode & 1 ? 0 : EACCES));
	}
	REQUIRE(chmod("true", 0700) == 0 && exit_of("./true") == 0);
	REQUIRE(chmod("true", 0600) == 0 && exit_of("./true") == EACCES);
	return 0;
}

/* A directory with what the kernel knows all about. */
static int make_known(void)
{
	struct stat st;

	REQUIRE(mkdir("d", 0755) == 0 && !put("d/f", "text", 0644) &&
		!put("g", "x", 0644));
	REQUIRE(mkdir("d/s", 0755) == 0 && mkdir("d/s/t", 0755) == 0);
	REQUIRE(!put("d/s/f", "deep", 0755) && symlink("f", "d/l") == 0);
	REQUIRE(stat("d/f", &st) == 0 && lstat("d/l", &st) == 0 && has("d/s/f", "deep"));
	REQUIRE(stat("d/s/t", &st) == 0 && setxattr("d/f", "user.a", "x", 1, 0) == 0);
	return 0;
}

static int closed_to_paths(void)
{
	char value[10];
	struct stat st;

	REQUIRE_ERROR(stat("d/f", &st), EACCES);
	REQUIRE_ERROR(lstat("d/l", &st), EACCES);
	REQUIRE_ERROR(stat("d/s", &st), EACCES);
	REQUIRE_ERROR(stat("d/s/f", &st), EACCES);
	REQUIRE_ERROR(stat("d/s/t", &st), EACCES);
	REQUIRE_ERROR(access("d/f", F_OK), EACCES);
	REQUIRE_ERROR(access("d/s/t", F_OK), EACCES);
	REQUIRE_ERROR(open("d/f", O_RDONLY), EACCES);
	REQUIRE_ERROR(open("d/s/f", O_RDONLY), EACCES);
	REQUIRE_ERROR(open("d/l", O_RDONLY), EACCES);
	REQUIRE_ERROR(open("d/s", O_RDONLY | O_DIRECTORY), EACCES);
	REQUIRE_ERROR(open("d/s/t", O_RDONLY | O_DIRECTORY), EACCES);
	REQUIRE_ERROR(open("d/new", O_RDWR | O_CREAT, 0600), EACCES);
	REQUIRE_ERROR(open("d/s/new", O_RDWR | O_CREAT, 0600), EACCES);
	REQUIRE_ERROR(chdir("d"), EACCES);
	REQUIRE_ERROR(chdir("d/s"), EACCES);
	REQUIRE_ERROR(chdir("d/s/t"), EACCES);
	REQUIRE_ERROR(getxattr("d/f", "user.a", value, 10), EACCES);
	REQUIRE(exit_of("d/s/f") == EACCES);
	return 0;
}

static int closed_to_changes(void)
{
	REQUIRE_ERROR(chmod("d/f", 0600), EACCES);
	REQUIRE_ERROR(truncate("d/f", 0), EACCES);
	REQUIRE_ERROR(utimensat(AT_FDCWD, "d/s/f", NULL, 0), EACCES);
	REQUIRE_ERROR(setxattr("d/f", "user.a", "y", 1, 0), EACCES);
	REQUIRE_ERROR(unlink("d/f"), EACCES);
	REQUIRE_ERROR(unlink("d/s/f"), EACCES);
	REQUIRE_ERROR(rmdir("d/s/t"), EACCES);
	REQUIRE_ERROR(mkdir("d/new", 0700), EACCES);
	REQUIRE_ERROR(symlink("x", "d/s/new"), EACCES);
	REQUIRE_ERROR(link("d/f", "h"), EACCES);
	REQUIRE_ERROR(link("g", "d/s/h"), EACCES);
	REQUIRE_ERROR(rename("d/f", "h"), EACCES);
	REQUIRE_ERROR(rename("g", "d/s/h"), EACCES);
	REQUIRE_ERROR(rename("g", "d/s/f"), EACCES);
	return 0;
}

static int search_is_taken(void)
{
	struct stat st;
	char target[10];

	REQUIRE(make_known() == 0 && chmod("d", 0677) == 0);
	REQUIRE_ERROR(readlink("d/l", target, 10), EACCES);
	REQUIRE(closed_to_paths() == 0 && closed_to_changes() == 0);
	REQUIRE(chmod("d", 0) == 0 && closed_to_paths() == 0 && closed_to_changes() == 0);
	REQUIRE(chmod("d", 0100) == 0 && stat("d/s/t", &st) == 0 && has("d/l", "text"));
	REQUIRE(chmod("d", 0) == 0 && closed_to_paths() == 0);
	REQUIRE(chmod("d", 0755) == 0 && has("d/f", "text") && has("d/s/f", "deep"));
	REQUIRE(rename("g", "d/s/f") == 0 && has("d/s/f", "x") && unlink("d/s/f") == 0);
	return 0;
}

static int search_from_within(void)
{
	struct stat st;
	int fd;

	REQUIRE(make_known() == 0);
	fd = open("d", O_RDONLY | O_DIRECTORY);
	REQUIRE(chdir("d") == 0 && has("f", "text") && fchmod(fd, 0600) == 0);
	REQUIRE_ERROR(open("f", O_RDONLY), EACCES);
	REQUIRE_ERROR(stat("f", &st), EACCES);
	REQUIRE_ERROR(stat("s/t", &st), EACCES);
	REQUIRE_ERROR(fstatat(fd, "f", &st, 0), EACCES);
	REQUIRE_ERROR(openat(fd, "s/f", O_RDONLY), EACCES);
	REQUIRE_ERROR(unlinkat(fd, "f", 0), EACCES);
	REQUIRE_ERROR(chdir("s"), EACCES);
	REQUIRE(fstat(fd, &st) == 0 && (st.st_mode & 0777) == 0600);
	REQUIRE(fchmod(fd, 0700) == 0 && has("f", "text") && has("s/f", "deep"));
	return 0;
}

static int search_and_open_files(void)
{
	struct timespec times[2] = {{1000, 0}, {2000, 0}};
	struct stat st;
	char text[8];
	int fd;

	REQUIRE(make_known() == 0);
	fd = open("d/f", O_RDWR);
	REQUIRE(write(fd, "more", 4) == 4 && chmod("d", 0) == 0);
	REQUIRE(write(fd, "more", 4) == 4 && pread(fd, text, 8, 0) == 8);
	REQUIRE(!memcmp(text, "moremore", 8) && fstat(fd, &st) == 0 && st.st_size == 8);
	REQUIRE(fsync(fd) == 0 && ftruncate(fd, 5) == 0 && fstat(fd, &st) == 0);
	REQUIRE(st.st_size == 5 && futimens(fd, times) == 0 && fchmod(fd, 0640) == 0);
	REQUIRE(fsetxattr(fd, "user.b", "xy", 2, 0) == 0 &&
		fgetxattr(fd, "user.b", text, 8) == 2);
	REQUIRE(flistxattr(fd, NULL, 0) >= (ssize_t)sizeof("user.b") &&
		fremovexattr(fd, "user.b") == 0);
	REQUIRE(close(fd) == 0 && chmod("d", 0700) == 0 && has("d/f", "morem"));
	REQUIRE(stat("d/f", &st) == 0 && st.st_mtim.tv_sec == 2000);
	REQUIRE(mode_of("d/f") == 0640);
	return 0;
}

/* The name that was seen last is where nobody may look, the other one serves. */
static int search_and_links(void)
{
	struct stat st;

	REQUIRE(make_known() == 0 && link("g", "d/h") == 0 && chmod("d", 0) == 0);
	REQUIRE(chmod("g", 0600) == 0 && stat("g", &st) == 0 && st.st_nlink == 2);
	REQUIRE(!put("g", "more", 0640) && truncate("g", 3) == 0 && has("g", "mor"));
	REQUIRE(setxattr("g", "user.a", "x", 1, 0) == 0 && link("g", "i") == 0);
	REQUIRE(chmod("d", 0700) == 0 && has("d/h", "mor") && mode_of("d/h") == 0640);
	return 0;
}

static int sync_without_r(void)
{
	int fd;

	REQUIRE(make_known() == 0);
	fd = open("d", O_RDONLY | O_DIRECTORY);
	REQUIRE(chmod("d", 0300) == 0 && rename("d/f", "d/h") == 0);
	REQUIRE(fsync(fd) == 0 && fdatasync(fd) == 0);
	REQUIRE(chmod("d", 0) == 0 && fsync(fd) == 0);
	return 0;
}

static int search_and_open_directories(void)
{
	struct timespec times[2] = {{1000, 0}, {2000, 0}};
	char value[8];
	struct stat st;
	int fd;

	REQUIRE(make_known() == 0);
	fd = open("d/s", O_RDONLY | O_DIRECTORY);
	REQUIRE(fd >= 0 && chmod("d", 0) == 0);
	REQUIRE(fchmod(fd, 0750) == 0 && futimens(fd, times) == 0);
	REQUIRE(fstat(fd, &st) == 0 && (st.st_mode & 0777) == 0750);
	REQUIRE(st.st_mtim.tv_sec == 2000 && fchown(fd, getuid(), getgid()) == 0);
	REQUIRE(fsetxattr(fd, "user.a", "value", 5, 0) == 0);
	REQUIRE(fgetxattr(fd, "user.a", value, sizeof(value)) == 5);
	REQUIRE(mkdirat(fd, "new", 0700) == 0 && unlinkat(fd, "new", AT_REMOVEDIR) == 0);
	return 0;
}

/* Written back when the file is closed, or later. */
static int search_and_times(void)
{
	struct stat before, after;
	int fd;

	REQUIRE(make_known() == 0);
	fd = open("d/f", O_RDWR);
	REQUIRE(fstat(fd, &before) == 0);
	nap();
	REQUIRE(write(fd, "more", 4) == 4 && chmod("d", 0) == 0);
	REQUIRE(fsync(fd) == 0 && close(fd) == 0 && chmod("d", 0700) == 0);
	REQUIRE(stat("d/f", &after) == 0);
	REQUIRE(after.st_mtim.tv_sec != before.st_mtim.tv_sec ||
		after.st_mtim.tv_nsec != before.st_mtim.tv_nsec);
	return 0;
}

static int search_from_below(void)
{
	struct stat st;

	REQUIRE(make_known() == 0 && chdir("d/s") == 0 && chmod("../../d", 0) == 0);
	REQUIRE(has("f", "deep") && stat("t", &st) == 0 && mkdir("new", 0700) == 0);
	return 0;
}

static int search_for_dots(void)
{
	struct stat st;

	REQUIRE(make_known() == 0 && chmod("d", 0) == 0);
	REQUIRE_ERROR(stat("d/.", &st), EACCES);
	REQUIRE_ERROR(stat("d/../g", &st), EACCES);
	return 0;
}

static int search_for_nothing(void)
{
	struct stat st;

	REQUIRE(make_known() == 0);
	REQUIRE_ERROR(stat("d/none", &st), ENOENT);
	REQUIRE(chmod("d", 0) == 0);
	REQUIRE_ERROR(stat("d/none", &st), EACCES);
	return 0;
}

static int search_for_known_links(void)
{
	char target[10];

	REQUIRE(make_known() == 0 && readlink("d/l", target, 10) == 1 &&
		has("d/l", "text"));
	REQUIRE(chmod("d", 0) == 0);
	REQUIRE_ERROR(readlink("d/l", target, 10), EACCES);
	return 0;
}

static int list_modes(void)
{
	struct stat st;
	DIR *dir;
	int nr = 0;

	REQUIRE(make_known() == 0 && chmod("d", 0377) == 0);
	REQUIRE_ERROR(open("d", O_RDONLY | O_DIRECTORY), EACCES);
	REQUIRE(chmod("d", 0400) == 0);
	dir = opendir("d");
	REQUIRE(dir);
	while (readdir(dir))
		nr++;
	REQUIRE(nr == 5);
	REQUIRE_ERROR(stat("d/f", &st), EACCES);
	REQUIRE_ERROR(fstatat(dirfd(dir), "s", &st, 0), EACCES);
	return 0;
}

static int which_error_first(void)
{
	REQUIRE(make_known() == 0 && mkdir("e", 0755) == 0 && mkdir("e/s", 0755) == 0 &&
		mkdir("o", 0755) == 0);
	REQUIRE(chmod("d", 0555) == 0);
	REQUIRE_ERROR(rmdir("d/s"), EACCES);
	REQUIRE_ERROR(rename("e", "d/s"), EACCES);
	REQUIRE_ERROR(rename("d/s", "o"), EACCES);
	REQUIRE_ERROR(mkdir("d/s", 0700), EEXIST);
	REQUIRE_ERROR(symlink("x", "d/f"), EEXIST);
	REQUIRE_ERROR(link("g", "d/f"), EEXIST);
	REQUIRE_ERROR(unlink("d/none"), ENOENT);
	REQUIRE_ERROR(renameat2(AT_FDCWD, "g", AT_FDCWD, "d/f", RENAME_NOREPLACE),
		      EEXIST);
	REQUIRE_ERROR(renameat2(AT_FDCWD, "g", AT_FDCWD, "d/f", RENAME_EXCHANGE), EACCES);
	REQUIRE_ERROR(rename("d/f", "d/f2"), EACCES);
	REQUIRE(rename("d/f", "d/f") == 0);
	REQUIRE(chmod("d", 0755) == 0 && chmod("e/s", 0555) == 0);
	/* its ".." would change */
	REQUIRE_ERROR(rename("e/s", "d/s"), EACCES);
	REQUIRE_ERROR(renameat2(AT_FDCWD, "e/s", AT_FDCWD, "d/s", RENAME_EXCHANGE),
		      EACCES);
	REQUIRE_ERROR(renameat2(AT_FDCWD, "d/s", AT_FDCWD, "e/s", RENAME_EXCHANGE),
		      EACCES);
	REQUIRE(chmod("e/s", 0755) == 0);
	REQUIRE_ERROR(rename("e/s", "d/s"), ENOTEMPTY);
	REQUIRE_ERROR(rmdir("d/s"), ENOTEMPTY);
	return 0;
}

/* Where the kernel finds another error before it asks whether there is permission. */
static int which_error_of_two(void)
{
	REQUIRE(make_known() == 0 && chmod("d", 0555) == 0);
	REQUIRE_ERROR(rmdir("d/f"), EACCES);
	REQUIRE_ERROR(unlink("d/s"), EACCES);
	REQUIRE_ERROR(link("d/s", "d/new"), EACCES);
	return 0;
}

static int nameless_files(void)
{
	char proc[32];
	int fd;

	REQUIRE(mkdir("d", 0755) == 0);
	fd = open("d", O_TMPFILE | O_RDWR, 0600);
	REQUIRE(fd >= 0 && chmod("d", 0555) == 0);
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	REQUIRE_ERROR(open("d", O_TMPFILE | O_RDWR, 0600), EACCES);
	REQUIRE_ERROR(linkat(AT_FDCWD, proc, AT_FDCWD, "d/f", AT_SYMLINK_FOLLOW), EACCES);
	REQUIRE(fchmod(fd, 0400) == 0 && open(proc, O_RDONLY) >= 0);
	REQUIRE_ERROR(open(proc, O_RDWR), EACCES);
	REQUIRE(linkat(AT_FDCWD, proc, AT_FDCWD, "f", AT_SYMLINK_FOLLOW) == 0);
	return 0;
}

static int owners_may(void)
{
	struct timespec times[2] = {{1000, 0}, {2000, 0}};
	struct stat st;

	REQUIRE(!put("f", "x", 0) && utimensat(AT_FDCWD, "f", times, 0) == 0);
	REQUIRE(stat("f", &st) == 0 && st.st_mtim.tv_sec == 2000);
	REQUIRE(utimensat(AT_FDCWD, "f", NULL, 0) == 0 && chown("f", getuid(), -1) == 0);
	REQUIRE(link("f", "g") == 0 && rename("g", "h") == 0 && chmod("f", 0444) == 0);
	REQUIRE(mkdir("d", 0) == 0 && utimensat(AT_FDCWD, "d", times, 0) == 0);
	REQUIRE(rename("d", "e") == 0 && chmod("e", 0700) == 0 && rmdir("e") == 0);
	return 0;
}

static int fifo_modes(void)
{
	REQUIRE(mkfifo("p", 0200) == 0);
	REQUIRE_ERROR(open("p", O_RDONLY | O_NONBLOCK), EACCES);
	return 0;
}

static int socket_modes(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "s"};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), to = socket(AF_UNIX, SOCK_STREAM, 0);

	REQUIRE(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	REQUIRE(listen(fd, 1) == 0 && chmod("s", 0500) == 0);
	REQUIRE_ERROR(connect(to, (struct sockaddr *)&address, sizeof(address)), EACCES);
	return 0;
}

static int watch_modes(void)
{
	REQUIRE(!put("f", "x", 0200));
	REQUIRE_ERROR(inotify_add_watch(inotify_init(), "f", IN_MODIFY), EACCES);
	return 0;
}

static const struct rule rules[] = {
	{"rw of a file that is open", open_modes, RULE_USER},
	{"truncating needs w or a descriptor", truncate_modes, RULE_USER},
	{"attributes: need r and w", attribute_modes, RULE_USER},
	{"access tells what modes say", access_tells, RULE_USER},
	{"chdir needs x", change_directory, RULE_USER},
	{"one's own x is needed to run, and no r", run_modes, RULE_USER},
	{"taking x from a directory closes it at once", search_is_taken, RULE_USER},
	{"x of a directory that is open or stood in", search_from_within, RULE_USER},
	{"open files in a directory without x", search_and_open_files, RULE_USER},
	{"open directories in a directory without x", search_and_open_directories,
	 RULE_USER},
	{"links of which one is in a directory without x", search_and_links, RULE_USER},
	{"syncing a directory does not need r", sync_without_r, RULE_USER},
	{"times of files in a directory without x", search_and_times, RULE_USER},
	{"standing below a directory without x", search_from_below, RULE_USER},
	{"x for . and ..", search_for_dots, RULE_USER},
	{"x for a name known not to be there", search_for_nothing, RULE_USER},
	{"x for a symlink that was read", search_for_known_links, RULE_USER},
	{"r of a directory lists it", list_modes, RULE_USER},
	{"permission before other errors", which_error_first, RULE_USER},
	{"permission before the wrong type", which_error_of_two, RULE_USER},
	{"w for files without a name", nameless_files, RULE_USER},
	{"owners need no permission for these", owners_may, RULE_USER},
	{"rw of a fifo", fifo_modes, RULE_USER},
	{"w of a socket", socket_modes, RULE_USER},
	{"r to be watched", watch_modes, RULE_USER},
};

RULES_MAIN(rules)
