/* Class probabilities (docs/artifact.md, Probabilities): every operation rounds once. */
#ifndef BNN_OUTPUTS_H
#define BNN_OUTPUTS_H

#include "bnn_base.h"

/* exp(x) = 2^n exp(r), with n = x / ln 2 rounded and r = x - n ln 2. */
static inline float bnn_exponential(float x) {
  static const float coefficients[5] = {0x1.6ac74ep-10f, 0x1.123de0p-7f, 0x1.555858p-5f, 0x1.55548cp-3f, 0x1.fffffcp-2f};
  const float rounder = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
  float product = x * 0x1.715476p+0f, shifted = product + rounder, n = shifted - rounder;
  float high = n * 0x1.62e4p-1f, low = n * 0x1.7f7d1cp-20f, power = coefficients[0], square, r;
  if (x != x) return x;
  if (x > 0x1.62e42ep+6f) return bnn_float_of_bits(0x7f800000u);
  if (x < -87.0f) return 0;
  r = x - high;
  r -= low;
  for (int k = 1; k < 5; k++) {
    power *= r;
    power += coefficients[k];
  }
  square = r * r;
  power *= square;
  power += r;
  power += 1;
  return bnn_float_of_bits(bnn_bits_of_float(power) + (bnn_bits_of_float(shifted) << 23));
}

static inline void bnn_exponentials(const float *x, int32_t count, float *y) {
  for (int32_t k = 0; k < count; k++) y[k] = bnn_exponential(x[k]);
}

static inline void bnn_sigmoid(const float *x, int32_t count, float *y) {
  for (int32_t k = 0; k < count; k++) {
    int is_negative = x[k] < 0;
    float power = bnn_exponential(is_negative ? x[k] : -x[k]);
    y[k] = (is_negative ? power : 1) / (1 + power);
  }
}

static inline void bnn_softmax(const float *x, int32_t count, float *y) {
  double sums[4] = {0, 0, 0, 0};
  float largest = x[0], total;
  for (int32_t k = 1; k < count; k++) largest = x[k] > largest ? x[k] : largest;
  for (int32_t k = 0; k < count; k++) {
    y[k] = bnn_exponential(x[k] - largest);
    sums[k % 4] += y[k];
  }
  total = (float)((sums[0] + sums[1]) + (sums[2] + sums[3]));
  for (int32_t k = 0; k < count; k++) y[k] /= total;
}

/* Turn bytes at the start of an array into floats, in place. */
static inline void bnn_expand_bytes(float *y, int32_t count) {
  for (int32_t k = count - 1; k >= 0; k--) y[k] = ((const uint8_t *)y)[k];
}

static inline void bnn_add_to_totals(const float *x, int32_t count, double *totals) {
  for (int32_t k = 0; k < count; k++) totals[k] += x[k];
}

static inline void bnn_divide_totals(const double *totals, int32_t count, uint32_t samples, float *y) {
  for (int32_t k = 0; k < count; k++) y[k] = (float)(totals[k] / samples);
}

#endif
