/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nameless DIR: makes a file without a name in DIR, writes 4 MiB to it, says "ready" and
 * keeps it until standard input ends.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 65536, CHUNKS = 64 };

int main(int argc, char **argv)
{
	static char chunk[CHUNK];
	int fd = argc == 2 ? open(argv[1], O_TMPFILE | O_RDWR, 0600) : -1;

	memset(chunk, 'n', sizeof(chunk));
	for (int i = 0; fd >= 0 && i < CHUNKS; i++) {
		if (write(fd, chunk, sizeof(chunk)) != sizeof(chunk))
			fd = -1;
	}
	if (fd < 0 || fsync(fd)) {
		perror("nameless");
		return 1;
	}
	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, chunk, sizeof(chunk)) > 0)
		;
	return 0;
}
