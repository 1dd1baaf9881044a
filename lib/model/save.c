/* SPDX-License-Identifier: Apache-2.0 */
#include "model/save.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/options.h"
#include "base/status.h"
#include "base/text.h"
#include "checkpoint/safetensors_write.h"
#include "model/gguf.h"
#include "model/parts.h"
#include "tensor/dtype.h"
#include "tensor/weight.h"
