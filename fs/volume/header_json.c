/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/volume/header_json.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/evp.h>

#include "fs/volume/hex.h"
#include "fs/volume/name.h"

enum { FORMAT = 1 };

/* Above, JSON readers disagree about numbers (RFC 8259, section 6). */
#define SEQUENCE_MAX ((INT64_C(1) << 53) - 1)

static const char *const state_names[] = {
	[HEADER_CLEAN] = "clean",
	[HEADER_MOUNTED] = "mounted",
	[HEADER_UNSETTLED] = "unsettled",
};

static const char *const kind_names[] = {
	[HEADER_PASSPHRASE] = "passphrase",
	[HEADER_RECOVERY] = "recovery",
};

/* --- reading --------------------------------------------------------------------- */

static int decode_uuid(const char *text, struct header *header)
{
	char digits[2 * KEYSLOT_UUID_BYTES + 1] = "";
	char again[37];
	size_t nr = 0;

	for (const char *c = text; *c && nr < sizeof(digits) - 1; c++) {
		if (*c != '-')
			digits[nr++] = *c;
	}
	if (hex_decode(digits, header->uuid, sizeof(header->uuid)) < 0)
		return -EUCLEAN;
	header_uuid_text(header->uuid, again);
	return strcmp(again, text) == 0 ? 0 : -EUCLEAN;
}

static int decode_state(const char *text, struct header *header)
{
	for (unsigned i = 0; i < sizeof(state_names) / sizeof(*state_names); i++) {
		if (strcmp(text, state_names[i]) == 0) {
			header->state = (enum header_state)i;
			return 0;
		}
	}
	return -EUCLEAN;
}

static enum header_kind decode_kind(const char *kind, const char *kdf, const char *token)
{
	if (strcmp(kdf, "argon2id") != 0 || strcmp(token, "tpm2") != 0)
		return HEADER_FOREIGN;
	for (unsigned i = HEADER_PASSPHRASE; i <= HEADER_RECOVERY; i++) {
		if (strcmp(kind, kind_names[i]) == 0)
			return (enum header_kind)i;
	}
	return HEADER_FOREIGN;
}

static int decode_kdf(json_t *json, struct keyslot_kdf *kdf)
{
	json_int_t time, memory, lanes;
	const char *salt;

	if (json_unpack(json, "{s:I,s:I,s:I,s:s}", "time", &time, "memory_kib", &memory,
			"lanes", &lanes, "salt", &salt) < 0)
		return -EUCLEAN;
	if (time < 1 || time > KEYSLOT_KDF_MAX_TIME || lanes < 1 ||
	    lanes > KEYSLOT_KDF_MAX_LANES || memory < KEYSLOT_KDF_MIN_KIB ||
	    memory > KEYSLOT_KDF_MAX_KIB || memory < 8 * lanes ||
	    time * memory > KEYSLOT_KDF_MAX_WORK)
		return -EUCLEAN;
	kdf->time = (uint32_t)time;
	kdf->memory_kib = (uint32_t)memory;
	kdf->lanes = (uint32_t)lanes;
	if (name_base64_decode(salt, kdf->salt, sizeof(kdf->salt)) != sizeof(kdf->salt))
		return -EUCLEAN;
	return 0;
}

/* Decimal without leading zeros, below @end; -1: not such a number. */
static int decode_number(const char *text, int end)
{
	char again[12];

	for (int nr = 0; nr < end; nr++) {
		snprintf(again, sizeof(again), "%d", nr);
		if (strcmp(again, text) == 0)
			return nr;
	}
	return -1;
}

static int decode_pcrs(json_t *json, struct keyslot *slot)
{
	const char *key;
	json_t *value;

	json_object_foreach(json, key, value)
	{
		const char *hex = json_string_value(value);
		int nr = decode_number(key, KEYSLOT_PCRS);

		if (nr < 0 || !hex ||
		    hex_decode(hex, slot->pcr_values[nr], KEYSLOT_PCR_BYTES) < 0)
			return -EUCLEAN;
		slot->pcrs |= UINT32_C(1) << nr;
	}
	return 0;
}

static int decode_token(json_t *json, struct keyslot *slot)
{
	const char *name, *public, *private;
	int public_len, private_len;
	json_t *pcrs = NULL;

	if (json_unpack(json, "{s:s,s:s,s:s,s?o}", "name", &name, "public", &public,
			"private", &private, "pcrs_sha256", &pcrs) < 0)
		return -EUCLEAN;
	if (pcrs && (!json_object_size(pcrs) || decode_pcrs(pcrs, slot) < 0))
		return -EUCLEAN;
	public_len =
		name_base64_decode(public, slot->tpm_public, sizeof(slot->tpm_public));
	private_len =
		name_base64_decode(private, slot->tpm_private, sizeof(slot->tpm_private));
	if (public_len <= 0 || private_len <= 0)
		return -EUCLEAN;
	slot->tpm_public_len = (uint16_t)public_len;
	slot->tpm_private_len = (uint16_t)private_len;
	return hex_decode(name, slot->tpm_name, sizeof(slot->tpm_name)) < 0 ? -EUCLEAN
									    : 0;
}

static int decode_slot(json_t *json, struct header *header, unsigned nr)
{
	struct keyslot *slot = &header->slots[nr];
	const char *kind, *kdf_type, *token_type, *wrapped;
	json_t *kdf, *token;
	int rc;

	if (json_unpack(json, "{s:s,s:o,s:o}", "kind", &kind, "kdf", &kdf, "token",
			&token) < 0 ||
	    json_unpack(kdf, "{s:s}", "type", &kdf_type) < 0 ||
	    json_unpack(token, "{s:s}", "type", &token_type) < 0)
		return -EUCLEAN;
	header->used[nr] = true;
	header->kinds[nr] = decode_kind(kind, kdf_type, token_type);
	if (header->kinds[nr] == HEADER_FOREIGN)
		return 0;
	if (json_unpack(json, "{s:s}", "wrapped_key", &wrapped) < 0)
		return -EUCLEAN;
	slot->slot = nr;
	if (name_base64_decode(wrapped, slot->wrapped_vmk, sizeof(slot->wrapped_vmk)) !=
	    sizeof(slot->wrapped_vmk))
		return -EUCLEAN;
	rc = decode_kdf(kdf, &slot->kdf);
	return rc < 0 ? rc : decode_token(token, slot);
}

static int decode_slots(json_t *slots, struct header *header, char *why, size_t why_len)
{
	const char *key;
	json_t *slot;

	json_object_foreach(slots, key, slot)
	{
		int nr = decode_number(key, KEYSLOT_COUNT);

		if (nr < 0) {
			snprintf(why, why_len, "it names a key slot that there can't be");
			return -EUCLEAN;
		}
		if (decode_slot(slot, header, (unsigned)nr) < 0) {
			snprintf(why, why_len, "key slot %d is malformed", nr);
			return -EUCLEAN;
		}
	}
	return 0;
}

/* The file is hostile and @why goes to a terminal. */
static void copy_printable(const char *from, char *to, size_t to_len)
{
	size_t i = 0;

	for (; i < to_len - 1 && from[i]; i++) {
		bool plain = isalnum((unsigned char)from[i]) || from[i] == '-' ||
			     from[i] == '_' || from[i] == '.';

		to[i] = plain ? from[i] : '?';
	}
	to[i] = '\0';
}

/* No feature is known yet: any incompatible one forbids use, compatible ones don't. */
static int check_features(const json_t *incompatible, const json_t *compatible, char *why,
			  size_t why_len)
{
	const json_t *first = json_array_get(incompatible, 0);
	char name[40];

	if (!json_is_array(incompatible) || !json_is_array(compatible) ||
	    (first && !json_is_string(first))) {
		snprintf(why, why_len, "its list of features is malformed");
		return -EUCLEAN;
	}
	if (!first)
		return 0;
	copy_printable(json_string_value(first), name, sizeof(name));
	snprintf(why, why_len,
		 "the volume needs the feature '%s', which this version does not have; "
		 "use a newer hsmfs",
		 name);
	return -ENOTSUP;
}

static int check_format(const json_t *inner, char *why, size_t why_len)
{
	const json_t *format = json_object_get(inner, "format");

	if (!json_is_integer(format) || json_integer_value(format) < FORMAT) {
		snprintf(why, why_len, "it has no format number");
		return -EUCLEAN;
	}
	if (json_integer_value(format) == FORMAT)
		return 0;
	snprintf(why, why_len,
		 "the volume has format %lld and this version knows only %d; use a newer "
		 "hsmfs",
		 (long long)json_integer_value(format), FORMAT);
	return -ENOTSUP;
}

static int decode_inner(json_t *inner, struct header *header, char *why, size_t why_len)
{
	const char *uuid, *state;
	json_int_t sequence, since = 0;
	json_t *slots, *incompatible, *compatible;
	json_error_t error;
	int rc = check_format(inner, why, why_len);

	if (rc < 0)
		return rc;
	if (json_unpack_ex(inner, &error, 0, "{s:I,s:s,s:s,s?I,s:{s:o,s:o},s:o}",
			   "sequence", &sequence, "uuid", &uuid, "state", &state,
			   "unclean_since", &since, "features", "incompatible",
			   &incompatible, "compatible", &compatible, "slots",
			   &slots) < 0 ||
	    !json_is_object(slots)) {
		snprintf(why, why_len, "a member is missing or of the wrong type");
		return -EUCLEAN;
	}
	rc = check_features(incompatible, compatible, why, why_len);
	if (rc < 0)
		return rc;
	if (sequence < 0 || sequence > SEQUENCE_MAX || decode_uuid(uuid, header) < 0 ||
	    decode_state(state, header) < 0) {
		snprintf(why, why_len, "its sequence, uuid or state is malformed");
		return -EUCLEAN;
	}
	header->sequence = (uint64_t)sequence;
	header->unclean_since = since;
	return decode_slots(slots, header, why, why_len);
}

int header_decode(const char *text, size_t len, struct header *header, char *why,
		  size_t why_len)
{
	const char *mac;
	json_error_t error;
	json_t *inner;
	json_t *outer = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	int rc;

	memset(header, 0, sizeof(*header));
	if (!outer) {
		snprintf(why, why_len, "it is not JSON (line %d)", error.line);
		return json_error_code(&error) == json_error_out_of_memory ? -ENOMEM
									   : -EUCLEAN;
	}
	rc = -EUCLEAN;
	snprintf(why, why_len, "it is not a volume header");
	/* Strict: what lies beside the two members is not authenticated. */
	if (json_unpack_ex(outer, &error, JSON_STRICT, "{s:o,s:s}", "hsmfs", &inner,
			   "mac", &mac) < 0 ||
	    hex_decode(mac, header->mac, sizeof(header->mac)) < 0)
		goto out;
	rc = decode_inner(inner, header, why, why_len);
	if (rc == 0)
		header->json = json_incref(inner);
out:
	json_decref(outer);
	return rc;
}

/* --- writing --------------------------------------------------------------------- */

/* The object @key in @parent, made if there is none (or something else). */
static json_t *child(json_t *parent, const char *key)
{
	json_t *object = json_object_get(parent, key);

	if (json_is_object(object))
		return object;
	object = json_object();
	return json_object_set_new(parent, key, object) < 0 ? NULL : object;
}

static int set_base64(json_t *object, const char *key, const uint8_t *data, size_t len)
{
	char text[KEYSLOT_TPM_BLOB_MAX * 4 / 3 + 4];

	name_base64_encode(data, len, text);
	return json_object_set_new(object, key, json_string(text));
}

static int encode_kdf(json_t *json, const struct keyslot_kdf *kdf)
{
	if (json_object_set_new(json, "type", json_string("argon2id")) < 0 ||
	    json_object_set_new(json, "time", json_integer(kdf->time)) < 0 ||
	    json_object_set_new(json, "memory_kib", json_integer(kdf->memory_kib)) < 0 ||
	    json_object_set_new(json, "lanes", json_integer(kdf->lanes)) < 0 ||
	    set_base64(json, "salt", kdf->salt, sizeof(kdf->salt)) < 0)
		return -ENOMEM;
	return 0;
}

static int encode_pcrs(json_t *json, const struct keyslot *slot)
{
	char key[12], hex[2 * KEYSLOT_PCR_BYTES + 1];
	json_t *pcrs = child(json, "pcrs_sha256");

	for (int nr = 0; nr < KEYSLOT_PCRS; nr++) {
		if (!(slot->pcrs >> nr & 1))
			continue;
		snprintf(key, sizeof(key), "%d", nr);
		hex_encode(slot->pcr_values[nr], KEYSLOT_PCR_BYTES, hex);
		if (json_object_set_new(pcrs, key, json_string(hex)) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int encode_token(json_t *json, const struct keyslot *slot)
{
	char name[2 * KEYSLOT_TPM_NAME_BYTES + 1];

	hex_encode(slot->tpm_name, sizeof(slot->tpm_name), name);
	if (json_object_set_new(json, "type", json_string("tpm2")) < 0 ||
	    json_object_set_new(json, "name", json_string(name)) < 0 ||
	    set_base64(json, "public", slot->tpm_public, slot->tpm_public_len) < 0 ||
	    set_base64(json, "private", slot->tpm_private, slot->tpm_private_len) < 0)
		return -ENOMEM;
	return slot->pcrs ? encode_pcrs(json, slot) : 0;
}

static int encode_slot(json_t *json, enum header_kind kind, const struct keyslot *slot)
{
	json_t *kdf = child(json, "kdf");
	json_t *token = child(json, "token");
	int rc;

	if (!kdf || !token ||
	    json_object_set_new(json, "kind", json_string(kind_names[kind])) < 0 ||
	    set_base64(json, "wrapped_key", slot->wrapped_vmk,
		       sizeof(slot->wrapped_vmk)) < 0)
		return -ENOMEM;
	rc = encode_kdf(kdf, &slot->kdf);
	return rc < 0 ? rc : encode_token(token, slot);
}

static int encode_slots(json_t *slots, const struct header *header)
{
	for (unsigned nr = 0; nr < KEYSLOT_COUNT; nr++) {
		char key[12];
		json_t *slot;

		snprintf(key, sizeof(key), "%u", nr);
		if (!header->used[nr]) {
			json_object_del(slots, key);
			continue;
		}
		if (header->kinds[nr] == HEADER_FOREIGN)
			continue;
		slot = child(slots, key);
		if (!slot || encode_slot(slot, header->kinds[nr], &header->slots[nr]) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int encode_features(json_t *inner)
{
	json_t *features = json_object_get(inner, "features");

	if (features)
		return 0;
	features = json_pack("{s:[],s:[]}", "incompatible", "compatible");
	return json_object_set_new(inner, "features", features) < 0 ? -ENOMEM : 0;
}

int header_encode(struct header *header)
{
	json_t *inner = header->json;
	json_t *slots = child(inner, "slots");
	char uuid[37];

	header_uuid_text(header->uuid, uuid);
	if (!slots || json_object_set_new(inner, "format", json_integer(FORMAT)) < 0 ||
	    json_object_set_new(inner, "sequence",
				json_integer((json_int_t)header->sequence)) < 0 ||
	    json_object_set_new(inner, "uuid", json_string(uuid)) < 0 ||
	    json_object_set_new(inner, "state", json_string(state_names[header->state])) <
		    0 ||
	    json_object_set_new(inner, "unclean_since",
				json_integer(header->unclean_since)) < 0 ||
	    encode_features(inner) < 0)
		return -ENOMEM;
	return encode_slots(slots, header);
}

int header_digest(const struct header *header, uint8_t digest[WIRE_MAC_BYTES])
{
	char *text = json_dumps(header->json, JSON_COMPACT | JSON_SORT_KEYS);
	int ok;

	if (!text)
		return -ENOMEM;
	ok = EVP_Digest(text, strlen(text), digest, NULL, EVP_sha256(), NULL);
	free(text);
	return ok ? 0 : -ENOMEM;
}

char *header_text(const struct header *header)
{
	char mac[2 * WIRE_MAC_BYTES + 1];
	json_t *outer;
	char *text;

	hex_encode(header->mac, sizeof(header->mac), mac);
	outer = json_pack("{s:O,s:s}", "hsmfs", header->json, "mac", mac);
	text = json_dumps(outer, JSON_INDENT(1) | JSON_SORT_KEYS);
	json_decref(outer);
	return text;
}
