/* Layers of float inputs. The order of every sum, and each rounding, is part of the result. */
#ifndef BNN_REAL_LAYER_H
#define BNN_REAL_LAYER_H

#include "bnn_window.h"

typedef struct {
  bnn_window window;
  int32_t channels;         /* output channels of the group */
  int32_t taps;             /* of a patch, in numbers */
  const void *weights;      /* float (taps, channels), or binary (bytes, channels), see below */
  int32_t y_pixel, y_first; /* of the output: bytes of a pixel, first byte of the group */
  const float *scale, *bias; /* sum * scale + bias is stored */
} bnn_real_layer;

/* sums = x w in the order of the taps, with one rounding for each tap. */
static inline void bnn_multiply_reals(const float *x, const bnn_real_layer *l, int32_t first, int32_t count, float *sums) {
  const float *w = (const float *)l->weights + first;
  for (int32_t c = 0; c < BNN_CHUNK; c++) sums[c] = 0;
  if (count == BNN_CHUNK)
    for (int32_t k = 0; k < l->taps; k++, w += l->channels)
      for (int32_t c = 0; c < BNN_CHUNK; c++) sums[c] = bnn_fma(x[k], w[c], sums[c]);
  else
    for (int32_t k = 0; k < l->taps; k++, w += l->channels)
      for (int32_t c = 0; c < count; c++) sums[c] = bnn_fma(x[k], w[c], sums[c]);
}

/* The sixteen sums +-x0 +-x1 +-x2 +-x3; a set bit of the index is -1. */
static inline void bnn_signed_sums(const float *x, float *sums) {
  for (int32_t k = 0; k < 16; k++) {
    float sum = k & 1 ? -x[0] : x[0];
    sum += k & 2 ? -x[1] : x[1];
    sum += k & 4 ? -x[2] : x[2];
    sum += k & 8 ? -x[3] : x[3];
    sums[k] = sum;
  }
}

#if defined(BNN_AVX512)

/* The number in all lanes, negative where the given bit of the lane's index is set. */
static inline __m512 bnn_signed_lanes(float x, int bit) {
  const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  __m512i signs = _mm512_slli_epi32(_mm512_srli_epi32(lanes, (unsigned)bit), 31);
  return _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(_mm512_set1_ps(x)), signs));
}

/* The sixteen signed sums in the lanes of a vector. */
static inline __m512 bnn_signed_vector(const float *x) {
  __m512 sum = _mm512_add_ps(bnn_signed_lanes(x[0], 0), bnn_signed_lanes(x[1], 1));
  sum = _mm512_add_ps(sum, bnn_signed_lanes(x[2], 2));
  return _mm512_add_ps(sum, bnn_signed_lanes(x[3], 3));
}

/* Sixteen channels of `vectors` vectors; `vectors` is a constant of the caller. */
static inline void bnn_add_signed_vectors(const float *x, const bnn_real_layer *l, const uint8_t *w, int vectors, float *sums) {
  __m512 s[4];
  for (int v = 0; v < vectors; v++) s[v] = _mm512_setzero_ps();
  for (int32_t k = 0; k < l->taps; k += 8, w += l->channels) {
    __m512 low = bnn_signed_vector(x + k), high = bnn_signed_vector(x + k + 4);
    for (int v = 0; v < vectors; v++) {
      __m512i index = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(w + 16 * v)));
      s[v] = _mm512_add_ps(s[v], _mm512_permutexvar_ps(index, low));
      s[v] = _mm512_add_ps(s[v], _mm512_permutexvar_ps(_mm512_srli_epi32(index, 4), high));
    }
  }
  for (int v = 0; v < vectors; v++) _mm512_storeu_ps(sums + 16 * v, s[v]);
}

#endif

/* sums = x w for binary weights: a byte holds the signs of eight taps, four are added at once. */
static inline void bnn_add_signed(const float *x, const bnn_real_layer *l, int32_t first, int32_t count, float *sums) {
  const uint8_t *w = (const uint8_t *)l->weights + first;
  int32_t done = 0;
#if defined(BNN_AVX512)
  if (count == BNN_CHUNK) {
    bnn_add_signed_vectors(x, l, w, 4, sums);
    return;
  }
  for (; done + 16 <= count; done += 16) bnn_add_signed_vectors(x, l, w + done, 1, sums + done);
#endif
  for (int32_t c = done; c < count; c++) sums[c] = 0;
  for (int32_t k = 0; k < l->taps && done < count; k += 8, w += l->channels) {
    float low[16], high[16];
    bnn_signed_sums(x + k, low), bnn_signed_sums(x + k + 4, high);
    for (int32_t c = done; c < count; c++) {
      float sum = sums[c] + low[w[c] & 15];
      sums[c] = sum + high[w[c] >> 4];
    }
  }
}

static inline void bnn_store_reals(const bnn_real_layer *l, int32_t first, int32_t count, const float *sums, uint8_t *y) {
  float *reals = (float *)(void *)y + first;
  for (int32_t c = 0; c < count; c++) {
    float product = sums[c] * l->scale[first + c];
    reals[c] = product + l->bias[first + c];
  }
}

typedef void bnn_multiply(const float *x, const bnn_real_layer *l, int32_t first, int32_t count, float *sums);

static inline void bnn_run_real_layer(const bnn_real_layer *l, bnn_multiply *multiply, const void *x, void *y, void *patch) {
  const bnn_window *w = &l->window;
  for (int32_t row = 0; row < w->out_rows; row++)
    for (int32_t column = 0; column < w->out_columns; column++) {
      uint8_t *at = (uint8_t *)y + (row * w->out_columns + column) * l->y_pixel + l->y_first;
      bnn_copy_patch(w, (const uint8_t *)x, row, column, (uint8_t *)patch);
      for (int32_t first = 0; first < l->channels; first += BNN_CHUNK) {
        float sums[BNN_CHUNK];
        int32_t count = bnn_least(BNN_CHUNK, l->channels - first);
        multiply((const float *)patch, l, first, count, sums);
        bnn_store_reals(l, first, count, sums, at);
      }
    }
}

/* Convolve each channel with its own kernel, weights (taps, channels), and add the bias. */
static inline void bnn_depthwise(const bnn_window *w, int32_t channels, const float *weights, const float *bias, const float *x, float *y) {
  for (int32_t row = 0; row < w->out_rows; row++)
    for (int32_t column = 0; column < w->out_columns; column++, y += channels) {
      int32_t top = row * w->down - w->top, left = column * w->right - w->left;
      for (int32_t c = 0; c < channels; c++) y[c] = 0;
      for (int32_t k = 0; k < w->height * w->width; k++) {
        int32_t r = top + k / w->width * w->row_step, q = left + k % w->width * w->column_step;
        if (bnn_is_inside(r, w->rows) && bnn_is_inside(q, w->columns)) {
          const float *pixel = x + (r * w->columns + q) * channels, *tap = weights + k * channels;
          for (int32_t c = 0; c < channels; c++) y[c] = bnn_fma(pixel[c], tap[c], y[c]);
        }
      }
      for (int32_t c = 0; c < channels; c++) y[c] += bias[c];
    }
}

#endif
