/* SPDX-License-Identifier: Apache-2.0 */
/* rules_data DIR: contents, holes, maps, locks and extended attributes. */
#include <linux/falloc.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/xattr.h>

#include "tests/tools/rules.h"

enum { BIG = 1 << 20 };

static _Alignas(4096) unsigned char model[BIG], buf[BIG];

/* A file of pattern, also in model, written to the disk. */
static int pattern_file(const char *path, size_t len)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);

	for (size_t i = 0; i < len; i++)
		model[i] = (unsigned char)(i * 7 + i / 251 + 1);
	return write(fd, model, len) == (ssize_t)len && !fsync(fd) ? fd : -1;
}

static int is_model(int fd, size_t len)
{
	struct stat st;

	return !fstat(fd, &st) && st.st_size == (off_t)len &&
	       pread(fd, buf, BIG, 0) == (ssize_t)len && !memcmp(buf, model, len);
}

static long blocks_of(int fd)
{
	struct stat st;

	/* closing any descriptor has a network-like file system look again */
	return fsync(fd) || close(dup(fd)) || fstat(fd, &st) ? -1 : (long)st.st_blocks;
}

static int read_and_write(void)
{
	int fd = pattern_file("f", 100000);

	REQUIRE(fd >= 0 && is_model(fd, 100000) && pread(fd, buf, 10, 100000) == 0);
	REQUIRE(pread(fd, buf, 100, 99990) == 10 && lseek(fd, 0, SEEK_END) == 100000);
	REQUIRE(lseek(fd, 500000, SEEK_SET) == 500000 && read(fd, buf, 10) == 0);
	REQUIRE(lseek(fd, 0, SEEK_CUR) == 500000 && write(fd, "x", 1) == 1);
	model[500000] = 'x';
	REQUIRE(is_model(fd, 500001));
	REQUIRE_ERROR(lseek(fd, -1, SEEK_SET), EINVAL);
	REQUIRE_ERROR(pread(fd, buf, 1, -1), EINVAL);
	REQUIRE_ERROR(ftruncate(fd, -1), EINVAL);
	return 0;
}

static int huge_files(void)
{
	off_t far = (off_t)3 << 40;
	struct stat st;
	int fd = open("f", O_RDWR | O_CREAT, 0644);

	REQUIRE(pwrite(fd, "end", 3, far) == 3 && fstat(fd, &st) == 0 &&
		st.st_size == far + 3);
	REQUIRE(pread(fd, buf, 10, far - 5) == 8 && !memcmp(buf, "\0\0\0\0\0end", 8));
	REQUIRE(pread(fd, buf, 10, (off_t)2 << 40) == 10 && !buf[0] &&
		blocks_of(fd) < 1000);
	REQUIRE(ftruncate(fd, far + ((off_t)1 << 40)) == 0 && blocks_of(fd) < 1000);
	REQUIRE(ftruncate(fd, 100) == 0 && pread(fd, buf, 1000, 0) == 100 && !buf[99]);
	return 0;
}

static int size_limits(void)
{
	struct rlimit limit = {100000, 100000};
	int fd = open("f", O_RDWR | O_CREAT, 0644);

	signal(SIGXFSZ, SIG_IGN);
	REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0 &&
		pwrite(fd, model, 10, 99995) == 5);
	REQUIRE_ERROR(pwrite(fd, "x", 1, 100000), EFBIG);
	REQUIRE_ERROR(ftruncate(fd, 100001), EFBIG);
	REQUIRE(ftruncate(fd, 100000) == 0);
	return 0;
}

static int direct_io(void)
{
	void *block;
	int fd = pattern_file("f", 65536), direct = open("f", O_RDWR | O_DIRECT);
	int reader = open("f", O_RDONLY | O_DIRECT);
	char *map = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	REQUIRE(fd >= 0 && direct >= 0 && posix_memalign(&block, 4096, 8192) == 0);
	REQUIRE(reader >= 0 && map != MAP_FAILED);
	REQUIRE(pread(direct, block, 8192, 4096) == 8192 &&
		!memcmp(block, model + 4096, 8192));
	memset(block, 'd', 8192);
	memset(model + 16384, 'd', 8192);
	REQUIRE(pwrite(direct, block, 8192, 16384) == 8192 && is_model(fd, 65536));
	/* through the cache, then past it */
	REQUIRE(pwrite(fd, "cached", 6, 16384) == 6 &&
		pread(direct, block, 4096, 16384) == 4096);
	REQUIRE(!memcmp(block, "cached", 6));
	REQUIRE(pwrite(fd, "again", 5, 20480) == 5);
	memcpy(map + 24570, "through the map", 15);
	REQUIRE(pread(reader, block, 8192, 20480) == 8192);
	REQUIRE(!memcmp(block, "again", 5) &&
		!memcmp((char *)block + 4090, "through the map", 15));
	REQUIRE(pwrite(fd, "longer", 6, 65536) == 6);
	REQUIRE(pread(reader, block, 8192, 61440) == 4102 &&
		!memcmp((char *)block + 4096, "longer", 6));
	REQUIRE_ERROR(write(reader, block, 4096), EBADF);
	return 0;
}

static int synchronous_io(void)
{
	int fd = open("f", O_RDWR | O_CREAT | O_SYNC, 0644);
	int other = open("f", O_RDWR | O_DSYNC | O_APPEND);

	REQUIRE(write(fd, "abc", 3) == 3 && write(other, "def", 3) == 3 &&
		has("f", "abcdef"));
	REQUIRE(fdatasync(fd) == 0 && syncfs(fd) == 0 && close(fd) == 0 &&
		close(other) == 0);
	REQUIRE(sync_file_range(open("f", O_RDWR), 0, 6, SYNC_FILE_RANGE_WRITE) == 0);
	return 0;
}

static int fallocate_extends(void)
{
	int fd = pattern_file("f", 5000);

	REQUIRE(fallocate(fd, 0, 0, 4000) == 0 && is_model(fd, 5000));
	REQUIRE(fallocate(fd, 0, 4000, 300000) == 0 && is_model(fd, 304000));
	REQUIRE(blocks_of(fd) >= 304000 / 512);
	REQUIRE(pwrite(fd, "x", 1, 200000) == 1);
	model[200000] = 'x';
	REQUIRE(is_model(fd, 304000) && posix_fallocate(fd, 304000, 1000) == 0);
	REQUIRE(is_model(fd, 305000));
	fd = open("empty", O_RDWR | O_CREAT, 0644);
	memset(model, 0, sizeof(model));
	REQUIRE(fallocate(fd, 0, 0, 100000) == 0 && is_model(fd, 100000));
	REQUIRE_ERROR(fallocate(fd, 0, 0, 0), EINVAL);
	REQUIRE_ERROR(fallocate(open("empty", O_RDONLY), 0, 0, 1), EBADF);
	return 0;
}

static int fallocate_keeps_size(void)
{
	int fd = pattern_file("f", 5000);

	REQUIRE(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 1000000) == 0 &&
		is_model(fd, 5000));
	REQUIRE(blocks_of(fd) >= 1000000 / 512);
	REQUIRE(pwrite(fd, "x", 1, 100000) == 1);
	model[100000] = 'x';
	REQUIRE(is_model(fd, 100001) && ftruncate(fd, 100001) == 0);
	return 0;
}

static int clear_range(int mode, size_t off, size_t len)
{
	int fd = pattern_file("f", 600001);
	size_t end = off + len > 600001 ? 600001 : off + len;

	REQUIRE(fallocate(fd, mode, (off_t)off, (off_t)len) == 0);
	if (off < end)
		memset(model + off, 0, end - off);
	REQUIRE(is_model(fd, 600001) && fsync(fd) == 0 && close(fd) == 0);
	fd = open("f", O_RDWR | O_DIRECT);
	REQUIRE(is_model(fd, 600001) && close(fd) == 0);
	return 0;
}

static const struct {
	size_t off, len;
} ranges[] = {{0, 1},	    {0, 4032},	     {0, 4096},	     {4032, 4064},
	      {4000, 4100}, {4096, 4096},    {100, 100},     {8000, 400000},
	      {0, 600001},  {0, 1000000},    {599990, 5000}, {596000, 4001},
	      {600001, 10}, {700000, 10000}, {5000, 595001}, {4032, 1},
	      {8095, 4066}};

static int punch_holes(void)
{
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		REQUIRE(!clear_range(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				     ranges[i].off, ranges[i].len));
	return 0;
}

static int zero_ranges(void)
{
	int fd;

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		REQUIRE(!clear_range(FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
				     ranges[i].off, ranges[i].len));
	fd = pattern_file("f", 10000);
	REQUIRE(fallocate(fd, FALLOC_FL_ZERO_RANGE, 5000, 100000) == 0);
	memset(model + 5000, 0, 100000);
	REQUIRE(is_model(fd, 105000));
	return 0;
}

static int punching_frees(void)
{
	int fd = pattern_file("f", BIG);
	long before = blocks_of(fd);

	REQUIRE(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 65536,
			  BIG / 2) == 0);
	REQUIRE(before >= BIG / 512 && blocks_of(fd) < before - BIG / 512 / 2 + 64);
	REQUIRE_ERROR(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10), EOPNOTSUPP);
	return 0;
}

static int collapse_range(void)
{
	int fd = pattern_file("f", 65536);

	REQUIRE(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 4096, 4096) == 0);
	return 0;
}

static int holes_are_found(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644);
	off_t data, hole;

	REQUIRE(pwrite(fd, model, 100000, 0) == 100000 &&
		pwrite(fd, model, 10, 900000) == 10);
	REQUIRE(fsync(fd) == 0);
	hole = lseek(fd, 0, SEEK_HOLE);
	REQUIRE(hole >= 100000 && hole < 110000);
	data = lseek(fd, hole, SEEK_DATA);
	REQUIRE(data > 880000 && data <= 900000 && lseek(fd, data, SEEK_HOLE) == 900010);
	REQUIRE(lseek(fd, 50000, SEEK_DATA) == 50000);
	REQUIRE_ERROR(lseek(fd, 900010, SEEK_DATA), ENXIO);
	REQUIRE_ERROR(lseek(fd, 900010, SEEK_HOLE), ENXIO);
	REQUIRE(ftruncate(fd, 2000000) == 0 && lseek(fd, 1900000, SEEK_HOLE) == 1900000);
	return 0;
}

/* Data that was just written, and is not on the disk yet, is no hole. */
static int new_data_is_no_hole(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644);

	REQUIRE(ftruncate(fd, BIG) == 0 && pwrite(fd, "data", 4, 500000) == 4);
	REQUIRE(lseek(fd, 0, SEEK_DATA) <= 500000 &&
		lseek(fd, 500001, SEEK_DATA) == 500001);
	REQUIRE(lseek(fd, 500001, SEEK_HOLE) > 500003);
	return 0;
}

static int copies(void)
{
	loff_t from = 5000, to = 100;
	int in = pattern_file("in", 200000), out = open("out", O_RDWR | O_CREAT, 0644);
	int inside = pattern_file("both", 200000);

	REQUIRE(copy_file_range(in, &from, out, &to, 100000, 0) == 100000);
	REQUIRE(from == 105000 && to == 100100 && pread(out, buf, 100100, 0) == 100100);
	REQUIRE(!memcmp(buf + 100, model + 5000, 100000));
	from = 199990, to = 0;
	REQUIRE(copy_file_range(in, &from, out, &to, 100, 0) == 10);
	from = 0, to = 100000;
	REQUIRE(copy_file_range(inside, &from, inside, &to, 50000, 0) == 50000);
	REQUIRE(pread(inside, buf, 50000, 100000) == 50000 && !memcmp(buf, model, 50000));
	from = 0, to = 10;
	REQUIRE_ERROR(copy_file_range(inside, &from, inside, &to, 100, 0), EINVAL);
	REQUIRE(lseek(in, 0, SEEK_SET) == 0 && ftruncate(out, 0) == 0 &&
		lseek(out, 0, SEEK_SET) == 0);
	REQUIRE(sendfile(out, in, NULL, 200000) == 200000 && is_model(out, 200000));
	return 0;
}

static int shared_maps(void)
{
	int fd = pattern_file("f", 300000);
	unsigned char *map =
		mmap(NULL, 300000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	unsigned char *second =
		mmap(NULL, 300000, PROT_READ, MAP_SHARED, open("f", O_RDONLY), 0);

	REQUIRE(map != MAP_FAILED && second != MAP_FAILED && !memcmp(map, model, 300000));
	model[70000] = map[70000] = 200;
	REQUIRE(second[70000] == 200 && is_model(fd, 300000));
	REQUIRE(pwrite(fd, "by write", 8, 123456) == 8 &&
		!memcmp(map + 123456, "by write", 8));
	memcpy(model + 123456, "by write", 8);
	REQUIRE(munmap(map, 300000) == 0 && is_model(fd, 300000));
	return 0;
}

static int private_maps(void)
{
	int fd = pattern_file("f", 300000);
	unsigned char *map =
		mmap(NULL, 300000, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	REQUIRE(map != MAP_FAILED);
	memset(map, 0, 300000);
	REQUIRE(munmap(map, 300000) == 0 && is_model(fd, 300000));
	return 0;
}

static int maps_and_ends(void)
{
	int fd = pattern_file("f", 5000), status;
	unsigned char *map = mmap(NULL, 20000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	pid_t pid;

	REQUIRE(map != MAP_FAILED && map[4999] == model[4999] && map[5000] == 0);
	map[6000] = 1; /* in the last page, but behind the end: is never seen again */
	REQUIRE(msync(map, 8192, MS_SYNC) == 0 && ftruncate(fd, 7000) == 0);
	REQUIRE(pread(fd, buf, 10, 6000) == 10 && buf[0] == 0);
	pid = fork();
	if (pid == 0) {
		volatile unsigned char *at = map + 9000;

		_exit(*at);
	}
	REQUIRE(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
		WTERMSIG(status) == SIGBUS);
	REQUIRE(ftruncate(fd, 0) == 0 && ftruncate(fd, 100) == 0 && map[0] == 0);
	return 0;
}

/* Runs @lock in another process: 0 if it got it. */
static int elsewhere(int (*lock)(int fd, int type), const char *path, int type)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(lock(open(path, O_RDWR), type) ? 1 : 0);
	return waitpid(pid, &status, 0) == pid ? status : -1;
}

static int posix_lock(int fd, int type)
{
	struct flock lock = {
		.l_type = (short)type, .l_whence = SEEK_SET, .l_start = 10, .l_len = 10};

	return fcntl(fd, F_SETLK, &lock);
}

static int ofd_lock(int fd, int type)
{
	struct flock lock = {
		.l_type = (short)type, .l_whence = SEEK_SET, .l_start = 10, .l_len = 10};

	return fcntl(fd, F_OFD_SETLK, &lock);
}

static int bsd_lock(int fd, int type)
{
	return flock(fd, (type == F_WRLCK   ? LOCK_EX
			  : type == F_RDLCK ? LOCK_SH
					    : LOCK_UN) |
				 LOCK_NB);
}

static int posix_locks(void)
{
	struct flock ask = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 15, .l_len = 1};
	int fd = pattern_file("f", 100), status;
	pid_t pid;

	REQUIRE(posix_lock(fd, F_WRLCK) == 0 && elsewhere(posix_lock, "f", F_RDLCK));
	pid = fork();
	if (pid == 0)
		_exit(fcntl(open("f", O_RDWR), F_GETLK, &ask) || ask.l_type != F_WRLCK ||
		      ask.l_pid != getppid() || ask.l_start != 10);
	REQUIRE(waitpid(pid, &status, 0) == pid && status == 0);
	REQUIRE(posix_lock(fd, F_RDLCK) == 0 && !elsewhere(posix_lock, "f", F_RDLCK));
	REQUIRE(elsewhere(posix_lock, "f", F_WRLCK));
	/* any closed descriptor of the file takes them away */
	REQUIRE(close(open("f", O_RDONLY)) == 0 && !elsewhere(posix_lock, "f", F_WRLCK));
	return 0;
}

static int ofd_locks(void)
{
	int fd = pattern_file("f", 100), second = open("f", O_RDWR);

	REQUIRE(ofd_lock(fd, F_WRLCK) == 0 && ofd_lock(second, F_RDLCK) == -1);
	REQUIRE(elsewhere(ofd_lock, "f", F_RDLCK) && elsewhere(posix_lock, "f", F_RDLCK));
	REQUIRE(close(open("f", O_RDONLY)) == 0 && ofd_lock(second, F_RDLCK) == -1);
	REQUIRE(close(fd) == 0 && ofd_lock(second, F_WRLCK) == 0);
	return 0;
}

static int flocks(void)
{
	int fd = pattern_file("f", 100), second = open("f", O_RDWR);

	REQUIRE(bsd_lock(fd, F_WRLCK) == 0 && bsd_lock(second, F_RDLCK) == -1 &&
		errno == EWOULDBLOCK);
	REQUIRE(bsd_lock(fd, F_RDLCK) == 0 && bsd_lock(second, F_RDLCK) == 0);
	REQUIRE(elsewhere(bsd_lock, "f", F_WRLCK) && bsd_lock(fd, F_UNLCK) == 0);
	REQUIRE(close(second) == 0 && bsd_lock(fd, F_WRLCK) == 0 && close(fd) == 0);
	REQUIRE(!elsewhere(bsd_lock, "f", F_WRLCK));
	return 0;
}

static int attributes(const char *path)
{
	char list[100], value[4000];

	memset(value, 'v', sizeof(value));
	REQUIRE(listxattr(path, NULL, 0) == 0 && listxattr(path, list, 100) == 0);
	REQUIRE_ERROR(getxattr(path, "user.a", value, 10), ENODATA);
	REQUIRE_ERROR(removexattr(path, "user.a"), ENODATA);
	REQUIRE_ERROR(setxattr(path, "user.a", "x", 1, XATTR_REPLACE), ENODATA);
	REQUIRE(setxattr(path, "user.a", "one", 3, XATTR_CREATE) == 0);
	REQUIRE_ERROR(setxattr(path, "user.a", "x", 1, XATTR_CREATE), EEXIST);
	REQUIRE(getxattr(path, "user.a", NULL, 0) == 3 &&
		getxattr(path, "user.a", value, 3) == 3);
	REQUIRE(!memcmp(value, "onevv", 5));
	REQUIRE_ERROR(getxattr(path, "user.a", value, 2), ERANGE);
	REQUIRE(setxattr(path, "user.a", "", 0, XATTR_REPLACE) == 0);
	REQUIRE(getxattr(path, "user.a", value, 10) == 0);
	REQUIRE(setxattr(path, "user.\xc3\xa4 b", value, 2000, 0) == 0);
	REQUIRE(getxattr(path, "user.\xc3\xa4 b", value, 4000) == 2000 &&
		value[1999] == 'v');
	REQUIRE(listxattr(path, NULL, 0) == 17 && listxattr(path, list, 100) == 17);
	REQUIRE(!strcmp(list, "user.a") || !strcmp(list + 10, "user.a"));
	REQUIRE_ERROR(listxattr(path, list, 16), ERANGE);
	REQUIRE(removexattr(path, "user.a") == 0 && listxattr(path, list, 100) == 10);
	REQUIRE_ERROR(setxattr(path, "bad", "x", 1, 0), EOPNOTSUPP);
	return 0;
}

static int attributes_of_files(void)
{
	REQUIRE(!put("f", "x", 0600) && !attributes("f") && rename("f", "g") == 0);
	REQUIRE(getxattr("g", "user.\xc3\xa4 b", NULL, 0) == 2000);
	return 0;
}

static int attributes_of_directories(void)
{
	REQUIRE(mkdir("d", 0700) == 0 && !attributes("d") && !put("d/f", "x", 0600));
	REQUIRE(removexattr("d", "user.\xc3\xa4 b") == 0 && listxattr("d", NULL, 0) == 0);
	return 0;
}

static int attributes_of_others(void)
{
	char value[10];

	REQUIRE(symlink("none", "l") == 0 && mkfifo("p", 0600) == 0);
	REQUIRE_ERROR(lsetxattr("l", "user.a", "x", 1, 0), EPERM);
	REQUIRE_ERROR(setxattr("p", "user.a", "x", 1, 0), EPERM);
	REQUIRE_ERROR(lgetxattr("l", "user.a", value, 10), ENODATA);
	return 0;
}

static int attribute_rights_other(void)
{
	char value[10];

	REQUIRE(getxattr("r", "user.a", value, 10) == 1);
	REQUIRE_ERROR(setxattr("r", "user.a", "y", 1, 0), EACCES);
	REQUIRE_ERROR(removexattr("r", "user.a"), EACCES);
	REQUIRE(setxattr("w", "user.a", "y", 1, 0) == 0);
	REQUIRE_ERROR(getxattr("none", "user.a", value, 10), EACCES);
	REQUIRE_ERROR(setxattr("r", "trusted.a", "y", 1, 0), EPERM);
	return 0;
}

static int attribute_rights(void)
{
	REQUIRE(!put("r", "x", 0644) && !put("w", "x", 0666) && !put("none", "x", 0600));
	REQUIRE(setxattr("r", "user.a", "x", 1, 0) == 0 &&
		setxattr("none", "user.a", "x", 1, 0) == 0);
	return as_other(attribute_rights_other);
}

static int attributes_trusted(void)
{
	REQUIRE(!put("f", "x", 0644) && setxattr("f", "trusted.a", "x", 1, 0) == 0);
	return 0;
}

static int attributes_acl(void)
{
	static const unsigned char acl[] = {2,	 0,   0, 0, 1,	 0,   6,   0,	255, 255,
					    255, 255, 4, 0, 4,	 0,   255, 255, 255, 255,
					    32,	 0,   0, 0, 255, 255, 255, 255};

	REQUIRE(!put("f", "x", 0644));
	REQUIRE(setxattr("f", "system.posix_acl_access", acl, sizeof(acl), 0) == 0);
	return 0;
}

static const struct rule rules[] = {
	{"read, write, lseek", read_and_write, 0},
	{"files of 3 TiB", huge_files, 0},
	{"limits of size", size_limits, 0},
	{"O_DIRECT", direct_io, 0},
	{"O_SYNC and O_DSYNC", synchronous_io, 0},
	{"fallocate extends", fallocate_extends, 0},
	{"fallocate: KEEP_SIZE", fallocate_keeps_size, 0},
	{"fallocate: PUNCH_HOLE", punch_holes, 0},
	{"fallocate: ZERO_RANGE", zero_ranges, 0},
	{"fallocate: COLLAPSE_RANGE", collapse_range, 0},
	{"holes give space back", punching_frees, 0},
	{"SEEK_HOLE and SEEK_DATA", holes_are_found, 0},
	{"SEEK_DATA finds what was just written", new_data_is_no_hole, 0},
	{"copy_file_range and sendfile", copies, 0},
	{"shared maps", shared_maps, 0},
	{"private maps", private_maps, 0},
	{"maps and the end of a file", maps_and_ends, 0},
	{"posix locks", posix_locks, 0},
	{"open file description locks", ofd_locks, 0},
	{"flock", flocks, 0},
	{"attributes of files", attributes_of_files, 0},
	{"attributes of directories", attributes_of_directories, 0},
	{"attributes of other kinds", attributes_of_others, 0},
	{"attributes: permissions", attribute_rights, RULE_ROOT},
	{"attributes: trusted", attributes_trusted, RULE_ROOT},
	{"attributes: posix acl", attributes_acl, 0},
};

RULES_MAIN(rules)
