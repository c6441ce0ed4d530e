/* SPDX-License-Identifier: Apache-2.0 */
/* hsmd: the process that has the keys. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "hsm/api/runtime.h"
#include "hsm/api/secmem.h"
#include "hsm/api/version.h"
#include "hsm/crypto/aead.h"
#include "hsm/crypto/siv.h"
#include "hsm/hsm.h"
#include "hsm/server.h"
#include "hsm/token/token.h"

enum { DEFAULT_LIFETIME_S = 30 };

struct options {
	const char *token;
	const char *engine;
	unsigned handle_lifetime_s;
	unsigned idle_exit_s;
	int ready_fd;
};

static const char usage[] =
	"Usage: hsmd [OPTION]...\n"
	"Keeps the keys of hsmfs volumes and seals and opens pages for hsmfs.\n"
	"Client programs start it when they need it.\n"
	"\n"
	"  --token tcti=CONF        where the root key lives: libtpms (default),\n"
	"                           swtpm:host=H,port=P, device:/dev/tpmrm0, ...\n"
	"  --engine NAME            ipsec-mb or openssl (default: the faster here)\n"
	"  --handle-lifetime SECS   a handle unused for so long dies (default 30)\n"
	"  --idle-exit SECS         end after so long without a client (default: never)\n"
	"  --ready-fd FD            report readiness there (for programs that start "
	"hsmd)\n"
	"  --help, --version\n"
	"\n"
	"HSMFS_RUNTIME_DIR and HSMFS_STATE_DIR say where socket and TPM state are.\n";

/* A decimal number up to @max, or exit 1 with a sentence. */
static unsigned parse_number(const char *option, const char *text, unsigned max)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || value > max) {
		fprintf(stderr, "hsmd: %s wants a number up to %u, not '%s'\n", option,
			max, text);
		exit(1);
	}
	return (unsigned)value;
}

static void parse(int argc, char **argv, struct options *options)
{
	static const struct option longs[] = {
		{"token", required_argument, NULL, 't'},
		{"engine", required_argument, NULL, 'e'},
		{"handle-lifetime", required_argument, NULL, 'l'},
		{"idle-exit", required_argument, NULL, 'i'},
		{"ready-fd", required_argument, NULL, 'r'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0}};
	int c;

	while ((c = getopt_long(argc, argv, "hV", longs, NULL)) != -1) {
		switch (c) {
		case 't':
			options->token = optarg;
			break;
		case 'e':
			options->engine = optarg;
			break;
		case 'l':
			options->handle_lifetime_s =
				parse_number("--handle-lifetime", optarg, 86400);
			break;
		case 'i':
			options->idle_exit_s = parse_number("--idle-exit", optarg, 86400);
			break;
		case 'r':
			options->ready_fd = (int)parse_number("--ready-fd", optarg, 1024);
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		case 'V':
			puts("hsmd " HSMFS_VERSION);
			exit(0);
		default:
			fputs("Try 'hsmd --help'.\n", stderr);
			exit(1);
		}
	}
	if (optind < argc) {
		fprintf(stderr, "hsmd: unexpected argument '%s'\n", argv[optind]);
		exit(1);
	}
}

/* To whoever started us, and to a terminal or the log. */
static void report(const struct options *options, int ret, const char *why)
{
	if (ret)
		syslog(LOG_ERR, "%s", why);
	if (options->ready_fd >= 0) {
		dprintf(options->ready_fd, ret ? "%d %s" : "0", -ret, why);
		close(options->ready_fd);
	}
}

/*
 * Signals are left to server_run(). SIGXFSZ and SIGPIPE would let a client's limits or
 * end kill us.
 */
static void block_signals(void)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
}

/* Everything that can fail before the first client. On error @why has a sentence. */
static int prepare(const struct options *options, struct hsm *hsm, struct server **server,
		   char *why, size_t why_len)
{
	char state[PATH_MAX];
	int ret;

	hsm->handle_lifetime_ms = options->handle_lifetime_s * 1000;
	hsm->engine = aead_select(options->engine);
	if (!hsm->engine || siv_self_test()) {
		snprintf(why, why_len, "no cipher engine '%s' that passes its self-test",
			 options->engine ? options->engine : "any");
		return -ENOENT;
	}
	ret = server_open(server, why, why_len);
	if (ret)
		return ret;
	ret = runtime_state_dir(state, sizeof(state));
	if (ret) {
		snprintf(
			why, why_len,
			"the state directory cannot be used (%s); check HSMFS_STATE_DIR, "
			"its owner and its mode",
			strerror(-ret));
		return ret;
	}
	return token_open(options->token, state, &hsm->token, why, why_len);
}

static int harden(void)
{
	int ret = secmem_harden_process();

	return ret ? ret : secmem_adopt_openssl();
}

int main(int argc, char **argv)
{
	struct options options = {.token = "tcti=libtpms",
				  .handle_lifetime_s = DEFAULT_LIFETIME_S,
				  .ready_fd = -1};
	struct hsm hsm = {0};
	struct server *server = NULL;
	char why[512] = "out of memory";
	int ret = harden();

	if (ret) {
		fprintf(stderr, "hsmd: cannot protect this process (%s)\n",
			strerror(-ret));
		return 1;
	}
	parse(argc, argv, &options);
	openlog("hsmd", LOG_PID | (options.ready_fd < 0 ? LOG_PERROR : 0), LOG_USER);
	umask(077);
	block_signals();
	ret = prepare(&options, &hsm, &server, why, sizeof(why));
	report(&options, ret, why);
	if (!ret)
		ret = server_run(server, &hsm, options.idle_exit_s);
	server_close(server);
	token_close(hsm.token);
	return ret ? 1 : 0;
}
