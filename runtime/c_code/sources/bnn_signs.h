/* Packed signs, 8 channels a byte, a set bit is -1: packing, unpacking, pooling, groups. */
#ifndef BNN_SIGNS_H
#define BNN_SIGNS_H

#include "bnn_window.h"

/* Signs of float: -1 where x is below its threshold or NaN; 0 without thresholds. */
static inline void bnn_pack_reals(const float *x, int32_t pixels, int32_t channels, const float *thresholds, uint8_t *y) {
  for (int32_t p = 0; p < pixels; p++, x += channels)
    for (int32_t first = 0; first < channels; first += BNN_CHUNK) {
      int32_t is_below[BNN_CHUNK], count = bnn_least(BNN_CHUNK, channels - first);
      for (int32_t c = 0; c < count; c++) is_below[c] = -!(x[first + c] >= (thresholds ? thresholds[first + c] : 0));
      for (int32_t c = count; c % 16; c++) is_below[c] = 0;
      bnn_pack_negative(is_below, count, y + p * ((channels + 7) / 8) + first / 8);
    }
}

/* Signs of int32. */
static inline void bnn_pack_sums(const int32_t *x, int32_t pixels, int32_t channels, const int32_t *thresholds, uint8_t *y) {
  for (int32_t p = 0; p < pixels; p++, x += channels)
    for (int32_t first = 0; first < channels; first += BNN_CHUNK) {
      int32_t is_below[BNN_CHUNK], count = bnn_least(BNN_CHUNK, channels - first);
      for (int32_t c = 0; c < count; c++) is_below[c] = -(x[first + c] < thresholds[first + c]);
      for (int32_t c = count; c % 16; c++) is_below[c] = 0;
      bnn_pack_negative(is_below, count, y + p * ((channels + 7) / 8) + first / 8);
    }
}

static inline int32_t bnn_is_negative(const uint8_t *pixel, int32_t channel) {
  return pixel[channel / 8] >> channel % 8 & 1;
}

static inline void bnn_unpack(const uint8_t *x, int32_t pixels, int32_t channels, float *y) {
  for (int32_t p = 0; p < pixels; p++, x += (channels + 7) / 8)
    for (int32_t c = 0; c < channels; c++) y[p * channels + c] = bnn_is_negative(x, c) ? -1.0f : 1.0f;
}

/* Signs as bytes (channels, pixels), 0 for -1 and 2 for +1. */
static inline void bnn_unpack_codes(const uint8_t *x, int32_t pixels, int32_t channels, uint8_t *y) {
  for (int32_t p = 0; p < pixels; p++, x += (channels + 7) / 8)
    for (int32_t c = 0; c < channels; c++) y[c * pixels + p] = (uint8_t)(bnn_is_negative(x, c) ? 0 : 2);
}

/* The same in the order of the signs, (pixels, channels). */
static inline void bnn_codes_of_signs(const uint8_t *x, int32_t pixels, int32_t channels, uint8_t *y) {
  for (int32_t p = 0; p < pixels; p++, x += (channels + 7) / 8)
    for (int32_t c = 0; c < channels; c++) y[p * channels + c] = (uint8_t)(bnn_is_negative(x, c) ? 0 : 2);
}

static inline void bnn_reals_of_codes(const uint8_t *x, int32_t count, float *y) {
  for (int32_t k = 0; k < count; k++) y[k] = (float)(x[k] - 1);
}

/* The maximum over a window is -1 only where all signs are: the AND of the bits. */
static inline void bnn_pool_signs(const bnn_window *w, const uint8_t *x, uint8_t *y) {
  for (int32_t row = 0; row < w->out_rows; row++)
    for (int32_t column = 0; column < w->out_columns; column++, y += w->pixel) {
      int32_t top = row * w->down - w->top, left = column * w->right - w->left;
      memset(y, 255, (size_t)w->pixel);
      for (int32_t k = 0; k < w->height * w->width; k++) {
        int32_t r = top + k / w->width * w->row_step, q = left + k % w->width * w->column_step;
        if (bnn_is_inside(r, w->rows) && bnn_is_inside(q, w->columns)) {
          const uint8_t *pixel = x + (r * w->columns + q) * w->pixel;
          for (int32_t b = 0; b < w->pixel; b++) y[b] &= pixel[b];
        }
      }
    }
}

/* Repeat input k of each group for the outputs of the group: pixels of (inputs, outputs of all groups). */
static inline void bnn_spread_groups(const uint8_t *x, int32_t pixels, int32_t groups, int32_t inputs, int32_t outputs, uint8_t *y) {
  int32_t bytes = (groups * outputs + 7) / 8;
  memset(y, 0, (size_t)(pixels * inputs * bytes));
  for (int32_t p = 0; p < pixels; p++, x += (groups * inputs + 7) / 8)
    for (int32_t k = 0; k < inputs; k++, y += bytes)
      for (int32_t g = 0; g < groups; g++)
        if (bnn_is_negative(x, g * inputs + k))
          for (int32_t o = g * outputs; o < (g + 1) * outputs; o++) y[o / 8] = (uint8_t)(y[o / 8] | 1 << o % 8);
}

/* Copy signs so that each group starts at a multiple of 64 channels. */
static inline void bnn_align_groups(const uint8_t *x, int32_t pixels, int32_t channels, int32_t groups, uint8_t *y) {
  int32_t per_group = channels / groups, bytes = (per_group + 63) / 64 * 8;
  memset(y, 0, (size_t)(pixels * groups * bytes));
  for (int32_t p = 0; p < pixels; p++, x += (channels + 7) / 8)
    for (int32_t g = 0; g < groups; g++, y += bytes)
      for (int32_t c = 0; c < per_group; c++)
        if (bnn_is_negative(x, g * per_group + c)) y[c / 8] = (uint8_t)(y[c / 8] | 1 << c % 8);
}

#endif
