/* SPDX-License-Identifier: MIT */
/* Fuzzes a packed ring; see fuzz-vring.h. */
#include "fuzz-vring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return fuzz(data, size, true);
}
