// SPDX-License-Identifier: Apache-2.0
#include "hsm/token/tpm.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hsm/token/libtpms_tcti.h"

#define CONF_PREFIX "tcti="

uint32_t tpm_code(TSS2_RC rc)
{
	TSS2_RC layer = rc & TSS2_RC_LAYER_MASK;

	if (layer != TSS2_TPM_RC_LAYER && layer != TSS2_RESMGR_TPM_RC_LAYER)
		return 0;
	rc &= ~TSS2_RC_LAYER_MASK;
	/* Part 2, 6.6.2: format-one codes are six bits; the rest says which argument. */
	return rc & TPM2_RC_FMT1 ? rc & (TPM2_RC_FMT1 | 0x3f) : rc;
}

int tpm_errno(TSS2_RC rc)
{
	TSS2_RC layer = rc & TSS2_RC_LAYER_MASK;

	if (rc == TSS2_RC_SUCCESS)
		return 0;
	if (layer == TSS2_TCTI_RC_LAYER || layer == TSS2_RESMGR_RC_LAYER)
		return -ENODEV;
	/* Calls are serialised: ESYS says so only after the transport failed under it. */
	if (rc == TSS2_ESYS_RC_BAD_SEQUENCE)
		return -ENODEV;
	return rc == TSS2_ESYS_RC_MEMORY ? -ENOMEM : -EIO;
}

int tpm_reason(const struct token *token, int ret)
{
	int why = ret && token->embedded && token->tcti ? libtpms_tcti_error(token->tcti)
							: 0;

	return why ? why : ret;
}

/*
 * The transport's name becomes that of a library to load: letters, digits, '-' and '_'
 * keep it to those in the library path.
 */
static int parse_conf(const char *conf, char kind[TOKEN_KIND_MAX], const char **tcti)
{
	size_t len;

	if (strncmp(conf, CONF_PREFIX, strlen(CONF_PREFIX)) != 0)
		return -EINVAL;
	conf += strlen(CONF_PREFIX);
	len = strspn(conf, "abcdefghijklmnopqrstuvwxyz0123456789-_");
	if (len == 0 || len >= TOKEN_KIND_MAX || (conf[len] != '\0' && conf[len] != ':'))
		return -EINVAL;
	memcpy(kind, conf, len);
	kind[len] = '\0';
	if (strcmp(kind, "libtpms") == 0 && conf[len] != '\0')
		return -EINVAL;
	*tcti = conf;
	return 0;
}

/* 0 or -ENOENT. */
static int load_library(struct token *token)
{
	char file[TOKEN_KIND_MAX + 32];
	TSS2_TCTI_INFO_FUNC info;

	snprintf(file, sizeof(file), "libtss2-tcti-%s.so.0", token->kind);
	token->library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
	if (!token->library)
		return -ENOENT;
	info = (TSS2_TCTI_INFO_FUNC)dlsym(token->library, TSS2_TCTI_INFO_SYMBOL);
	if (!info)
		return -ENOENT;
	token->init = info()->init;
	return 0;
}

static TSS2_RC connect_transport(struct token *token)
{
	size_t size = 0;
	TSS2_RC rc = token->init(NULL, &size, token->conf);

	if (rc != TSS2_RC_SUCCESS)
		return rc;
	token->tcti = calloc(1, size);
	if (!token->tcti)
		return TSS2_ESYS_RC_MEMORY;
	rc = token->init(token->tcti, &size, token->conf);
	if (rc != TSS2_RC_SUCCESS) {
		free(token->tcti);
		token->tcti = NULL;
	}
	return rc;
}

static void disconnect_transport(struct token *token)
{
	if (!token->tcti)
		return;
	Tss2_Tcti_Finalize(token->tcti);
	free(token->tcti);
	token->tcti = NULL;
}

/* What follows @key in @conf, "KEY=VALUE,..."; NULL: it is not there. */
static const char *value_of(const char *conf, const char *key)
{
	size_t len = strlen(key);

	while (conf && strncmp(conf, key, len) != 0) {
		conf = strchr(conf, ',');
		conf += conf != NULL;
	}
	return conf ? conf + len : NULL;
}

static bool is_address(const char *text)
{
	char host[INET6_ADDRSTRLEN];
	struct in6_addr address;
	size_t len = strcspn(text, ",");

	if (len >= sizeof(host))
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	return inet_pton(AF_INET, host, &address) == 1 ||
	       inet_pton(AF_INET6, host, &address) == 1;
}

/*
 * The libraries for these connect again and again, and look the host's name up each time,
 * for which the sandbox would kill us. Without a host they have a name, too.
 */
static bool wants_lookup(const char *kind, const char *conf)
{
	const char *host = value_of(conf, "host=");

	if (strcmp(kind, "swtpm") != 0 && strcmp(kind, "mssim") != 0)
		return false;
	return host ? !is_address(host) : !value_of(conf, "path=");
}

static int open_transport(struct token *token, const char *tcti, const char *state_dir,
			  char *why, size_t why_len)
{
	const char *conf = strchr(tcti, ':');
	TSS2_RC rc = TSS2_TCTI_RC_NOT_SUPPORTED;

	token->embedded = strcmp(token->kind, "libtpms") == 0;
	if (token->embedded)
		return libtpms_tcti_open(state_dir, &token->tcti, why, why_len);
	if (wants_lookup(token->kind, conf ? conf + 1 : NULL)) {
		snprintf(why, why_len,
			 "\"%s\" has no host=ADDRESS, such as host=127.0.0.1; names are "
			 "not looked up",
			 tcti);
		return -EINVAL;
	}
	if (conf && !(token->conf = strdup(conf + 1))) {
		snprintf(why, why_len, "out of memory");
		return -ENOMEM;
	}
	if (!load_library(token))
		rc = connect_transport(token);
	if (rc == TSS2_RC_SUCCESS)
		return 0;
	snprintf(why, why_len, "cannot reach a TPM through \"%s\" (code 0x%x)", tcti, rc);
	return -ENODEV;
}

static int start(struct token *token, char *why, size_t why_len)
{
	TSS2_RC rc = Esys_Initialize(&token->esys, token->tcti, NULL);

	if (rc == TSS2_RC_SUCCESS)
		rc = Esys_Startup(token->esys, TPM2_SU_CLEAR);
	/* Firmware, the kernel or whoever used it before has started it. */
	if (tpm_code(rc) == TPM2_RC_INITIALIZE)
		rc = TSS2_RC_SUCCESS;
	if (rc != TSS2_RC_SUCCESS)
		snprintf(why, why_len, "the TPM does not start (code 0x%x)", rc);
	return rc == TSS2_ESYS_RC_MEMORY ? -ENOMEM : rc != TSS2_RC_SUCCESS ? -ENODEV : 0;
}

static void forget_srk(struct token *token)
{
	if (token->srk != ESYS_TR_NONE)
		Esys_TR_Close(token->esys, &token->srk);
	token->srk = ESYS_TR_NONE;
}

static void flush_all(struct token *token, TPM2_HT type)
{
	uint32_t first = (uint32_t)type << TPM2_HR_SHIFT;
	TPMS_CAPABILITY_DATA *cap = NULL;
	TPMI_YES_NO more;

	if (Esys_GetCapability(token->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
			       TPM2_CAP_HANDLES, first, TPM2_MAX_CAP_HANDLES, &more,
			       &cap) != TSS2_RC_SUCCESS)
		return;
	for (uint32_t i = 0; i < cap->data.handles.count; i++) {
		ESYS_TR handle;

		if (Esys_TR_FromTPMPublic(token->esys, cap->data.handles.handle[i],
					  ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
					  &handle) == TSS2_RC_SUCCESS)
			tpm_flush(token, handle);
	}
	Esys_Free(cap);
}

static void let_go(struct token *token)
{
	if (token->esys) {
		forget_srk(token);
		Esys_Finalize(&token->esys);
	}
	if (token->embedded)
		libtpms_tcti_restart(token->tcti);
	else
		disconnect_transport(token);
}

/* A TPM that is spoken to without a resource manager is ours alone: all in it is left
 * over. */
int tpm_renew(struct token *token)
{
	char why[128];
	int ret = 0;

	let_go(token);
	if (!token->embedded)
		ret = tpm_errno(connect_transport(token));
	if (!ret)
		ret = start(token, why, sizeof(why));
	if (!ret) {
		flush_all(token, TPM2_HT_TRANSIENT);
		flush_all(token, TPM2_HT_LOADED_SESSION);
		ret = tpm_srk_find(token);
	}
	if (ret)
		let_go(token);
	return ret;
}

int token_open(const char *conf, const char *state_dir, struct token **out, char *why,
	       size_t why_len)
{
	struct token *token = calloc(1, sizeof(*token));
	const char *tcti;
	bool emulator;
	int ret;

	if (!token) {
		snprintf(why, why_len, "out of memory");
		return -ENOMEM;
	}
	pthread_mutex_init(&token->lock, NULL);
	token->srk = ESYS_TR_NONE;
	ret = parse_conf(conf, token->kind, &tcti);
	if (ret < 0) {
		snprintf(why, why_len, "\"%s\" does not name a TPM", conf);
		goto out;
	}
	/* tss2 prints every refusal of the TPM to stderr, a mistyped passphrase too. */
	setenv("TSS2_LOG", "all+NONE", 0);
	ret = open_transport(token, tcti, state_dir, why, why_len);
	if (ret < 0)
		goto out;
	ret = start(token, why, why_len);
	if (ret < 0)
		goto out;
	emulator = token->embedded || strcmp(token->kind, "swtpm") == 0;
	ret = tpm_srk_open(token, emulator, why, why_len);
out:
	if (tpm_reason(token, ret) != ret) {
		ret = tpm_reason(token, ret);
		snprintf(why, why_len, "the embedded TPM cannot write its state (%s)",
			 strerror(-ret));
	}
	if (ret < 0) {
		token_close(token);
		return ret;
	}
	*out = token;
	return 0;
}

void token_close(struct token *token)
{
	if (!token)
		return;
	if (token->esys) {
		forget_srk(token);
		/* An unannounced power-off counts as a failed try. Nothing else can be
		 * done about a TPM that does not take the announcement. */
		Esys_Shutdown(token->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
			      TPM2_SU_CLEAR);
		Esys_Finalize(&token->esys);
	}
	if (token->embedded)
		libtpms_tcti_close(token->tcti);
	else
		disconnect_transport(token);
	if (token->library)
		dlclose(token->library);
	free(token->conf);
	pthread_mutex_destroy(&token->lock);
	free(token);
}

const uint8_t *token_name(const struct token *token)
{
	return token->name;
}

const char *token_kind(const struct token *token)
{
	return token->kind;
}
