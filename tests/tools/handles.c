/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handles save PATH FILE: stores PATH's file handle in FILE.
 * handles open MOUNT FILE: opens it again and says where it leads, then a file's content;
 * or which error there was.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

union handle {
	struct file_handle handle;
	char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
};

static int fail(const char *what)
{
	printf("%s: %s\n", what, strerrorname_np(errno));
	return 1;
}

static int save(const char *path, const char *file)
{
	union handle handle = {.handle.handle_bytes = MAX_HANDLE_SZ};
	FILE *out;
	int mount_id;

	if (name_to_handle_at(AT_FDCWD, path, &handle.handle, &mount_id, 0))
		return fail(path);
	out = fopen(file, "w");
	if (!out || fwrite(&handle, sizeof(handle), 1, out) != 1 || fclose(out))
		return fail(file);
	return 0;
}

static int open_again(const char *mount, const char *file)
{
	char proc[40], path[PATH_MAX], text[4096];
	FILE *in = fopen(file, "r");
	int mount_fd = open(mount, O_RDONLY), fd;
	union handle handle;
	ssize_t len;

	if (!in || fread(&handle, sizeof(handle), 1, in) != 1 || fclose(in))
		return fail(file);
	fd = open_by_handle_at(mount_fd, &handle.handle, O_RDONLY);
	if (fd < 0)
		return fail("open");
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	len = readlink(proc, path, sizeof(path));
	printf("%.*s: ", (int)len, path);
	len = read(fd, text, sizeof(text));
	if (len < 0 && errno != EISDIR)
		return fail("read");
	printf("%.*s\n", len < 0 ? 0 : (int)len, text);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "save"))
		return save(argv[2], argv[3]);
	if (argc == 4 && !strcmp(argv[1], "open"))
		return open_again(argv[2], argv[3]);
	fputs("Usage: handles save PATH FILE | handles open MOUNT FILE\n", stderr);
	return 2;
}
