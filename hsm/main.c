/* SPDX-License-Identifier: Apache-2.0 */
/* hsmd: the process that has the keys. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <unistd.h>

#include "hsm/api/runtime.h"
#include "hsm/api/secmem.h"
#include "hsm/api/version.h"
#include "hsm/audit.h"
#include "hsm/benchmark.h"
#include "hsm/crypto/aead.h"
#include "hsm/crypto/siv.h"
#include "hsm/hsm.h"
#include "hsm/sandbox.h"
#include "hsm/selftest.h"
#include "hsm/server.h"
#include "hsm/token/token.h"

enum { DEFAULT_LIFETIME_S = 30 };

struct options {
	const char *tokens[WIRE_TOKENS_MAX];
	unsigned nr_tokens;
	bool self_test;
	bool benchmark;
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
	"                           swtpm:host=H,port=P, device:/dev/tpmrm0, ...; may\n"
	"                           be given several times\n"
	"  --engine NAME            ipsec-mb or openssl (default: the faster here)\n"
	"  --handle-lifetime SECS   a handle unused for so long dies (default 30)\n"
	"  --idle-exit SECS         end after so long without a client (default: never)\n"
	"  --ready-fd FD            report readiness there (for programs that start "
	"hsmd)\n"
	"  --self-test              say what protects keys on this machine, and what "
	"does "
	"not\n"
	"  --benchmark              measure the engines and the rotation of handles: "
	"JSON;\n"
	"                           serves nobody\n"
	"  --help, --version\n"
	"\n"
	"HSMFS_RUNTIME_DIR and HSMFS_STATE_DIR say where socket and TPM state are.\n";

/* A decimal number from @min to @max, or exit 1 with a sentence. */
static unsigned parse_number(const char *option, const char *text, unsigned min,
			     unsigned max)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || value < min || value > max) {
		fprintf(stderr, "hsmd: %s wants a number from %u to %u, not '%s'\n",
			option, min, max, text);
		exit(1);
	}
	return (unsigned)value;
}

/* One that is not open yet would be a file or socket of ours by the time we write there.
 */
static int parse_ready_fd(const char *text)
{
	int fd = (int)parse_number("--ready-fd", text, 0, 1024);

	if (fd > 2 && fcntl(fd, F_GETFD) >= 0)
		return fd;
	fprintf(stderr, "hsmd: --ready-fd wants an open descriptor above 2, not %s\n",
		text);
	exit(1);
}

static void add_token(struct options *options, const char *conf)
{
	if (options->nr_tokens == WIRE_TOKENS_MAX) {
		fprintf(stderr, "hsmd: no more than %d tokens\n", WIRE_TOKENS_MAX);
		exit(1);
	}
	options->tokens[options->nr_tokens++] = conf;
}

static void parse(int argc, char **argv, struct options *options)
{
	static const struct option longs[] = {
		{"token", required_argument, NULL, 't'},
		{"engine", required_argument, NULL, 'e'},
		{"handle-lifetime", required_argument, NULL, 'l'},
		{"idle-exit", required_argument, NULL, 'i'},
		{"ready-fd", required_argument, NULL, 'r'},
		{"self-test", no_argument, NULL, 's'},
		{"benchmark", no_argument, NULL, 'b'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0}};
	int c;

	while ((c = getopt_long(argc, argv, "hV", longs, NULL)) != -1) {
		switch (c) {
		case 't':
			add_token(options, optarg);
			break;
		case 'e':
			options->engine = optarg;
			break;
		case 'l':
			options->handle_lifetime_s =
				parse_number("--handle-lifetime", optarg, 1, 86400);
			break;
		case 'i':
			options->idle_exit_s =
				parse_number("--idle-exit", optarg, 0, 86400);
			break;
		case 'r':
			options->ready_fd = parse_ready_fd(optarg);
			break;
		case 's':
			options->self_test = true;
			break;
		case 'b':
			options->benchmark = true;
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
	if (!options->nr_tokens)
		add_token(options, "tcti=libtpms");
}

/* Whatever else our parent had open is none of ours. */
static void close_others(int ready_fd)
{
	unsigned keep = ready_fd > 2 ? (unsigned)ready_fd : 2;

	if (keep > 3)
		syscall(SYS_close_range, 3, keep - 1, 0);
	syscall(SYS_close_range, keep + 1, ~0u, 0);
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

static int open_tokens(const struct options *options, const char *state_dir,
		       struct hsm *hsm, char *why, size_t why_len)
{
	for (unsigned i = 0; i < options->nr_tokens; i++) {
		struct audit_record record = {.event = AUDIT_TOKEN, .slot = -1};
		int ret = token_open(options->tokens[i], state_dir, &hsm->tokens[i], why,
				     why_len);

		if (ret)
			return ret;
		hsm->nr_tokens++;
		record.tpm = token_name(hsm->tokens[i]);
		audit_write(&record);
	}
	return 0;
}

static int open_state(const struct options *options, struct hsm *hsm, char *state_dir,
		      char *why, size_t why_len)
{
	const struct audit_record started = {.event = AUDIT_START, .slot = -1};
	int ret = runtime_state_dir(state_dir, PATH_MAX);

	if (ret) {
		snprintf(
			why, why_len,
			"the state directory cannot be used (%s); check HSMFS_STATE_DIR, "
			"which has to be absolute, its owner and its mode",
			strerror(-ret));
		return ret;
	}
	ret = audit_open(state_dir, why, why_len);
	if (ret)
		return ret;
	audit_write(&started);
	return open_tokens(options, state_dir, hsm, why, why_len);
}

static int enter_sandbox(const struct options *options, const char *state_dir, char *why,
			 size_t why_len)
{
	char runtime[PATH_MAX];
	const struct sandbox_config config = {state_dir, runtime, options->tokens,
					      options->nr_tokens};
	struct sandbox_report report;
	int ret = runtime_dir(runtime, sizeof(runtime));

	if (!ret)
		ret = sandbox_enter(&config, &report);
	if (ret)
		snprintf(why, why_len, "cannot enter the sandbox (%s)", strerror(-ret));
	return ret;
}

/* Everything that can fail before the first client. On error @why has a sentence. */
static int prepare(const struct options *options, struct hsm *hsm, struct server **server,
		   char *why, size_t why_len)
{
	char state_dir[PATH_MAX];
	int ret;

	hsm->handle_lifetime_ms = options->handle_lifetime_s * 1000;
	hsm->engine = aead_select(options->engine);
	if (!hsm->engine || siv_self_test()) {
		snprintf(why, why_len, "no cipher engine '%s' that passes its self-test",
			 options->engine ? options->engine : "any");
		return -ENOENT;
	}
	ret = server_open(server, why, why_len);
	if (!ret)
		ret = open_state(options, hsm, state_dir, why, why_len);
	return ret ? ret : enter_sandbox(options, state_dir, why, why_len);
}

static void end(struct hsm *hsm, struct server *server)
{
	const struct audit_record stopped = {.event = AUDIT_STOP, .slot = -1};

	for (uint32_t i = 0; i < hsm->nr_tokens; i++)
		token_close(hsm->tokens[i]);
	audit_write(&stopped);
	audit_close();
	/* last: who starts when this one's lock is free has to find all else free, too */
	server_close(server);
}

int main(int argc, char **argv)
{
	struct options options = {.handle_lifetime_s = DEFAULT_LIFETIME_S,
				  .ready_fd = -1};
	struct hsm hsm = {0};
	struct server *server = NULL;
	char why[512] = "out of memory";
	int ret = sandbox_begin();

	if (!ret)
		ret = secmem_adopt_openssl();
	if (ret) {
		fprintf(stderr, "hsmd: cannot protect this process (%s)\n",
			strerror(-ret));
		return 1;
	}
	parse(argc, argv, &options);
	close_others(options.ready_fd);
	umask(077);
	if (options.self_test)
		return selftest_run(options.tokens, options.nr_tokens);
	if (options.benchmark)
		return benchmark_run();
	openlog("hsmd", LOG_PID | LOG_NDELAY | (options.ready_fd < 0 ? LOG_PERROR : 0),
		LOG_USER);
	block_signals();
	ret = prepare(&options, &hsm, &server, why, sizeof(why));
	report(&options, ret, why);
	if (!ret)
		ret = server_run(server, &hsm, options.idle_exit_s);
	end(&hsm, server);
	return ret ? 1 : 0;
}
