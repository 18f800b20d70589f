/* SPDX-License-Identifier: MIT
 *
 * Includes the whole library, for sketches.
 */
#ifndef ANYECG_H
#define ANYECG_H

#include "anyecg_estimate.h"
#include "anyecg_frame.h"
#include "anyecg_gate.h"
#include "anyecg_messages.h"
#include "anyecg_patch.h"
#include "anyecg_ring.h"
#include "ecg_frontend.h"

#endif
