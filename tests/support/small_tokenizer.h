/* SPDX-License-Identifier: Apache-2.0 */
/* A tokenizer of 264 ids, as both kinds of file: the 256 bytes (id = byte), a
   few merges, four special tokens. */
#ifndef LLQ_TEST_SMALL_TOKENIZER_H
#define LLQ_TEST_SMALL_TOKENIZER_H

#include <llq/tokenizer.h>

/* Ids beyond the bytes. */
enum { SMALL_AA = 256, SMALL_AB, SMALL_BC, SMALL_XYZ, SMALL_BOS };
#define SMALL_N_VOCAB 264

/* The text of the tokenizer.json; the caller's to free. In it, the first `from`
   is replaced by `to`, unless from is NULL. */
char *small_tokenizer_json(const char *from, const char *to);

/* The same for a tokenizer.model, which has no special tokens in it. */
char *small_tokenizer_model(const char *from, const char *to);

/* Opens a tokenizer from that tokenizer.json. */
llq_tokenizer *small_tokenizer_open(const char *from, const char *to);

/* Writes a text to test_path(name), and gives that path. */
const char *small_file(const char *name, const char *text, size_t n);

#endif
