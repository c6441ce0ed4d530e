/* SPDX-License-Identifier: Apache-2.0 */
#include "mkfs/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "hsm/api/secmem.h"

/*
 * Not SIGTTIN and SIGTTOU: a background process is to be stopped before it touches the
 * terminal of whoever is in front.
 */
static const int fatal[] = {SIGINT,  SIGTERM, SIGHUP,  SIGQUIT, SIGTSTP,
			    SIGALRM, SIGPIPE, SIGUSR1, SIGUSR2};

enum { NR_SIGNALS = sizeof(fatal) / sizeof(*fatal) };

static volatile sig_atomic_t caught;

static void catch_signal(int sig)
{
	caught = sig;
}

/* What was in force before, to be put back. */
struct saved {
	struct sigaction actions[NR_SIGNALS];
	sigset_t mask;
	struct termios terminal;
};

/* Signals are held back but while ppoll() waits, so that none slips by unseen. */
static void hold_signals(struct saved *saved)
{
	struct sigaction action = {.sa_handler = catch_signal};
	sigset_t set;

	caught = 0;
	sigemptyset(&set);
	sigemptyset(&action.sa_mask);
	for (int i = 0; i < NR_SIGNALS; i++)
		sigaddset(&set, fatal[i]);
	sigprocmask(SIG_BLOCK, &set, &saved->mask);
	for (int i = 0; i < NR_SIGNALS; i++) {
		sigaction(fatal[i], NULL, &saved->actions[i]);
		if (saved->actions[i].sa_handler != SIG_IGN)
			sigaction(fatal[i], &action, NULL);
	}
}

static void release_signals(const struct saved *saved)
{
	for (int i = 0; i < NR_SIGNALS; i++)
		sigaction(fatal[i], &saved->actions[i], NULL);
	sigprocmask(SIG_SETMASK, &saved->mask, NULL);
}

/* Waits with the caller's own signal mask; -EINTR with @caught set. */
static int wait_input(int fd, const struct saved *saved)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	while (ppoll(&poll_fd, 1, NULL, &saved->mask) < 0) {
		if (errno != EINTR || caught)
			return -errno;
	}
	return 0;
}

static int read_line(int fd, const struct saved *saved, uint8_t *line, size_t max,
		     size_t *len)
{
	for (*len = 0;; (*len)++) {
		ssize_t n;
		int rc = wait_input(fd, saved);

		if (rc < 0)
			return rc;
		n = read(fd, line + *len, 1);
		if (n < 0)
			return -errno;
		if (n == 0)
			return *len ? 0 : -ENODATA;
		if (line[*len] == '\n')
			return 0;
		if (*len == max)
			return -EMSGSIZE;
	}
}

static void show(int fd, const char *text)
{
	/* A prompt that can't be shown is no reason not to read the answer. */
	if (write(fd, text, strlen(text)) < 0)
		return;
}

/* One attempt; -EINTR when @caught is to be delivered now that all is put back. */
static int ask_once(int in, int out, const char *prompt, uint8_t *line, size_t max,
		    size_t *len)
{
	struct saved saved;
	struct termios quiet;
	int rc;

	if (tcgetattr(in, &saved.terminal) < 0)
		return -errno;
	quiet = saved.terminal;
	quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
	quiet.c_lflag |= ICANON | ISIG;
	hold_signals(&saved);
	rc = tcsetattr(in, TCSAFLUSH, &quiet) < 0 ? -errno : 0;
	if (rc == 0) {
		show(out, prompt);
		rc = read_line(in, &saved, line, max, len);
		show(out, "\n");
		/* Flushes: the rest of a line too long is not for the shell. */
		if (tcsetattr(in, TCSAFLUSH, &saved.terminal) < 0 && rc == 0)
			rc = -errno;
	}
	release_signals(&saved);
	return rc;
}

int terminal_ask(const char *prompt, uint8_t *line, size_t max, size_t *len)
{
	int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	int in = tty < 0 ? STDIN_FILENO : tty;
	int out = tty < 0 ? STDERR_FILENO : tty;
	bool again;
	int rc;

	do {
		rc = ask_once(in, out, prompt, line, max, len);
		again = rc == -EINTR && caught;
		if (again) {
			secmem_wipe(line, max + 1);
			raise(caught);
		}
	} while (again); /* stopped by job control and continued */
	if (tty >= 0)
		close(tty);
	return rc;
}
