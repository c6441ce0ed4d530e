/* SPDX-License-Identifier: Apache-2.0 */
/* rules_names DIR: names, kinds of entries, links, renames and their errors. */
#include <dirent.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include "tests/tools/rules.h"

static int exists(const char *path)
{
	struct stat st;

	return !lstat(path, &st);
}

static int nlink_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) ? -1 : (int)st.st_nlink;
}

static ino_t ino_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) ? 0 : st.st_ino;
}

static int errors_not_a_directory(void)
{
	struct stat st;

	REQUIRE(!put("f", "x", 0644));
	REQUIRE_ERROR(open("f/x", O_RDONLY), ENOTDIR);
	REQUIRE_ERROR(stat("f/", &st), ENOTDIR);
	REQUIRE_ERROR(mkdir("f/x", 0700), ENOTDIR);
	REQUIRE_ERROR(rmdir("f"), ENOTDIR);
	REQUIRE_ERROR(unlink("f/"), ENOTDIR);
	REQUIRE_ERROR(chdir("f"), ENOTDIR);
	REQUIRE_ERROR(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR);
	REQUIRE_ERROR(rename("f", "g/"), ENOTDIR);
	REQUIRE_ERROR(rename("f/", "g"), ENOTDIR);
	REQUIRE_ERROR(link("f/x", "y"), ENOTDIR);
	return 0;
}

static int errors_is_a_directory(void)
{
	REQUIRE(mkdir("d", 0755) == 0);
	REQUIRE_ERROR(open("d", O_WRONLY), EISDIR);
	REQUIRE_ERROR(open("d", O_RDWR), EISDIR);
	REQUIRE_ERROR(open("d", O_RDONLY | O_CREAT, 0600), EISDIR);
	REQUIRE_ERROR(open("new/", O_WRONLY | O_CREAT, 0600), EISDIR);
	REQUIRE_ERROR(truncate("d", 0), EISDIR);
	REQUIRE_ERROR(unlink("d"), EISDIR);
	REQUIRE_ERROR(link("d", "e"), EPERM);
	REQUIRE(open("d", O_RDONLY) >= 0 && mkdir("e/", 0755) == 0 &&
		rename("e/", "f/") == 0);
	return 0;
}

static int errors_exist(void)
{
	REQUIRE(!put("f", "x", 0644) && mkdir("d", 0755) == 0 &&
		symlink("none", "l") == 0);
	REQUIRE_ERROR(open("f", O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
	REQUIRE_ERROR(open("l", O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
	REQUIRE_ERROR(mkdir("f", 0700), EEXIST);
	REQUIRE_ERROR(mkdir("l", 0700), EEXIST);
	REQUIRE_ERROR(mkdir(".", 0700), EEXIST);
	REQUIRE_ERROR(mkfifo("d", 0700), EEXIST);
	REQUIRE_ERROR(symlink("x", "d"), EEXIST);
	REQUIRE_ERROR(link("f", "d"), EEXIST);
	REQUIRE_ERROR(link("f", "f"), EEXIST);
	return 0;
}

static int errors_missing(void)
{
	char buf[8];

	REQUIRE(symlink("none", "l") == 0);
	REQUIRE_ERROR(open("none", O_RDONLY), ENOENT);
	REQUIRE_ERROR(open("", O_RDONLY), ENOENT);
	REQUIRE_ERROR(open("l", O_RDONLY), ENOENT);
	REQUIRE_ERROR(open("no/x", O_CREAT | O_RDWR, 0600), ENOENT);
	REQUIRE_ERROR(mkdir("none/x", 0700), ENOENT);
	REQUIRE_ERROR(unlink("none"), ENOENT);
	REQUIRE_ERROR(rename("none", "x"), ENOENT);
	REQUIRE_ERROR(link("none", "x"), ENOENT);
	REQUIRE_ERROR(symlink("", "x"), ENOENT);
	REQUIRE_ERROR(readlink("none", buf, 8), ENOENT);
	/* made through the symlink */
	REQUIRE(!put("l", "made", 0600) && has("none", "made"));
	return 0;
}

static int symlink_loops(void)
{
	char from[16], to[16];
	int i, fd;

	REQUIRE(symlink("b", "a") == 0 && symlink("a", "b") == 0 &&
		symlink(".", "self") == 0);
	REQUIRE_ERROR(open("a", O_RDONLY), ELOOP);
	REQUIRE_ERROR(open("a/x", O_RDONLY), ELOOP);
	REQUIRE_ERROR(chmod("b", 0600), ELOOP);
	REQUIRE_ERROR(truncate("b", 0), ELOOP);
	REQUIRE(!put("l0", "end", 0600));
	for (i = 1; i <= 41; i++) {
		snprintf(from, sizeof(from), "l%d", i);
		snprintf(to, sizeof(to), "l%d", i - 1);
		REQUIRE(symlink(to, from) == 0);
	}
	REQUIRE(has("l40", "end"));
	REQUIRE_ERROR(open("l41", O_RDONLY), ELOOP);
	REQUIRE_ERROR(open("l1", O_RDONLY | O_NOFOLLOW), ELOOP);
	fd = open("l1", O_PATH | O_NOFOLLOW);
	REQUIRE(fd >= 0 && readlinkat(fd, "", to, sizeof(to)) == 2);
	REQUIRE_ERROR(open("l1", O_DIRECTORY | O_NOFOLLOW), ENOTDIR);
	return 0;
}

static int name_lengths(void)
{
	char name[300];
	size_t len;

	memset(name, 'n', sizeof(name));
	for (len = 1; len <= 255; len += 2) {
		name[len] = '\0';
		REQUIRE(mkdir(name, 0700) == 0 && exists(name) && rmdir(name) == 0);
		name[len] = 'n';
	}
	name[256] = '\0';
	REQUIRE_ERROR(mkdir(name, 0700), ENAMETOOLONG);
	REQUIRE_ERROR(open(name, O_RDONLY), ENAMETOOLONG);
	REQUIRE_ERROR(unlink(name), ENAMETOOLONG);
	REQUIRE_ERROR(symlink("x", name), ENAMETOOLONG);
	REQUIRE(!put("f", "x", 0600));
	REQUIRE_ERROR(rename("f", name), ENAMETOOLONG);
	REQUIRE_ERROR(link("f", name), ENAMETOOLONG);
	return 0;
}

/* "./" in front until it is as long as a path may be. */
static int path_lengths(void)
{
	static char path[PATH_MAX + 2];
	size_t len = PATH_MAX - 1;

	REQUIRE(!put("xf", "x", 0600));
	memset(path, '/', len);
	for (size_t i = 0; i < len; i += 2)
		path[i] = '.';
	memcpy(path + len - 3, "/xf", 4);
	REQUIRE(has(path, "x"));
	memmove(path + 1, path, len + 1);
	path[0] = '.';
	REQUIRE_ERROR(open(path, O_RDONLY), ENAMETOOLONG);
	return 0;
}

static int name_bytes(void)
{
	static const char *const odd[] = {
		"\xff\xfe", "\xc3\x28",	   "a\nb",	   " ",	   "-rf",	"~",
		"*",	    "Case",	   "case",	   "CASE", ".hsmfs.id", ".name.x",
		"...",	    "caf\xc3\xa9", "cafe\xcc\x81", "con",  "a\\b",	"a:b"};
	enum { NR = sizeof(odd) / sizeof(odd[0]) };
	struct dirent *entry;
	int nr = 0;
	DIR *dir;

	for (int i = 0; i < NR; i++)
		REQUIRE(!put(odd[i], odd[i], 0600));
	dir = opendir(".");
	while ((entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		REQUIRE(has(entry->d_name, entry->d_name));
		nr++;
	}
	REQUIRE(nr == NR && closedir(dir) == 0);
	return 0;
}

static int symlink_targets(size_t max)
{
	char target[PATH_MAX + 1], back[PATH_MAX + 1];
	struct stat st;

	memset(target, 't', sizeof(target));
	target[max] = '\0';
	REQUIRE(symlink(target, "l") == 0 && lstat("l", &st) == 0);
	REQUIRE(st.st_size == (off_t)max &&
		readlink("l", back, sizeof(back)) == (ssize_t)max);
	REQUIRE(!memcmp(target, back, max) && readlink("l", back, 5) == 5);
	return 0;
}

static int symlink_targets_3039(void)
{
	return symlink_targets(3039);
}

static int symlink_targets_4095(void)
{
	return symlink_targets(4095);
}

static int rename_kinds(void)
{
	REQUIRE(!put("f", "f", 0600) && mkdir("d", 0700) == 0 &&
		mkdir("full", 0700) == 0);
	REQUIRE(!put("full/x", "x", 0600) && mkdir("full/sub", 0700) == 0);
	REQUIRE_ERROR(rename("f", "d"), EISDIR);
	REQUIRE_ERROR(rename("d", "f"), ENOTDIR);
	REQUIRE_ERROR(rename("d", "full"), ENOTEMPTY);
	REQUIRE_ERROR(rename("full", "full/sub/in"), EINVAL);
	REQUIRE_ERROR(rename("full/sub", "full"), ENOTEMPTY);
	REQUIRE_ERROR(rename(".", "x"), EBUSY);
	REQUIRE_ERROR(rename("d", "."), EBUSY);
	REQUIRE_ERROR(rename("d/..", "x"), EBUSY);
	REQUIRE(rename("d", "d") == 0 && rename("full", "d") == 0 && has("d/x", "x"));
	REQUIRE(!exists("full") && rename("f", "d/x") == 0 && has("d/x", "f"));
	return 0;
}

static int rename_links(void)
{
	ino_t ino;

	REQUIRE(!put("f", "f", 0600) && link("f", "g") == 0 && symlink("f", "l") == 0);
	ino = ino_of("f");
	REQUIRE(rename("f", "g") == 0 && exists("f") && exists("g") &&
		nlink_of("f") == 2);
	REQUIRE(unlink("g") == 0 && rename("f", "h") == 0 && ino_of("h") == ino);
	/* the symlink itself is renamed and replaced */
	REQUIRE(rename("l", "m") == 0 && !exists("l") && rename("h", "m") == 0);
	REQUIRE(has("m", "f") && ino_of("m") == ino);
	return 0;
}

static int rename_flags(void)
{
	REQUIRE(!put("f", "f", 0600) && mkdir("d", 0700) == 0 && !put("d/x", "x", 0600));
	REQUIRE_ERROR(renameat2(AT_FDCWD, "f", AT_FDCWD, "d", RENAME_NOREPLACE), EEXIST);
	REQUIRE_ERROR(renameat2(AT_FDCWD, "f", AT_FDCWD, "no", RENAME_EXCHANGE), ENOENT);
	REQUIRE_ERROR(renameat2(AT_FDCWD, "f", AT_FDCWD, "d",
				RENAME_EXCHANGE | RENAME_NOREPLACE),
		      EINVAL);
	REQUIRE_ERROR(renameat2(AT_FDCWD, "d", AT_FDCWD, "d/x", RENAME_EXCHANGE), EINVAL);
	REQUIRE(renameat2(AT_FDCWD, "f", AT_FDCWD, "d", RENAME_EXCHANGE) == 0);
	REQUIRE(has("f/x", "x") && has("d", "f") && nlink_of("f") == 2);
	REQUIRE(renameat2(AT_FDCWD, "d", AT_FDCWD, "f/y", RENAME_NOREPLACE) == 0);
	REQUIRE(has("f/y", "f"));
	return 0;
}

static int rename_whiteout(void)
{
	struct stat st;

	REQUIRE(!put("f", "f", 0600));
	REQUIRE(renameat2(AT_FDCWD, "f", AT_FDCWD, "g", RENAME_WHITEOUT) == 0);
	REQUIRE(stat("f", &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == 0);
	return 0;
}

static int rmdir_rules(void)
{
	int fd;

	REQUIRE(mkdir("d", 0700) == 0 && mkdir("d/e", 0700) == 0);
	REQUIRE_ERROR(rmdir("d"), ENOTEMPTY);
	REQUIRE_ERROR(rmdir("d/."), EINVAL);
	REQUIRE_ERROR(rmdir("d/e/.."), ENOTEMPTY);
	REQUIRE_ERROR(unlinkat(AT_FDCWD, "d", 0), EISDIR);
	fd = open("d/e", O_RDONLY | O_DIRECTORY);
	REQUIRE(chdir("d/e") == 0 && rmdir("../e") == 0);
	REQUIRE_ERROR(open("x", O_CREAT | O_RDWR, 0600), ENOENT);
	REQUIRE_ERROR(mkdir("x", 0700), ENOENT);
	REQUIRE_ERROR(openat(fd, "x", O_RDONLY), ENOENT);
	REQUIRE(getcwd(NULL, 0) == NULL && errno == ENOENT);
	REQUIRE(chdir("..") == 0 && rmdir("../d") == 0);
	return 0;
}

static int link_counts(void)
{
	struct stat st;
	int fd;

	REQUIRE(mkdir("d", 0700) == 0 && nlink_of("d") == 2);
	REQUIRE(mkdir("d/a", 0700) == 0 && mkdir("d/b", 0700) == 0 && nlink_of("d") == 4);
	REQUIRE(rename("d/a", "a") == 0 && nlink_of("d") == 3);
	REQUIRE(rmdir("d/b") == 0 && nlink_of("d") == 2);
	REQUIRE(!put("f", "x", 0600) && link("f", "g") == 0 && link("g", "d/h") == 0);
	REQUIRE(nlink_of("f") == 3 && unlink("f") == 0 && nlink_of("g") == 2);
	fd = open("g", O_RDONLY);
	REQUIRE(unlink("g") == 0 && fstat(fd, &st) == 0 && st.st_nlink == 1);
	REQUIRE(unlink("d/h") == 0 && fstat(fd, &st) == 0 && st.st_nlink == 0);
	REQUIRE(symlink("none", "l") == 0 && link("l", "m") == 0 && nlink_of("l") == 2);
	return 0;
}

static int link_descriptors(void)
{
	char proc[40];
	int fd = open("f", O_RDWR | O_CREAT, 0600);

	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	REQUIRE(linkat(AT_FDCWD, proc, AT_FDCWD, "g", AT_SYMLINK_FOLLOW) == 0);
	REQUIRE(nlink_of("f") == 2 && ino_of("f") == ino_of("g"));
	REQUIRE(unlink("f") == 0 && unlink("g") == 0);
	REQUIRE_ERROR(linkat(AT_FDCWD, proc, AT_FDCWD, "g", AT_SYMLINK_FOLLOW), ENOENT);
	return 0;
}

static int unlinked_files(void)
{
	struct stat st;
	char buf[8];
	int fd = open("f", O_RDWR | O_CREAT, 0640), other;

	REQUIRE(write(fd, "text", 4) == 4 && unlink("f") == 0 && fstat(fd, &st) == 0);
	REQUIRE(st.st_nlink == 0 && st.st_size == 4 && (st.st_mode & 07777) == 0640);
	REQUIRE(fchmod(fd, 0600) == 0 && fstat(fd, &st) == 0 &&
		(st.st_mode & 07777) == 0600);
	snprintf(buf, sizeof(buf), "%d", fd);
	REQUIRE(pwrite(fd, "more", 4, 4) == 4 && ftruncate(fd, 6) == 0 && fsync(fd) == 0);
	REQUIRE(pread(fd, buf, 8, 0) == 6 && !memcmp(buf, "textmo", 6));
	/* replaced by a rename */
	REQUIRE(!put("a", "old", 0600) && !put("b", "newer", 0600));
	other = open("a", O_RDWR);
	REQUIRE(rename("b", "a") == 0 && fstat(other, &st) == 0 && st.st_size == 3 &&
		st.st_nlink == 0 && write(other, "x", 1) == 1);
	REQUIRE(has("a", "newer") && pread(other, buf, 8, 0) == 3 &&
		!memcmp(buf, "xld", 3));
	return 0;
}

static int fifos(void)
{
	struct pollfd pfd = {.events = POLLIN};
	char buf[8];
	int in, out;

	REQUIRE(mkfifo("p", 0600) == 0);
	REQUIRE_ERROR(open("p", O_WRONLY | O_NONBLOCK), ENXIO);
	in = open("p", O_RDONLY | O_NONBLOCK);
	out = open("p", O_WRONLY);
	REQUIRE(in >= 0 && out >= 0 && write(out, "hello", 5) == 5);
	pfd.fd = in;
	REQUIRE(poll(&pfd, 1, 1000) == 1 && read(in, buf, 8) == 5);
	REQUIRE_ERROR(lseek(in, 0, SEEK_SET), ESPIPE);
	return 0;
}

static int sockets(void)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "s"};
	int server = socket(AF_UNIX, SOCK_STREAM, 0),
	    client = socket(AF_UNIX, SOCK_STREAM, 0);
	struct stat st;

	REQUIRE(bind(server, (struct sockaddr *)&name, sizeof(name)) == 0);
	REQUIRE(listen(server, 1) == 0 && lstat("s", &st) == 0 && S_ISSOCK(st.st_mode));
	REQUIRE(connect(client, (struct sockaddr *)&name, sizeof(name)) == 0);
	REQUIRE(accept(server, NULL, NULL) >= 0);
	REQUIRE_ERROR(open("s", O_RDONLY), ENXIO);
	REQUIRE_ERROR(bind(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&name,
			   sizeof(name)),
		      EADDRINUSE);
	REQUIRE(unlink("s") == 0);
	REQUIRE_ERROR(connect(client, (struct sockaddr *)&name, sizeof(name)), ENOENT);
	return 0;
}

static int devices(void)
{
	struct stat st;

	REQUIRE(mknod("c", S_IFCHR | 0640, makedev(1, 3)) == 0 && lstat("c", &st) == 0);
	REQUIRE(S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3) &&
		mode_of("c") == 0640);
	REQUIRE(mknod("b", S_IFBLK | 0600, makedev(259, 70000)) == 0 &&
		lstat("b", &st) == 0);
	REQUIRE(S_ISBLK(st.st_mode) && st.st_rdev == makedev(259, 70000));
	REQUIRE(rename("c", "d") == 0 && link("d", "e") == 0 && unlink("d") == 0);
	return 0;
}

static int devices_refused(void)
{
	REQUIRE_ERROR(mknod("c", S_IFCHR | 0640, makedev(1, 3)), EPERM);
	REQUIRE(mknod("f", S_IFREG | 0640, 0) == 0 && mode_of("f") == 0640);
	return 0;
}

static int nameless_files(void)
{
	char proc[40], buf[8];
	struct stat st;
	int fd = open(".", O_TMPFILE | O_RDWR, 0600);

	REQUIRE(fd >= 0 && write(fd, "text", 4) == 4 && fstat(fd, &st) == 0 &&
		!st.st_nlink);
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	REQUIRE(linkat(AT_FDCWD, proc, AT_FDCWD, "f", AT_SYMLINK_FOLLOW) == 0 &&
		has("f", "text"));
	REQUIRE(pread(fd, buf, 8, 0) == 4 && fstat(fd, &st) == 0 && st.st_nlink == 1);
	REQUIRE(st.st_ino == ino_of("f") && write(fd, "more", 4) == 4 && close(fd) == 0);
	REQUIRE(has("f", "textmore") && unlink("f") == 0);
	REQUIRE_ERROR(open(".", O_TMPFILE | O_RDONLY, 0600), EINVAL);
	REQUIRE_ERROR(open("none", O_TMPFILE | O_RDWR, 0600), ENOENT);
	return 0;
}

static int nameless_files_stay_so(void)
{
	char proc[40];
	int fd = open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600), other;
	DIR *dir = opendir(".");
	int nr = 0;

	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	REQUIRE(fd >= 0 && write(fd, "text", 4) == 4);
	REQUIRE_ERROR(linkat(AT_FDCWD, proc, AT_FDCWD, "f", AT_SYMLINK_FOLLOW), ENOENT);
	while (readdir(dir))
		nr++;
	REQUIRE(nr == 2 && closedir(dir) == 0);
	/* closed but not gone: something else leads to it */
	fd = open(".", O_TMPFILE | O_RDWR, 04640);
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	other = open(proc, O_PATH);
	REQUIRE(other >= 0 && write(fd, "kept", 4) == 4 && close(fd) == 0);
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", other);
	REQUIRE(linkat(AT_FDCWD, proc, AT_FDCWD, "g", AT_SYMLINK_FOLLOW) == 0);
	REQUIRE(close(other) == 0 && has("g", "kept") && nlink_of("g") == 1);
	return 0;
}

/* The number of one that is closed may be the next file's at once. */
static int nameless_numbers(void)
{
	char name[16];
	struct stat st;

	for (int i = 0; i < 200; i++) {
		int fd = open(".", O_TMPFILE | O_RDWR, 0600);

		snprintf(name, sizeof(name), "f%d", i);
		REQUIRE(fd >= 0 && write(fd, "wrong content", 13) == 13);
		REQUIRE(fstat(fd, &st) == 0 && st.st_size == 13 && close(fd) == 0);
		fd = open(name, O_CREAT | O_EXCL | O_RDWR, 0640);
		REQUIRE(fd >= 0 && fstat(fd, &st) == 0 && st.st_size == 0);
		REQUIRE(st.st_nlink == 1 && (st.st_mode & 07777) == 0640);
		REQUIRE(write(fd, name, strlen(name)) > 0 && close(fd) == 0);
	}
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		REQUIRE(has(name, name));
	}
	return 0;
}

static int nameless_owner_other(void)
{
	struct stat st;
	int fd = open("sg", O_TMPFILE | O_RDWR, 04755);

	REQUIRE(fd >= 0 && fstat(fd, &st) == 0 && (st.st_mode & 07777) == 04755);
	REQUIRE(st.st_uid == OTHER_UID && st.st_gid == 777);
	fd = open(".", O_TMPFILE | O_RDWR, 0600);
	REQUIRE(fd >= 0 && fstat(fd, &st) == 0 && st.st_gid == OTHER_GID);
	REQUIRE_ERROR(open("closed", O_TMPFILE | O_RDWR, 0600), EACCES);
	return 0;
}

static int nameless_owner(void)
{
	REQUIRE(mkdir("sg", 0777) == 0 && chown("sg", 0, 777) == 0 &&
		chmod("sg", 02777) == 0 && mkdir("closed", 0755) == 0);
	return as_other(nameless_owner_other);
}

/* What nfsd and backup programs do; a handle of a file that is gone opens no other one.
 */
static int handles(void)
{
	union {
		struct file_handle handle;
		char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} file = {.handle.handle_bytes = MAX_HANDLE_SZ};
	int id, fd, mount = open(".", O_RDONLY);
	char buf[8], name[16];

	REQUIRE(!put("f", "text", 0600));
	REQUIRE(name_to_handle_at(AT_FDCWD, "f", &file.handle, &id, 0) == 0);
	fd = open_by_handle_at(mount, &file.handle, O_RDONLY);
	REQUIRE(fd >= 0 && read(fd, buf, 8) == 4 && close(fd) == 0);
	REQUIRE(rename("f", "g") == 0);
	fd = open_by_handle_at(mount, &file.handle, O_RDONLY);
	REQUIRE(fd >= 0 && close(fd) == 0 && unlink("g") == 0);
	for (int i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "h%d", i);
		REQUIRE(!put(name, "other", 0600));
	}
	REQUIRE_ERROR(open_by_handle_at(mount, &file.handle, O_RDONLY), ESTALE);
	return 0;
}

static int listing(void)
{
	struct dirent *entry;
	struct stat st;
	int nr = 0;
	DIR *dir;

	REQUIRE(mkdir("d", 0700) == 0 && chdir("d") == 0 && mkdir("sub", 0700) == 0);
	REQUIRE(!put("f", "x", 0600) && symlink("x", "l") == 0 && mkfifo("p", 0600) == 0);
	dir = opendir(".");
	while ((entry = readdir(dir))) {
		REQUIRE(lstat(entry->d_name, &st) == 0);
		REQUIRE(entry->d_type == (st.st_mode & S_IFMT) >> 12);
		REQUIRE(entry->d_ino == st.st_ino);
		nr++;
	}
	REQUIRE(nr == 6 && closedir(dir) == 0);
	return 0;
}

static int listing_changes(void)
{
	enum { NR = 3000 };
	static unsigned char seen[NR];
	struct dirent *entry;
	long half = 0;
	char name[32];
	int nr = 0, i;
	DIR *dir;

	for (i = 0; i < NR; i++) {
		snprintf(name, sizeof(name), "entry-%d", i);
		REQUIRE(close(open(name, O_CREAT | O_WRONLY, 0600)) == 0);
	}
	dir = opendir(".");
	while ((entry = readdir(dir))) {
		if (sscanf(entry->d_name, "entry-%d", &i) != 1)
			continue;
		REQUIRE(seen[i]++ == 0);
		/* what was listed already goes, something else comes: no entry is lost */
		if (i % 3 == 0)
			REQUIRE(unlink(entry->d_name) == 0);
		if (i % 7 == 0) {
			snprintf(name, sizeof(name), "new-%d", i);
			REQUIRE(close(open(name, O_CREAT | O_WRONLY, 0600)) == 0);
		}
		if (++nr == NR / 2)
			half = telldir(dir);
	}
	REQUIRE(nr == NR);
	seekdir(dir, half);
	for (nr = 0; (entry = readdir(dir));)
		nr += sscanf(entry->d_name, "entry-%d", &i) == 1;
	REQUIRE(nr > NR / 4 && nr <= NR / 2);
	rewinddir(dir);
	for (nr = 0; (entry = readdir(dir));)
		nr += sscanf(entry->d_name, "entry-%d", &i) == 1;
	REQUIRE(nr == NR - NR / 3 && closedir(dir) == 0);
	return 0;
}

static int numbers_are_stable(void)
{
	ino_t file, dir;

	REQUIRE(!put("f", "x", 0600) && mkdir("d", 0700) == 0 && mkdir("e", 0700) == 0);
	file = ino_of("f");
	dir = ino_of("d");
	REQUIRE(file && dir && file != dir && rename("f", "d/g") == 0 &&
		rename("d", "e/h") == 0);
	REQUIRE(ino_of("e/h/g") == file && ino_of("e/h") == dir &&
		ino_of("e/h/..") == ino_of("e"));
	REQUIRE(ino_of("e/h/.") == dir && chmod("e/h/g", 0) == 0 &&
		ino_of("e/h/g") == file);
	return 0;
}

static int open_flags(void)
{
	struct stat st;
	char buf[8];
	int fd;

	REQUIRE(!put("f", "text", 0600) && mkdir("d", 0700) == 0);
	fd = open("f", O_PATH);
	REQUIRE(fd >= 0 && fstat(fd, &st) == 0 && st.st_size == 4);
	REQUIRE_ERROR(read(fd, buf, 1), EBADF);
	REQUIRE_ERROR(fchmod(fd, 0600), EBADF);
	fd = open("f", O_WRONLY | O_APPEND);
	REQUIRE(write(fd, "+", 1) == 1 && lseek(fd, 0, SEEK_SET) == 0 &&
		write(fd, "+", 1) == 1);
	REQUIRE(has("f", "text++"));
	REQUIRE_ERROR(read(fd, buf, 1), EBADF);
	fd = open("f", O_RDONLY | O_TRUNC);
	REQUIRE(fd >= 0 && fstat(fd, &st) == 0);
	fd = open("d", O_RDONLY);
	REQUIRE_ERROR(read(fd, buf, 1), EISDIR);
	REQUIRE(openat(fd, "../f", O_RDONLY) >= 0);
	return 0;
}

/* A descriptor that is only a place: it follows its inode, whatever becomes of names. */
static int places(void)
{
	char proc[40], buf[8];
	struct stat st;
	int fd, dir;

	REQUIRE(!put("f", "text", 0600) && mkdir("d", 0700) == 0);
	REQUIRE(!put("d/in", "in", 0600));
	fd = open("f", O_PATH | O_NOFOLLOW);
	dir = open("d", O_PATH | O_DIRECTORY);
	REQUIRE(fd >= 0 && dir >= 0);
	REQUIRE_ERROR(write(fd, "x", 1), EBADF);
	REQUIRE_ERROR(ftruncate(fd, 0), EBADF);
	REQUIRE_ERROR(getdents64(dir, buf, sizeof(buf)), EBADF);
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	REQUIRE(chmod(proc, 0640) == 0 && mode_of("f") == 0640 && has(proc, "text"));
	REQUIRE(rename("f", "d/g") == 0 && rename("d", "e") == 0);
	REQUIRE(has(proc, "text") && faccessat(dir, "g", R_OK, 0) == 0);
	REQUIRE(!put(proc, "newer", 0600) && has("e/g", "newer"));
	REQUIRE(unlink("e/g") == 0 && fstat(fd, &st) == 0 && st.st_nlink == 0);
	REQUIRE(st.st_size == 5);
	REQUIRE_ERROR(linkat(AT_FDCWD, proc, AT_FDCWD, "h", AT_SYMLINK_FOLLOW), ENOENT);
	REQUIRE(fchdir(dir) == 0 && has("in", "in") && unlink("in") == 0);
	REQUIRE(rmdir("../e") == 0);
	REQUIRE_ERROR(openat(dir, "new", O_CREAT | O_RDWR, 0600), ENOENT);
	REQUIRE(fstat(dir, &st) == 0 && S_ISDIR(st.st_mode) && st.st_nlink == 0);
	return 0;
}

static int places_of_removed_files(void)
{
	char proc[40];
	int fd;

	REQUIRE(!put("f", "text", 0600));
	fd = open("f", O_PATH);
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	REQUIRE(unlink("f") == 0 && has(proc, "text"));
	return 0;
}

static const struct rule rules[] = {
	{"ENOTDIR", errors_not_a_directory, 0},
	{"EISDIR", errors_is_a_directory, 0},
	{"EEXIST", errors_exist, 0},
	{"ENOENT", errors_missing, 0},
	{"ELOOP", symlink_loops, 0},
	{"ENAMETOOLONG of names", name_lengths, 0},
	{"ENAMETOOLONG of paths", path_lengths, 0},
	{"names of any bytes", name_bytes, 0},
	{"symlink targets of 3039 bytes", symlink_targets_3039, 0},
	{"symlink targets of 4095 bytes", symlink_targets_4095, 0},
	{"rename: kinds", rename_kinds, 0},
	{"rename: hard links and symlinks", rename_links, 0},
	{"rename: exchange and noreplace", rename_flags, 0},
	{"rename: whiteout", rename_whiteout, RULE_ROOT},
	{"rmdir", rmdir_rules, 0},
	{"link counts", link_counts, 0},
	{"links of descriptors", link_descriptors, 0},
	{"files without a name", unlinked_files, 0},
	{"O_TMPFILE", nameless_files, 0},
	{"O_TMPFILE: O_EXCL, O_PATH", nameless_files_stay_so, 0},
	{"O_TMPFILE: numbers used again", nameless_numbers, 0},
	{"O_TMPFILE: owner and mode", nameless_owner, RULE_ROOT},
	{"fifos", fifos, 0},
	{"sockets", sockets, 0},
	{"devices", devices, RULE_ROOT},
	{"devices are root's", devices_refused, RULE_USER},
	{"file handles", handles, RULE_ROOT},
	{"listing: types and numbers", listing, 0},
	{"listing while the directory changes", listing_changes, 0},
	{"inode numbers", numbers_are_stable, 0},
	{"open flags", open_flags, 0},
	{"O_PATH", places, 0},
	{"O_PATH of removed files", places_of_removed_files, 0},
};

RULES_MAIN(rules)
