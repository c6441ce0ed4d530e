/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seekers DIR: writes files in DIR and looks for the hole behind each while they are
 * dirty, all at the same time, again and again.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SEEKERS = 64, BYTES = 100000, ROUNDS = 5 };

static pthread_barrier_t start;

/* @arg: the descriptor; the result is it, or NULL on failure. */
static void *seek(void *arg)
{
	const int *fd = arg;

	pthread_barrier_wait(&start);
	return lseek(*fd, 0, SEEK_HOLE) == BYTES ? arg : NULL;
}

static int open_dirty(int number)
{
	static char bytes[BYTES];
	char name[16];
	int fd;

	memset(bytes, 's', sizeof(bytes));
	snprintf(name, sizeof(name), "%d", number);
	fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
	return write(fd, bytes, sizeof(bytes)) == sizeof(bytes) ? fd : -1;
}

static int round_of_seeks(void)
{
	pthread_t threads[SEEKERS];
	int fds[SEEKERS], failed = 0;
	void *result;

	for (int i = 0; i < SEEKERS; i++) {
		fds[i] = open_dirty(i);
		if (fds[i] < 0)
			return -1;
	}
	for (int i = 0; i < SEEKERS; i++)
		if (pthread_create(&threads[i], NULL, seek, &fds[i]))
			return -1;
	for (int i = 0; i < SEEKERS; i++) {
		pthread_join(threads[i], &result);
		failed |= !result;
		failed |= close(fds[i]);
	}
	return failed;
}

int main(int argc, char **argv)
{
	if (argc != 2 || chdir(argv[1]) || pthread_barrier_init(&start, NULL, SEEKERS))
		return 1;
	for (int i = 0; i < ROUNDS; i++) {
		if (round_of_seeks()) {
			perror("seekers");
			return 1;
		}
	}
	return 0;
}
