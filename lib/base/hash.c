/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"

#include <nettle/sha2.h>
#include <stdint.h>

#include "base/file.h"
#include "base/status.h"

void llqi_hash_bytes(const void *bytes, size_t n,
                     char out[LLQI_HASH_TEXT_SIZE]) {
  static const char digits[] = "0123456789abcdef";
  struct sha256_ctx context;
  uint8_t digest[SHA256_DIGEST_SIZE];
  sha256_init(&context);
  sha256_update(&context, n, bytes);
  sha256_digest(&context, sizeof digest, digest);
  for (size_t i = 0; i < sizeof digest; i++) {
    out[2 * i] = digits[digest[i] >> 4];
    out[2 * i + 1] = digits[digest[i] & 15];
  }
  out[LLQI_HASH_TEXT_SIZE - 1] = '\0';
}

int llqi_hash_file(const char *path, char out[LLQI_HASH_TEXT_SIZE]) {
  struct llqi_mapping file;
  LLQ_TRY(llqi_file_map(path, &file));
  llqi_hash_bytes(file.data, file.size, out);
  llqi_file_unmap(&file);
  return LLQ_OK;
}
