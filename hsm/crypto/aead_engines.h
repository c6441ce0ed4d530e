/* SPDX-License-Identifier: Apache-2.0 */
/* The engines behind aead.h, for aead.c's table only. */
#ifndef HSM_CRYPTO_AEAD_ENGINES_H
#define HSM_CRYPTO_AEAD_ENGINES_H

#include "hsm/crypto/aead.h"

#ifdef HAVE_IPSEC_MB
extern const struct aead_engine aead_ipsecmb;
#endif
extern const struct aead_engine aead_openssl;

#endif
