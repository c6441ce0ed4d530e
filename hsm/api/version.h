/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HSM_API_VERSION_H
#define HSM_API_VERSION_H

#define HSMFS_VERSION "0.1.0"

#endif
