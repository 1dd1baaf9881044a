/* SPDX-License-Identifier: Apache-2.0 */
/** @file tokenizer.h
 *  @brief Text to token ids and back, and Llama 3.1's chat format.
 *
 *  The tokenizer is byte-level BPE as in Llama 3: text is split by the Llama 3
 *  pattern, and each piece's bytes are merged by rank. Text is any bytes: where
 *  they are not valid UTF-8, each maximal ill-formed part is first replaced by
 *  U+FFFD (as the Unicode standard recommends in its section 3.9); all valid
 *  UTF-8 decodes to exactly the bytes it was.
 */
#ifndef LLQ_TOKENIZER_H
#define LLQ_TOKENIZER_H

#include <llq/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ffi:begin */

/** A tokenizer; immutable once open, so any threads may share it. */
typedef struct llq_tokenizer llq_tokenizer;

/** Choices of llq_tokenizer_encode(), combined by |. */
enum llq_encode_flag {
  LLQ_ENCODE_BOS = 1,    /**< begin with the BOS token */
  LLQ_ENCODE_SPECIAL = 2 /**< text like "<|eot_id|>" becomes that token; without
                              it, special tokens are ordinary text */
};

/** One message of a chat. */
typedef struct llq_message {
  const char *role;    /**< "system", "user", "assistant" */
  const char *content; /**< UTF-8 */
} llq_message;

/** Opens a tokenizer.
 *  @param out   the caller's, to close with llq_tokenizer_close()
 *  @param path  a Hugging Face tokenizer.json; a Meta tokenizer.model (lines
 *               of base64 and rank); a GGUF file; or a directory that has one
 *               of the first two
 *  @return #LLQ_OK; #LLQ_ERROR_IO; #LLQ_ERROR_FORMAT naming file and line;
 *          #LLQ_ERROR_UNSUPPORTED for other kinds of tokenizer (such as
 *          SentencePiece), by name; #LLQ_ERROR_MEMORY. */
LLQ_API int llq_tokenizer_open(llq_tokenizer **out, const char *path);

/** Closes a tokenizer. */
LLQ_API void llq_tokenizer_close(llq_tokenizer *tokenizer);

/** How many ids there are: valid ones are 0 .. n - 1. */
LLQ_API size_t llq_tokenizer_n_vocab(const llq_tokenizer *tokenizer);

/** The id of a special token, such as "<|eot_id|>"; -1 if there is none. */
LLQ_API int32_t llq_tokenizer_special(const llq_tokenizer *tokenizer,
                                      const char *token);

/** The BOS token's id; -1 if there is none. */
LLQ_API int32_t llq_tokenizer_bos(const llq_tokenizer *tokenizer);

/** Encodes text.
 *  @param text      n_bytes bytes, at most 2^30; may contain NUL; NULL if
 *                   n_bytes is 0
 *  @param flags     of #llq_encode_flag
 *  @param ids       room for `capacity` ids; NULL if capacity is 0
 *  @param n_ids     out: how many ids the text has, even if more than capacity;
 *                   the first `capacity` of them are in ids. n_bytes + 1 is
 *                   always room enough for valid UTF-8, 3 * n_bytes + 1 for
 *                   any bytes (a U+FFFD can be three ids).
 *  @return #LLQ_OK, #LLQ_ERROR_ARGUMENT, #LLQ_ERROR_MEMORY. Any thread. */
LLQ_API int llq_tokenizer_encode(const llq_tokenizer *tokenizer,
                                 const char *text, size_t n_bytes, int flags,
                                 int32_t *ids, size_t capacity, size_t *n_ids);

/** Decodes ids to bytes. A token can be part of a character: decode ids
 *  together, or keep the incomplete tail yourself.
 *  @param ids       n_ids ids, each 0 .. llq_tokenizer_n_vocab() - 1
 *  @param special   0 = special tokens decode to nothing, 1 = to their names
 *  @param text      room for `capacity` bytes; NULL if capacity is 0; no NUL is
 *                   added
 *  @param n_bytes   out: how many bytes the ids have, even if over capacity
 *  @return #LLQ_OK; #LLQ_ERROR_ARGUMENT for an id out of range. Any thread. */
LLQ_API int llq_tokenizer_decode(const llq_tokenizer *tokenizer,
                                 const int32_t *ids, size_t n_ids, int special,
                                 char *text, size_t capacity, size_t *n_bytes);

/** Renders messages in Llama 3.1's chat format, as the text to encode with
 *  #LLQ_ENCODE_SPECIAL (it starts with "<|begin_of_text|>"; don't add a BOS).
 *  @param messages    n_messages > 0 of them, in order; a leading "system"
 *                     message is merged into the header that the format always
 *                     has. White space around a content is left out.
 *  @param date        the format's "Today Date", such as "26 Jul 2024" (the
 *                     format's own default, used for NULL)
 *  @param add_prompt  1 = end with the header of an assistant message, for the
 *                     model to go on; 2 = the last message is an assistant's
 *                     that the model continues: leave it open, and keep the
 *                     white space that it ends with
 *  @param out         the caller's; llq_free() frees it
 *  @return #LLQ_OK; #LLQ_ERROR_ARGUMENT; #LLQ_ERROR_UNSUPPORTED if the
 *          tokenizer lacks the format's special tokens; #LLQ_ERROR_MEMORY. */
LLQ_API int llq_tokenizer_chat(const llq_tokenizer *tokenizer,
                               const llq_message *messages, size_t n_messages,
                               const char *date, int add_prompt, char **out);

/* ffi:end */

#ifdef __cplusplus
}
#endif

#endif
