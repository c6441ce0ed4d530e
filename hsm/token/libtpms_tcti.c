// SPDX-License-Identifier: Apache-2.0
#include "hsm/token/libtpms_tcti.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libtpms/tpm_error.h>
#include <libtpms/tpm_library.h>
#include <libtpms/tpm_memory.h>
#include <libtpms/tpm_nvfilename.h>

#include "hsm/api/secmem.h"
#include "hsm/token/nvram.h"

#define EMULATOR_MAGIC 0x68736d74706d7332ULL

struct emulator {
	TSS2_TCTI_CONTEXT_COMMON_V2 common;
	struct nvram *nvram;
	pid_t owner;
	int load_error;	 /* first error of reading the state; nothing is written after it
			  */
	int store_error; /* of the last time that the state was written */
	bool is_on;
	bool pending; /* a response waits to be received */
	unsigned char *response;
	uint32_t response_len;
	uint32_t response_size;
};

/* libtpms' callbacks carry no context, and it has one TPM per process. */
static struct emulator *running;
static pthread_mutex_t running_lock = PTHREAD_MUTEX_INITIALIZER;

static TPM_RESULT nvram_ready(void)
{
	return TPM_SUCCESS;
}

/* TPM_RETRY makes libtpms manufacture a new TPM, so only true absence may say so. */
static TPM_RESULT load_data(unsigned char **data, uint32_t *len, uint32_t tpm_number,
			    const char *name)
{
	int ret;

	(void)tpm_number;
	ret = nvram_load(running->nvram, name, data, len);
	if (ret == -ENOENT)
		return TPM_RETRY;
	if (ret < 0) {
		if (!running->load_error)
			running->load_error = ret;
		return TPM_FAIL;
	}
	return TPM_SUCCESS;
}

/* Runs inside TPMLIB_Process(): the change is on disk before the command is answered. */
static TPM_RESULT store_data(const unsigned char *data, uint32_t len, uint32_t tpm_number,
			     const char *name)
{
	(void)tpm_number;
	if (running->load_error)
		return TPM_FAIL;
	running->store_error = nvram_store(running->nvram, name, data, len);
	return running->store_error < 0 ? TPM_FAIL : TPM_SUCCESS;
}

static TPM_RESULT delete_name(uint32_t tpm_number, const char *name, TPM_BOOL must_exist)
{
	int ret;

	(void)tpm_number;
	ret = nvram_remove(running->nvram, name);
	if (ret == -ENOENT && !must_exist)
		return TPM_SUCCESS;
	return ret < 0 ? TPM_FAIL : TPM_SUCCESS;
}

static TPM_RESULT get_locality(TPM_MODIFIER_INDICATOR *locality, uint32_t tpm_number)
{
	(void)tpm_number;
	*locality = 0;
	return TPM_SUCCESS;
}

static TPM_RESULT get_presence(TPM_BOOL *presence, uint32_t tpm_number)
{
	(void)tpm_number;
	*presence = FALSE;
	return TPM_SUCCESS;
}

static struct libtpms_callbacks callbacks = {
	.sizeOfStruct = sizeof(struct libtpms_callbacks),
	.tpm_nvram_init = nvram_ready,
	.tpm_nvram_loaddata = load_data,
	.tpm_nvram_storedata = store_data,
	.tpm_nvram_deletename = delete_name,
	.tpm_io_init = nvram_ready,
	.tpm_io_getlocality = get_locality,
	.tpm_io_getphysicalpresence = get_presence,
};

static TSS2_RC emulator_transmit(TSS2_TCTI_CONTEXT *tcti, size_t size,
				 const uint8_t *command)
{
	struct emulator *emulator = (struct emulator *)tcti;

	if (emulator->pending)
		return TSS2_TCTI_RC_BAD_SEQUENCE;
	if (size > UINT32_MAX)
		return TSS2_TCTI_RC_BAD_VALUE;
	if (getpid() != emulator->owner || !emulator->is_on)
		return TSS2_TCTI_RC_IO_ERROR;
	/* libtpms takes the command without const but does not write to it. */
	if (TPMLIB_Process(&emulator->response, &emulator->response_len,
			   &emulator->response_size, (unsigned char *)command,
			   (uint32_t)size) != TPM_SUCCESS)
		return TSS2_TCTI_RC_IO_ERROR;
	emulator->pending = true;
	return TSS2_RC_SUCCESS;
}

static TSS2_RC emulator_receive(TSS2_TCTI_CONTEXT *tcti, size_t *size, uint8_t *response,
				int32_t timeout)
{
	struct emulator *emulator = (struct emulator *)tcti;
	size_t room = *size;

	(void)timeout;
	if (!emulator->pending)
		return TSS2_TCTI_RC_BAD_SEQUENCE;
	*size = emulator->response_len;
	if (!response)
		return TSS2_RC_SUCCESS;
	if (room < emulator->response_len)
		return TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
	memcpy(response, emulator->response, emulator->response_len);
	emulator->pending = false;
	return TSS2_RC_SUCCESS;
}

/* Before libtpms sees it: that enters failure mode and writes dumps to stderr. */
static int check_state(struct emulator *emulator)
{
	uint8_t *data;
	uint32_t len;
	int ret = nvram_load(emulator->nvram, TPM_PERMANENT_ALL_NAME, &data, &len);

	if (ret == 0)
		free(data);
	return ret == -ENOENT ? 0 : ret;
}

static int power_on(struct emulator *emulator)
{
	int ret;

	emulator->load_error = 0;
	ret = check_state(emulator);
	if (ret)
		return ret;
	emulator->is_on = TPMLIB_MainInit() == TPM_SUCCESS && !emulator->load_error;
	if (emulator->is_on)
		return 0;
	TPMLIB_Terminate();
	return emulator->load_error ? emulator->load_error : -EUCLEAN;
}

static int power_on_first(struct emulator *emulator, const char *state_dir, char *why,
			  size_t why_len)
{
	int ret;

	if (TPMLIB_ChooseTPMVersion(TPMLIB_TPM_VERSION_2) != TPM_SUCCESS ||
	    TPMLIB_RegisterCallbacks(&callbacks) != TPM_SUCCESS) {
		snprintf(why, why_len, "this libtpms has no TPM 2.0");
		return -ENODEV;
	}
	ret = power_on(emulator);
	if (ret)
		snprintf(why, why_len,
			 "the TPM state in %s/tpm is %s; it was left untouched",
			 state_dir, ret == -EUCLEAN ? "damaged" : "unreadable");
	return ret;
}

static struct emulator *claim(void)
{
	struct emulator *emulator = calloc(1, sizeof(*emulator));

	pthread_mutex_lock(&running_lock);
	if (running || !emulator) {
		errno = emulator ? EBUSY : ENOMEM;
		free(emulator);
		emulator = NULL;
	} else {
		running = emulator;
	}
	pthread_mutex_unlock(&running_lock);
	return emulator;
}

static void release(struct emulator *emulator)
{
	nvram_close(emulator->nvram);
	if (emulator->response)
		secmem_wipe(emulator->response, emulator->response_size);
	TPM_Free(emulator->response);
	pthread_mutex_lock(&running_lock);
	running = NULL;
	pthread_mutex_unlock(&running_lock);
	free(emulator);
}

int libtpms_tcti_open(const char *state_dir, TSS2_TCTI_CONTEXT **out, char *why,
		      size_t why_len)
{
	struct emulator *emulator = claim();
	int ret;

	if (!emulator) {
		ret = -errno;
		snprintf(why, why_len, "%s",
			 ret == -EBUSY ? "this process runs an embedded TPM already"
				       : "out of memory");
		return ret;
	}
	emulator->owner = getpid();
	emulator->common.v1.magic = EMULATOR_MAGIC;
	emulator->common.v1.version = 2;
	emulator->common.v1.transmit = emulator_transmit;
	emulator->common.v1.receive = emulator_receive;
	ret = nvram_open(state_dir, &emulator->nvram, why, why_len);
	if (ret == 0)
		ret = power_on_first(emulator, state_dir, why, why_len);
	if (ret < 0) {
		release(emulator);
		return ret;
	}
	*out = (TSS2_TCTI_CONTEXT *)emulator;
	return 0;
}

int libtpms_tcti_error(TSS2_TCTI_CONTEXT *tcti)
{
	return ((struct emulator *)tcti)->store_error;
}

void libtpms_tcti_restart(TSS2_TCTI_CONTEXT *tcti)
{
	struct emulator *emulator = (struct emulator *)tcti;

	emulator->pending = false;
	if (getpid() != emulator->owner || (emulator->is_on && !emulator->store_error))
		return;
	if (emulator->is_on)
		TPMLIB_Terminate();
	emulator->is_on = false;
	power_on(emulator);
}

void libtpms_tcti_close(TSS2_TCTI_CONTEXT *tcti)
{
	struct emulator *emulator = (struct emulator *)tcti;

	if (!emulator)
		return;
	if (getpid() == emulator->owner && emulator->is_on)
		TPMLIB_Terminate();
	release(emulator);
}
