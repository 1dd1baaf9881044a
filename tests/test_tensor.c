/* SPDX-License-Identifier: Apache-2.0 */
/* Number types against their definitions, packed formats against layouts that
   are written out by hand. */
#include <math.h>
#include <string.h>

#include "base/random.h"
#include "support.h"
#include "tensor/dtype.h"
#include "tensor/format.h"
#include "tensor/weight.h"

/* A number type by its definition. */
struct type {
  int dtype;
  int mantissa, bias;
  uint32_t sign;    /* the sign's bit */
  uint32_t largest; /* the code of the largest finite magnitude */
};

static const struct type types[] = {
    {LLQ_BF16, 7, 127, 0x8000, 0x7f7f},
    {LLQ_F16, 10, 15, 0x8000, 0x7bff},
    {LLQ_F8_E4M3, 3, 7, 0x80, 0x7e},
};

#define N_TYPES (int)(sizeof types / sizeof types[0])

static double value_of(const struct type *type, uint32_t code) {
  uint32_t exponent = code >> type->mantissa;
  uint32_t fraction = code & ((1u << type->mantissa) - 1);
  int power = (int)(exponent > 0 ? exponent : 1) - type->bias - type->mantissa;
  if (exponent > 0)
    fraction += 1u << type->mantissa;
  return ldexp(fraction, power);
}

/* The nearest code of a magnitude, the even one of two; beyond the largest, it
   rounds as if there were more codes. */
static uint32_t code_of(const struct type *type, double x) {
  uint32_t low = 0, high = type->largest + 1;
  while (high - low > 1) {
    uint32_t middle = (low + high) / 2;
    if (value_of(type, middle) <= x)
      low = middle;
    else
      high = middle;
  }
  double below = x - value_of(type, low), above = value_of(type, high) - x;
  if (below == above)
    return low % 2 == 0 ? low : high;
  return below < above ? low : high;
}

static uint32_t convert(int dtype, float x) {
  uint16_t code = 0;
  llqi_from_f32(dtype, &x, 1, &code);
  return code;
}

static float back(int dtype, uint32_t code) {
  uint16_t stored = (uint16_t)code;
  float x;
  llqi_to_f32(dtype, &stored, 1, &x);
  return x;
}

START_TEST(every_code_has_its_value_and_converts_back) {
  const struct type *type = &types[_i];
  for (uint32_t code = 0; code <= type->largest; code++) {
    float x = (float)value_of(type, code);
    ck_assert_uint_eq(llqi_f32_bits(back(type->dtype, code)), llqi_f32_bits(x));
    float minus = back(type->dtype, code | type->sign);
    ck_assert_uint_eq(llqi_f32_bits(minus), llqi_f32_bits(-x));
    ck_assert_uint_eq(convert(type->dtype, x), code);
    ck_assert_uint_eq(convert(type->dtype, -x), code | type->sign);
  }
}
END_TEST

START_TEST(infinities_and_nans_convert_back) {
  for (uint32_t code = 0; code < 0x10000; code++) {
    float of_f16 = back(LLQ_F16, code), of_bf16 = back(LLQ_BF16, code);
    if ((code & 0x7fff) == 0x7c00)
      ck_assert_float_eq(of_f16, code & 0x8000 ? -INFINITY : INFINITY);
    ck_assert_int_eq(isnan(of_f16), (code & 0x7fff) > 0x7c00);
    ck_assert_int_eq(isnan(of_bf16), (code & 0x7fff) > 0x7f80);
    /* A signalling NaN comes back quiet. */
    uint32_t quiet = isnan(of_f16) ? code | 0x200 : code;
    ck_assert_uint_eq(convert(LLQ_F16, of_f16), quiet);
    quiet = isnan(of_bf16) ? code | 0x40 : code;
    ck_assert_uint_eq(convert(LLQ_BF16, of_bf16), quiet);
  }
  ck_assert(isnan(back(LLQ_F8_E4M3, 0x7f)) && isnan(back(LLQ_F8_E4M3, 0xff)));
  ck_assert_uint_eq(convert(LLQ_F8_E4M3, NAN), 0x7f);
  ck_assert_uint_eq(convert(LLQ_F8_E4M3, -NAN), 0xff);
}
END_TEST

static void check_rounding(const struct type *type, float x) {
  uint32_t code = code_of(type, fabsf(x));
  if (type->dtype == LLQ_F8_E4M3 && code > type->largest)
    code = type->largest; /* saturates */
  if (signbit(x))
    code |= type->sign;
  ck_assert_msg(convert(type->dtype, x) == code, "%a is %#x, expected %#x", x,
                convert(type->dtype, x), code);
  float rounded = x;
  llqi_round_f32(type->dtype, &rounded, 1);
  ck_assert_uint_eq(llqi_f32_bits(rounded),
                    llqi_f32_bits(back(type->dtype, code)));
}

/* What lies beside a code, halfway to the next, and beside that. */
START_TEST(floats_round_to_the_nearest_code) {
  const struct type *type = &types[_i];
  for (uint32_t code = 0; code < type->largest; code++) {
    float x = (float)value_of(type, code);
    float next = (float)value_of(type, code + 1);
    float half = x + (next - x) / 2;
    float near[] = {x, half, nextafterf(x, INFINITY), nextafterf(half, 0),
                    nextafterf(half, INFINITY)};
    for (int i = 0; i < 5; i++) {
      check_rounding(type, near[i]);
      check_rounding(type, -near[i]);
    }
  }
}
END_TEST

START_TEST(floats_of_any_bits_round_to_the_nearest_code) {
  const struct type *type = &types[_i];
  for (uint32_t i = 0; i < 100000; i++) {
    uint32_t counter[4] = {i, (uint32_t)_i, 0, 0}, random[4];
    llqi_philox(1, counter, random);
    for (int k = 0; k < 4; k++) {
      float x = llqi_f32_of_bits(random[k]);
      if (isfinite(x))
        check_rounding(type, x);
    }
  }
}
END_TEST

START_TEST(overflow_is_infinite_but_saturates_in_e4m3) {
  ck_assert_uint_eq(convert(LLQ_F16, 65519.996f), 0x7bff);
  ck_assert_uint_eq(convert(LLQ_F16, 65520), 0x7c00);
  ck_assert_uint_eq(convert(LLQ_F16, -INFINITY), 0xfc00);
  ck_assert_uint_eq(convert(LLQ_BF16, 3.4e38f), 0x7f80);
  ck_assert_uint_eq(convert(LLQ_F8_E4M3, 449), 0x7e);
  ck_assert_uint_eq(convert(LLQ_F8_E4M3, -INFINITY), 0xfe);
}
END_TEST

START_TEST(types_have_the_names_and_sizes_of_safetensors) {
  const char *names[] = {"F32", "F16", "BF16", "F8_E4M3",
                         "I8",  "I32", "I64",  "U8"};
  const size_t sizes[] = {4, 2, 2, 1, 1, 4, 8, 1};
  for (int i = 0; i < 8; i++) {
    int dtype = llqi_dtype_of(names[i]);
    ck_assert_int_eq(dtype, LLQ_F32 + i);
    ck_assert_str_eq(llqi_dtype_name(dtype), names[i]);
    ck_assert_uint_eq(llqi_dtype_size(dtype), sizes[i]);
  }
  ck_assert_int_eq(llqi_dtype_of("F8_E5M2"), 0);
  ck_assert_str_eq(llqi_dtype_name(0), "?");
  ck_assert_str_eq(llqi_dtype_name(9), "?");
  ck_assert_uint_eq(llqi_dtype_size(-1), 0);
}
END_TEST

/* The words that the format's documentation gives for these codes. */
START_TEST(int4_words_hold_eight_codes_little_end_first) {
  const float codes[16] = {-8, -7, -6, -5, -4, -3, -2, -1,
                           0,  1,  2,  3,  4,  5,  6,  7};
  uint32_t data[4] = {0};
  float unpacked[16];
  llq_weight weight = {.format = LLQ_WEIGHT_INT4, .dtype = LLQ_BF16};
  weight.n_out = 2;
  weight.n_in = weight.group_size = 16;
  weight.data = data;
  ck_assert_uint_eq(llqi_weight_data_bytes(&weight), sizeof data);
  llqi_int4.pack(&weight, codes, 1, data);
  ck_assert_uint_eq(data[0], 0);
  ck_assert_uint_eq(data[2], 0x76543210);
  ck_assert_uint_eq(data[3], 0xfedcba98);
  llqi_int4.unpack(&weight, 1, unpacked);
  for (int i = 0; i < 16; i++) {
    ck_assert_float_eq(unpacked[i], codes[i]);
    ck_assert_float_eq(llqi_int4.get(&weight, 1, i), codes[i]);
  }
}
END_TEST

START_TEST(packing_rounds_ties_to_even) {
  const float codes[8] = {-7.5f, -6.5f, -0.5f, 0.5f, 1.5f, 2.5f, 6.49f, -8};
  const float rounded[8] = {-8, -6, 0, 0, 2, 2, 6, -8};
  const struct llqi_format *formats[] = {&llqi_int4, &llqi_int8};
  for (int f = 0; f < 2; f++) {
    int8_t data[8];
    float unpacked[8];
    llq_weight weight = {.format = LLQ_WEIGHT_INT8, .dtype = LLQ_F32};
    weight.n_out = 1;
    weight.n_in = weight.group_size = 8;
    weight.data = data;
    formats[f]->pack(&weight, codes, 0, data);
    formats[f]->unpack(&weight, 0, unpacked);
    for (int i = 0; i < 8; i++)
      ck_assert_float_eq(unpacked[i], rounded[i]);
  }
}
END_TEST

START_TEST(all_codes_of_a_byte_survive_packing) {
  const struct llqi_format *formats[] = {&llqi_int8, &llqi_fp8};
  for (int f = 0; f < 2; f++) {
    uint8_t data[256], packed[256];
    float codes[256];
    for (int i = 0; i < 256; i++)
      data[i] = (uint8_t)i;
    llq_weight weight = {.format = LLQ_WEIGHT_INT8, .dtype = LLQ_F32};
    weight.n_out = 1;
    weight.n_in = weight.group_size = 256;
    weight.data = data;
    formats[f]->unpack(&weight, 0, codes);
    formats[f]->pack(&weight, codes, 0, packed);
    ck_assert_mem_eq(packed, data, 256);
    for (int i = 0; i < 256; i++)
      ck_assert_uint_eq(llqi_f32_bits(formats[f]->get(&weight, 0, i)),
                        llqi_f32_bits(codes[i]));
  }
}
END_TEST

/* 0.1 is 205 / 2048 in bf16. 7 times that is 179.375 / 256, and bf16 has the
   eight bits for 179 / 256. */
START_TEST(rows_are_dequantized_in_the_type_of_the_scale) {
  uint32_t data[2] = {0, 0};
  uint16_t scale[2] = {llqi_f32_to_bf16(0.1f), llqi_f32_to_bf16(2)};
  int8_t zero[2] = {0, -3};
  llq_weight weight = {.format = LLQ_WEIGHT_INT4, .dtype = LLQ_BF16};
  weight.n_out = 1;
  weight.n_in = 16;
  weight.group_size = 8;
  weight.data = data;
  weight.scale = scale;
  const float codes[16] = {7, -7, 1, 0, -8, 3, 5, 6, 7, -8, -3, 0};
  float row[16];
  llqi_int4.pack(&weight, codes, 0, data);
  llqi_weight_row(&weight, 0, row);
  ck_assert_float_eq(row[0], 0.69921875f);
  ck_assert_float_eq(row[1], -0.69921875f);
  ck_assert_float_eq(row[8], 14);
  weight.zero = zero;
  llqi_weight_row(&weight, 0, row);
  ck_assert_float_eq(row[0], 0.69921875f);
  ck_assert_float_eq(row[8], 20);
  ck_assert_float_eq(row[9], -10);
  ck_assert_float_eq(row[10], 0);
}
END_TEST

START_TEST(activation_order_takes_each_inputs_own_group) {
  uint32_t data[1];
  float scale[2] = {1, 10};
  int32_t group_index[8] = {0, 1, 0, 1, 1, 0, 1, 0};
  llq_weight weight = {.format = LLQ_WEIGHT_INT4, .dtype = LLQ_F32};
  weight.n_out = 1;
  weight.n_in = 8;
  weight.group_size = 4;
  weight.data = data;
  weight.scale = scale;
  weight.group_index = group_index;
  const float codes[8] = {1, 1, 2, 2, 3, 3, 4, 4};
  const float expected[8] = {1, 10, 2, 20, 30, 3, 40, 4};
  float row[8];
  llqi_int4.pack(&weight, codes, 0, data);
  llqi_weight_row(&weight, 0, row);
  for (int i = 0; i < 8; i++)
    ck_assert_float_eq(row[i], expected[i]);
}
END_TEST

START_TEST(weights_know_their_bytes) {
  int8_t zero[1] = {0};
  llq_weight weight = {.format = LLQ_WEIGHT_DENSE, .dtype = LLQ_BF16};
  weight.n_out = 20;
  weight.n_in = 256;
  ck_assert_uint_eq(llqi_weight_bytes(&weight), 20 * 256 * 2);
  weight.group_size = 256;
  weight.format = LLQ_WEIGHT_INT8;
  ck_assert_uint_eq(llqi_weight_bytes(&weight), 20 * 256 + 20 * 2);
  weight.format = LLQ_WEIGHT_INT4;
  weight.group_size = 128;
  ck_assert_int_eq(llqi_weight_n_groups(&weight), 2);
  ck_assert_uint_eq(llqi_weight_bytes(&weight), 20 * 128 + 40 * 2);
  weight.zero = zero;
  ck_assert_uint_eq(llqi_weight_zero_bytes(&weight), 40);
  /* Stored zero points: rows packed by eight. */
  ck_assert_uint_eq(llqi_weight_bytes(&weight), 20 * 128 + 40 * 2 + 3 * 2 * 4);
}
END_TEST

START_TEST(schemes_are_found_by_name) {
  const char *names[] = {"bf16", "w8a8-fp", "w8a8-int", "w4a16-int",
                         "w8a16-int"};
  for (int i = 0; i < 5; i++) {
    int format, activation;
    ck_assert_llq_ok(llqi_scheme_find(names[i], &format, &activation));
    llq_weight weight = {.format = format, .activation = activation};
    ck_assert_str_eq(llqi_weight_scheme(&weight), names[i]);
  }
  int format, activation;
  ck_assert_llq_fails(llqi_scheme_find("w2a16-int", &format, &activation),
                      LLQ_ERROR_ARGUMENT, "found 'w2a16-int'");
  ck_assert_ptr_null(llqi_format_of(0));
}
END_TEST

Suite *test_suite(void) {
  Suite *suite = suite_create("tensor");
  TCase *numbers = tcase_create("numbers");
  suite_add_tcase(suite, numbers);
  tcase_set_timeout(numbers, 60);
  tcase_add_loop_test(numbers, every_code_has_its_value_and_converts_back, 0,
                      N_TYPES);
  tcase_add_test(numbers, infinities_and_nans_convert_back);
  tcase_add_loop_test(numbers, floats_round_to_the_nearest_code, 0, N_TYPES);
  tcase_add_loop_test(numbers, floats_of_any_bits_round_to_the_nearest_code, 0,
                      N_TYPES);
  tcase_add_test(numbers, overflow_is_infinite_but_saturates_in_e4m3);
  tcase_add_test(numbers, types_have_the_names_and_sizes_of_safetensors);
  TCase *weights = tcase_create("weights");
  suite_add_tcase(suite, weights);
  tcase_add_test(weights, int4_words_hold_eight_codes_little_end_first);
  tcase_add_test(weights, packing_rounds_ties_to_even);
  tcase_add_test(weights, all_codes_of_a_byte_survive_packing);
  tcase_add_test(weights, rows_are_dequantized_in_the_type_of_the_scale);
  tcase_add_test(weights, activation_order_takes_each_inputs_own_group);
  tcase_add_test(weights, weights_know_their_bytes);
  tcase_add_test(weights, schemes_are_found_by_name);
  return suite;
}
