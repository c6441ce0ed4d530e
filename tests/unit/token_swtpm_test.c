// SPDX-License-Identifier: Apache-2.0
/* The token over a swtpm process on the loopback, which stands for a TPM outside. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <tss2/tss2_esys.h>
#include <tss2/tss2_tctildr.h>

#include "tests/unit/token_fixture.h"

struct swtpm {
	pid_t pid;
	char conf[64];
};

static int bound_socket(uint16_t port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* The swtpm TCTI expects the control channel on the port after the data channel's. */
static uint16_t free_port_pair(void)
{
	for (int i = 0; i < 50; i++) {
		struct sockaddr_in addr;
		socklen_t len = sizeof(addr);
		int first = bound_socket(0), second;
		uint16_t port;

		assert_true(first >= 0);
		assert_int_equal(getsockname(first, (struct sockaddr *)&addr, &len), 0);
		port = ntohs(addr.sin_port);
		second = port < UINT16_MAX ? bound_socket((uint16_t)(port + 1)) : -1;
		close(first);
		if (second < 0)
			continue;
		close(second);
		return port;
	}
	fail_msg("no two free ports");
	return 0;
}

static void swtpm_run(const char *dir, uint16_t port)
{
	char state_arg[PATH_MAX], server[64], ctrl[64];
	int null = open("/dev/null", O_RDWR);

	prctl(PR_SET_PDEATHSIG, SIGTERM); /* a failed test does not stop it */
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	snprintf(state_arg, sizeof(state_arg), "dir=%s", dir);
	snprintf(server, sizeof(server), "type=tcp,bindaddr=127.0.0.1,port=%u", port);
	snprintf(ctrl, sizeof(ctrl), "type=tcp,bindaddr=127.0.0.1,port=%u", port + 1U);
	execlp("swtpm", "swtpm", "socket", "--tpm2", "--tpmstate", state_arg, "--server",
	       server, "--ctrl", ctrl, "--flags", "not-need-init", (char *)NULL);
	_exit(127);
}

static int have_swtpm(void)
{
	return system("swtpm --version >/dev/null 2>&1") == 0;
}

/* Returns once it takes connections. */
static void swtpm_start_at(const char *dir, struct swtpm *swtpm, uint16_t port)
{
	snprintf(swtpm->conf, sizeof(swtpm->conf), "tcti=swtpm:host=127.0.0.1,port=%u",
		 port);
	swtpm->pid = fork();
	assert_true(swtpm->pid >= 0);
	if (swtpm->pid == 0)
		swtpm_run(dir, port);
	for (int i = 0; i < 100; i++) {
		TSS2_TCTI_CONTEXT *tcti;

		if (Tss2_TctiLdr_Initialize(swtpm->conf + 5, &tcti) == TSS2_RC_SUCCESS) {
			Tss2_TctiLdr_Finalize(&tcti);
			return;
		}
		usleep(50 * 1000);
	}
	fail_msg("swtpm does not answer");
}

static void swtpm_start(const char *dir, struct swtpm *swtpm)
{
	swtpm_start_at(dir, swtpm, free_port_pair());
}

static void swtpm_stop(struct swtpm *swtpm)
{
	kill(swtpm->pid, SIGTERM);
	assert_int_equal(waitpid(swtpm->pid, NULL, 0), swtpm->pid);
}

#define NEED_SWTPM()                                                                     \
	do {                                                                             \
		if (!have_swtpm()) {                                                     \
			print_message("swtpm is not installed\n");                       \
			skip();                                                          \
		}                                                                        \
	} while (0)

static void swtpm_behaves_alike(void **state)
{
	struct scratch *s = *state;
	struct swtpm swtpm;

	NEED_SWTPM();
	swtpm_start(s->dir, &swtpm);
	check_reopen(swtpm.conf, "/nonexistent");
	check_wrong_auth(swtpm.conf, "/nonexistent");
	swtpm_stop(&swtpm);
}

static void swtpm_lockout(void **state)
{
	struct scratch *s = *state;
	struct swtpm swtpm;

	NEED_SWTPM();
	swtpm_start(s->dir, &swtpm);
	check_lockout(swtpm.conf, "/nonexistent");
	swtpm_stop(&swtpm);
}

static void swtpm_pcrs(void **state)
{
	struct scratch *s = *state;
	struct swtpm swtpm;

	NEED_SWTPM();
	swtpm_start(s->dir, &swtpm);
	check_pcrs(swtpm.conf, "/nonexistent");
	swtpm_stop(&swtpm);
}

static void swtpm_restarts_and_dies(void **state)
{
	struct scratch *s = *state;
	struct token_blob blob;
	struct token *token;
	struct swtpm swtpm;

	NEED_SWTPM();
	swtpm_start(s->dir, &swtpm);
	token = open_token(swtpm.conf, "/nonexistent");
	assert_string_equal(token_kind(token), "swtpm");
	seal(token, &blob);
	token_close(token);
	swtpm_stop(&swtpm);

	swtpm_start(s->dir, &swtpm);
	token = open_token(swtpm.conf, "/nonexistent");
	assert_unseals(token, auth, &blob);
	swtpm_stop(&swtpm);
	assert_int_equal(unseal_result(token, auth, &blob), -ENODEV);
	assert_int_equal(token_seal(token, auth, secret, 0, &blob), -ENODEV);
	token_close(token);
}

static void swtpm_start_again(const char *dir, struct swtpm *swtpm)
{
	const char *port = strrchr(swtpm->conf, '=');

	swtpm_start_at(dir, swtpm, (uint16_t)atoi(port + 1));
}

/* Beneath an open token. */
static void swtpm_comes_back(void **state)
{
	struct scratch *s = *state;
	char other[PATH_MAX];
	struct token_blob blob;
	struct token *token;
	struct swtpm swtpm;

	NEED_SWTPM();
	snprintf(other, sizeof(other), "%s/other", s->dir);
	assert_int_equal(mkdir(other, 0700), 0);
	swtpm_start(s->dir, &swtpm);
	token = open_token(swtpm.conf, "/nonexistent");
	seal(token, &blob);
	for (int i = 0; i < 2; i++) {
		swtpm_stop(&swtpm);
		if (i)
			assert_int_equal(unseal_result(token, auth, &blob), -ENODEV);
		swtpm_start_again(s->dir, &swtpm);
		assert_unseals(token, auth, &blob);
	}
	/* another one in its place is not it, and is left as it is */
	swtpm_stop(&swtpm);
	swtpm_start_again(other, &swtpm);
	assert_int_equal(unseal_result(token, auth, &blob), -ENODEV);
	assert_int_equal(token_seal(token, auth, secret, 0, &blob), -ENODEV);
	swtpm_stop(&swtpm);
	token_close(token);
}

/* Persists a signing key where the storage key belongs. */
static void occupy_srk_handle(const char *tcti_conf)
{
	static const TPM2B_SENSITIVE_CREATE no_auth;
	static const TPM2B_DATA no_info;
	static const TPML_PCR_SELECTION no_pcr;
	const TPM2B_PUBLIC signing = {
		.publicArea = {
			.type = TPM2_ALG_ECC,
			.nameAlg = TPM2_ALG_SHA256,
			.objectAttributes =
				TPMA_OBJECT_SIGN_ENCRYPT | TPMA_OBJECT_FIXEDTPM |
				TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_USERWITHAUTH |
				TPMA_OBJECT_SENSITIVEDATAORIGIN,
			.parameters.eccDetail = {.symmetric.algorithm = TPM2_ALG_NULL,
						 .scheme.scheme = TPM2_ALG_NULL,
						 .curveID = TPM2_ECC_NIST_P256,
						 .kdf.scheme = TPM2_ALG_NULL},
		}};
	ESYS_TR primary, persistent;
	TSS2_TCTI_CONTEXT *tcti;
	ESYS_CONTEXT *esys;

	assert_int_equal(Tss2_TctiLdr_Initialize(tcti_conf, &tcti), 0);
	assert_int_equal(Esys_Initialize(&esys, tcti, NULL), 0);
	assert_int_equal(Esys_Startup(esys, TPM2_SU_CLEAR), 0);
	assert_int_equal(Esys_CreatePrimary(esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD,
					    ESYS_TR_NONE, ESYS_TR_NONE, &no_auth,
					    &signing, &no_info, &no_pcr, &primary, NULL,
					    NULL, NULL, NULL),
			 0);
	assert_int_equal(Esys_EvictControl(esys, ESYS_TR_RH_OWNER, primary,
					   ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
					   0x81000001, &persistent),
			 0);
	Esys_FlushContext(esys, primary);
	Esys_Finalize(&esys);
	Tss2_TctiLdr_Finalize(&tcti);
}

static void foreign_key_is_not_replaced(void **state)
{
	struct scratch *s = *state;
	struct token *token;
	struct swtpm swtpm;

	NEED_SWTPM();
	swtpm_start(s->dir, &swtpm);
	occupy_srk_handle(swtpm.conf + 5);
	for (int i = 0; i < 2; i++)
		assert_int_equal(try_open(swtpm.conf, "/nonexistent", &token), -EEXIST);
	swtpm_stop(&swtpm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(swtpm_behaves_alike), TEST(swtpm_lockout),
		TEST(swtpm_pcrs),	   TEST(swtpm_restarts_and_dies),
		TEST(swtpm_comes_back),	   TEST(foreign_key_is_not_replaced),
	};

	setenv("TSS2_LOG", "all+NONE", 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
