/* Elementwise chains, pooling, copies and conversions of maps (pixels, channels). */
#ifndef BNN_REALS_H
#define BNN_REALS_H

#include "bnn_window.h"

/* Operations of a chain; the operand is one number per channel, or a map. */
enum { BNN_ADD, BNN_MULTIPLY, BNN_DIVIDE, BNN_MAXIMUM, BNN_MINIMUM, BNN_SLOPE, BNN_ADD_MAP, BNN_SUBTRACT_MAP, BNN_MULTIPLY_MAP, BNN_ROUND };

static inline float bnn_round(float x) {
  uint32_t bits = bnn_bits_of_float(x), sign = bits & 0x80000000u;
  float size = bnn_float_of_bits(bits ^ sign), rounded = size + 8388608.0f;
  rounded -= 8388608.0f; /* adding 2^23 leaves no fraction bits, so the addition rounds */
  return size < 8388608.0f ? bnn_float_of_bits(bnn_bits_of_float(rounded) | sign) : x;
}

/* Apply one operation to the channels of a pixel. */
static inline void bnn_operate(int32_t operation, const float *x, const float *operand, int32_t channels, float *y) {
#define BNN_FOR_EACH(result) for (int32_t c = 0; c < channels; c++) y[c] = result
  switch (operation) {
  case BNN_ADD: case BNN_ADD_MAP: BNN_FOR_EACH(x[c] + operand[c]); break;
  case BNN_SUBTRACT_MAP: BNN_FOR_EACH(x[c] - operand[c]); break;
  case BNN_MULTIPLY: case BNN_MULTIPLY_MAP: BNN_FOR_EACH(x[c] * operand[c]); break;
  case BNN_DIVIDE: BNN_FOR_EACH(x[c] / operand[c]); break;
  case BNN_MAXIMUM: BNN_FOR_EACH(!(x[c] <= operand[c]) ? x[c] : operand[c]); break;
  case BNN_MINIMUM: BNN_FOR_EACH(!(x[c] >= operand[c]) ? x[c] : operand[c]); break;
  case BNN_SLOPE: BNN_FOR_EACH(x[c] < 0 ? x[c] * operand[c] : x[c]); break;
  case BNN_ROUND: BNN_FOR_EACH(bnn_round(x[c])); break;
  }
#undef BNN_FOR_EACH
}

/* Apply one operation to a map; `step` is `channels` for a second map, else 0. */
static inline void bnn_apply(int32_t operation, const float *x, int32_t pixels, int32_t channels, const float *operand, int32_t step, float *y) {
  for (int32_t p = 0; p < pixels; p++) bnn_operate(operation, x + p * channels, operand + p * step, channels, y + p * channels);
}

/* Apply one operation to all elements, with one number. */
static inline void bnn_apply_number(int32_t operation, const float *x, int32_t count, float number, float *y) {
  float operand[BNN_CHUNK];
  for (int32_t c = 0; c < BNN_CHUNK; c++) operand[c] = number;
  for (int32_t k = 0; k < count; k += BNN_CHUNK) bnn_operate(operation, x + k, operand, bnn_least(BNN_CHUNK, count - k), y + k);
}

static inline void bnn_cast_sums(const void *x, int32_t count, void *y) {
  for (int32_t k = 0; k < count; k++) {
    int32_t sum;
    float real;
    memcpy(&sum, (const uint8_t *)x + 4 * k, 4);
    real = (float)sum;
    memcpy((uint8_t *)y + 4 * k, &real, 4);
  }
}

/* How pixels of a window are combined; padding is left out, except that BNN_PADDED_SUM adds 0. */
enum { BNN_SUM, BNN_PADDED_SUM, BNN_LARGEST };

/* Combine the pixels of each window. A maximum is NaN where one is NaN. */
static inline void bnn_pool_reals(const bnn_window *w, int32_t channels, int32_t kind, const float *x, float *y) {
  for (int32_t row = 0; row < w->out_rows; row++)
    for (int32_t column = 0; column < w->out_columns; column++, y += channels) {
      int32_t top = row * w->down - w->top, left = column * w->right - w->left;
      for (int32_t c = 0; c < channels; c++) y[c] = kind == BNN_LARGEST ? -bnn_float_of_bits(0x7f800000u) : -0.0f;
      for (int32_t k = 0; k < w->height * w->width; k++) {
        int32_t r = top + k / w->width * w->row_step, q = left + k % w->width * w->column_step;
        const float *pixel;
        if (!bnn_is_inside(r, w->rows) || !bnn_is_inside(q, w->columns)) {
          for (int32_t c = 0; c < channels && kind == BNN_PADDED_SUM; c++) y[c] += 0.0f; /* -0 becomes 0 */
          continue;
        }
        pixel = x + (r * w->columns + q) * channels;
        if (kind == BNN_LARGEST)
          for (int32_t c = 0; c < channels; c++) y[c] = y[c] > pixel[c] || y[c] != y[c] ? y[c] : pixel[c];
        else
          for (int32_t c = 0; c < channels; c++) y[c] += pixel[c];
      }
    }
}

/* Divide each pixel by its own number. */
static inline void bnn_divide_pixels(const float *x, int32_t pixels, int32_t channels, const float *numbers, float *y) {
  for (int32_t k = 0; k < pixels * channels; k++) y[k] = x[k] / numbers[k / channels];
}

/* Set all elements to the one at `element`. */
static inline void bnn_fill(void *y, int32_t count, int32_t size, const void *element) {
  for (int32_t k = 0; k < count; k++) memcpy((uint8_t *)y + k * size, element, (size_t)size);
}

/* Copy a map to (row, column, channel) of a larger one; lengths in bytes. */
static inline void bnn_place(const void *x, int32_t rows, int32_t columns, int32_t pixel, void *y, int32_t y_columns, int32_t y_pixel, int32_t top, int32_t left, int32_t first) {
  for (int32_t r = 0; r < rows; r++)
    for (int32_t c = 0; c < columns; c++)
      memcpy((uint8_t *)y + ((top + r) * y_columns + left + c) * y_pixel + first, (const uint8_t *)x + (r * columns + c) * pixel, (size_t)pixel);
}

/* Copy `outer` times `inner` elements to (inner, outer); size in bytes. */
static inline void bnn_transpose(const void *x, int32_t outer, int32_t inner, int32_t size, void *y) {
  for (int32_t i = 0; i < inner; i++)
    for (int32_t o = 0; o < outer; o++)
      memcpy((uint8_t *)y + (i * outer + o) * size, (const uint8_t *)x + (o * inner + i) * size, (size_t)size);
}

/* Copy elements in the order of a table. */
static inline void bnn_gather(const void *x, const uint32_t *order, int32_t count, int32_t size, void *y) {
  for (int32_t k = 0; k < count; k++) memcpy((uint8_t *)y + k * size, (const uint8_t *)x + order[k] * (uint32_t)size, (size_t)size);
}

/* Bytes minus their zero point, (pixels, channels); steps between neighbours, of zero points 1 or 0. */
static inline void bnn_centre(const uint8_t *x, int32_t pixels, int32_t channels, int32_t pixel_step, int32_t channel_step, const uint8_t *zero_point, int32_t zero_point_step, int16_t *y) {
  for (int32_t c = 0; c < channels; c++)
    for (int32_t p = 0; p < pixels; p++) y[p * channels + c] = (int16_t)(x[c * channel_step + p * pixel_step] - zero_point[c * zero_point_step]);
}

/* An image (channels, pixels) as float, (pixels, channels). */
static inline void bnn_reals_of_bytes(const uint8_t *x, int32_t pixels, int32_t channels, float *y) {
  for (int32_t c = 0; c < channels; c++)
    for (int32_t p = 0; p < pixels; p++) y[p * channels + c] = x[c * pixels + p];
}

#endif
