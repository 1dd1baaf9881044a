/* SPDX-License-Identifier: Apache-2.0 */
/* The words of GPTQ's and AWQ's codes, written out by hand. */
#include "support.h"
#include "tensor/dtype.h"
#include "tensor/transposed.h"
#include "tensor/weight.h"

/* An int4 weight whose row o has the codes (o + i) % 16 - 8. */
static llq_weight counting(uint32_t *words, int64_t n_out, int64_t n_in) {
  for (int64_t o = 0; o < n_out; o++)
    for (int64_t w = 0; w < n_in / 8; w++) {
      words[o * n_in / 8 + w] = 0;
      for (int i = 0; i < 8; i++)
        words[o * n_in / 8 + w] |= (uint32_t)((o + w * 8 + i) % 16) << 4 * i;
    }
  return (llq_weight){.struct_size = sizeof(llq_weight),
                      .format = LLQ_WEIGHT_INT4,
                      .dtype = LLQ_BF16,
                      .n_out = n_out,
                      .n_in = n_in,
                      .group_size = n_in,
                      .data = words};
}

START_TEST(gptq_words_are_those_of_its_definition) {
  uint32_t words[8 * 2], packed[2 * 8], back[8 * 2];
  llq_weight w = counting(words, 8, 16);
  llqi_gptq_pack(&w, 0, 2, packed);
  ck_assert_uint_eq(packed[0], 0x76543210); /* inputs 0 to 7 of output 0 */
  ck_assert_uint_eq(packed[1], 0x87654321); /* and of output 1 */
  ck_assert_uint_eq(packed[7], 0xedcba987);
  ck_assert_uint_eq(packed[8], 0xfedcba98); /* inputs 8 to 15 of output 0 */
  ck_assert_uint_eq(packed[15], 0x6543210f);
  llqi_gptq_unpack(4, 8, 16, packed, back);
  ck_assert_mem_eq(back, words, sizeof words);
  llqi_gptq_pack(&w, 1, 1, packed);
  ck_assert_uint_eq(packed[0], 0xfedcba98);
}
END_TEST

START_TEST(gptq_bytes_are_those_of_its_definition) {
  static const int8_t codes[2][8] = {{-128, -1, 0, 127, 1, 2, 3, 4},
                                     {5, 6, 7, 8, -5, -6, -7, -8}};
  int8_t back[2][8];
  uint32_t packed[4];
  const llq_weight w = {.format = LLQ_WEIGHT_INT8,
                        .n_out = 2,
                        .n_in = 8,
                        .group_size = 8,
                        .data = codes};
  llqi_gptq_pack(&w, 0, 2, packed);
  ck_assert_uint_eq(packed[0], 0xff807f00);
  ck_assert_uint_eq(packed[1], 0x88878685);
  ck_assert_uint_eq(packed[2], 0x84838281);
  ck_assert_uint_eq(packed[3], 0x78797a7b);
  llqi_gptq_unpack(8, 2, 8, packed, back);
  ck_assert_mem_eq(back, codes, sizeof codes);
}
END_TEST

START_TEST(awq_words_are_those_of_its_definition) {
  uint32_t words[8 * 2], packed[16], back[8 * 2];
  llq_weight w = counting(words, 8, 16);
  llqi_awq_pack(&w, 0, 16, packed);
  ck_assert_uint_eq(packed[0], 0x75316420); /* outputs 0 to 7 of input 0 */
  ck_assert_uint_eq(packed[1], 0x86427531); /* and of input 1 */
  ck_assert_uint_eq(packed[8], 0xfdb9eca8);
  llqi_awq_unpack(8, 16, packed, back);
  ck_assert_mem_eq(back, words, sizeof words);
  llqi_awq_pack(&w, 8, 8, packed);
  ck_assert_uint_eq(packed[0], 0xfdb9eca8);
}
END_TEST

START_TEST(zero_points_are_those_of_their_definitions) {
  uint32_t words[8 * 2], packed[2];
  static const int8_t zeros[16] = {-8, 7, -7, 7, -6, 7, -5, 7,
                                   -4, 7, -3, 7, -2, 7, -1, 7};
  uint8_t back[16];
  llq_weight w = counting(words, 8, 16);
  w.group_size = 8;
  llqi_zeros_pack(&w, llqi_gptq_order, 1, 0, 2, packed);
  ck_assert_uint_eq(packed[0], 0x77777777);
  ck_assert_uint_eq(packed[1], 0x77777777);
  llqi_zeros_pack(&w, llqi_gptq_order, 0, 0, 2, packed);
  ck_assert_uint_eq(packed[0], 0x88888888);
  w.zero = zeros;
  llqi_zeros_pack(&w, llqi_gptq_order, 0, 0, 2, packed);
  ck_assert_uint_eq(packed[0], 0x76543210);
  ck_assert_uint_eq(packed[1], 0xffffffff);
  llqi_zeros_pack(&w, llqi_gptq_order, 1, 1, 1, packed);
  ck_assert_uint_eq(packed[0], 0xeeeeeeee);
  llqi_zeros_pack(&w, llqi_awq_order, 0, 0, 2, packed);
  ck_assert_uint_eq(packed[0], 0x75316420);
  llqi_zeros_unpack(4, llqi_awq_order, 8, 2, packed, back);
  for (int i = 0; i < 16; i++)
    ck_assert_int_eq(back[i], zeros[i] + 8);
  w.zero = NULL;
  w.format = LLQ_WEIGHT_INT8;
  llqi_zeros_pack(&w, llqi_gptq_order, 1, 0, 1, packed);
  ck_assert_uint_eq(packed[0], 0x7f7f7f7f);
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("packed_words");
  TCase *tests = tcase_create("packed_words");
  tcase_add_test(tests, gptq_words_are_those_of_its_definition);
  tcase_add_test(tests, gptq_bytes_are_those_of_its_definition);
  tcase_add_test(tests, awq_words_are_those_of_its_definition);
  tcase_add_test(tests, zero_points_are_those_of_their_definitions);
  suite_add_tcase(suite, tests);
  return suite;
}
