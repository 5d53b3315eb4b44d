/* Layers with integer sums: signs times binary weights, or pixels times int16 weights. */
#ifndef BNN_INTEGER_LAYER_H
#define BNN_INTEGER_LAYER_H

#if defined(BNN_USES_SLICES)
#include "bnn_bit_slices.h"
#endif
#include "bnn_count.h"
#include "bnn_noise.h"
#include "bnn_window.h"

/* How inputs and weights are multiplied: as counts of differing signs, along the input channels or
   along the output channels, or as pairs of int16. */
enum { BNN_COUNTED, BNN_SLICED, BNN_PAIRS };

/* What is stored of the sums. */
enum { BNN_TO_SIGNS, BNN_TO_SUMS, BNN_TO_REALS, BNN_TO_NOISY_SIGNS };

typedef struct {
  bnn_window window;
  int32_t channels;              /* output channels of the group */
  int32_t product;               /* how inputs and weights are multiplied */
  int32_t steps;                 /* of 16 bytes; sliced: taps; pairs of taps */
  int32_t patch;                 /* bytes of a patch */
  const void *weights;           /* as in bnn_count.h, bnn_bit_slices.h; (pairs, channels rounded up to 16, 2) */
  int32_t base;                  /* the sum of a binary layer where no sign differs, inside the map */
  const int16_t *border_bases;   /* the same for each border case, (cases, channels) */
  const uint8_t *row_cases, *column_cases, *rows_of_cases; /* case = row + column; its row or 255 for `base` */
  int32_t shift;                 /* added to sums before they become real */
  int32_t y_pixel, y_first;      /* of the output: bytes of a pixel, first byte of the group */
  int32_t kind;                  /* what is stored */
  int32_t pools;                 /* whether 2x2 max-pooling follows */
  const int32_t *thresholds;     /* BNN_TO_SIGNS: +1 where sum >= threshold */
  const float *scale, *bias;     /* BNN_TO_REALS: clip(sum + shift) * scale + bias */
  int32_t least, most;
  const bnn_noise *noise;        /* BNN_TO_NOISY_SIGNS */
} bnn_integer_layer;

/* Sums of pairs of int16 products, (pixels, BNN_CHUNK). */
static inline void bnn_multiply_pairs(const int16_t *x, int32_t pairs, const int16_t *w, int32_t row, int32_t count, int32_t *sums) {
  int32_t c = 0;
#if defined(BNN_AVX512)
  for (; c + 32 <= count; c += 32) {
    __m512i a = _mm512_setzero_si512(), b = a;
    for (int32_t k = 0; k < pairs; k++) {
      int32_t pair;
      memcpy(&pair, x + 2 * k, 4);
      __m512i two = _mm512_set1_epi32(pair);
      a = _mm512_add_epi32(a, _mm512_madd_epi16(two, _mm512_loadu_si512(w + 2 * (k * row + c))));
      b = _mm512_add_epi32(b, _mm512_madd_epi16(two, _mm512_loadu_si512(w + 2 * (k * row + c) + 32)));
    }
    _mm512_storeu_si512(sums + c, a), _mm512_storeu_si512(sums + c + 16, b);
  }
#elif defined(BNN_AVX2)
  for (; c < count; c += 16) {
    __m256i a = _mm256_setzero_si256(), b = a;
    for (int32_t k = 0; k < pairs; k++) {
      const __m256i *at = (const __m256i *)(const void *)(w + 2 * (k * row + c));
      int32_t pair;
      memcpy(&pair, x + 2 * k, 4);
      __m256i two = _mm256_set1_epi32(pair);
      a = _mm256_add_epi32(a, _mm256_madd_epi16(two, _mm256_loadu_si256(at)));
      b = _mm256_add_epi32(b, _mm256_madd_epi16(two, _mm256_loadu_si256(at + 1)));
    }
    _mm256_storeu_si256((__m256i *)(void *)(sums + c), a);
    _mm256_storeu_si256((__m256i *)(void *)(sums + c + 8), b);
  }
#elif defined(__SSE2__) && !defined(BNN_PORTABLE)
  for (; c < count; c += 8) {
    __m128i a = _mm_setzero_si128(), b = a;
    for (int32_t k = 0; k < pairs; k++) {
      const __m128i *at = (const __m128i *)(const void *)(w + 2 * (k * row + c));
      int32_t pair;
      memcpy(&pair, x + 2 * k, 4);
      __m128i two = _mm_set1_epi32(pair);
      a = _mm_add_epi32(a, _mm_madd_epi16(two, _mm_loadu_si128(at)));
      b = _mm_add_epi32(b, _mm_madd_epi16(two, _mm_loadu_si128(at + 1)));
    }
    _mm_storeu_si128((__m128i *)(void *)(sums + c), a);
    _mm_storeu_si128((__m128i *)(void *)(sums + c + 4), b);
  }
#elif defined(BNN_NEON)
  for (; c < count; c += 16) {
    int32x4_t s[4];
    for (int v = 0; v < 4; v++) s[v] = vdupq_n_s32(0);
    for (int32_t k = 0; k < pairs; k++)
      for (int v = 0; v < 4; v++) {
        int16x4x2_t pair = vld2_s16(w + 2 * (k * row + c + 4 * v));
        s[v] = vmlal_n_s16(vmlal_n_s16(s[v], pair.val[0], x[2 * k]), pair.val[1], x[2 * k + 1]);
      }
    for (int v = 0; v < 4; v++) vst1q_s32(sums + c + 4 * v, s[v]);
  }
#endif
  for (; c < count; c += 16) {
    for (int32_t v = 0; v < 16; v++) sums[c + v] = 0;
    for (int32_t k = 0; k < pairs; k++) {
      const int16_t *pair = w + 2 * (k * row + c);
      int32_t x0 = x[2 * k], x1 = x[2 * k + 1];
      for (int32_t v = 0; v < 16; v++) sums[c + v] += x0 * pair[2 * v] + x1 * pair[2 * v + 1];
    }
  }
}

/* Turn counts of differing signs into sums, for a pixel of the given border case. */
static inline void bnn_sums_of_counts(const bnn_integer_layer *l, int32_t border_case, int32_t first, int32_t count, int32_t *counts) {
  int32_t row = l->rows_of_cases ? l->rows_of_cases[border_case] : 255;
  if (row == 255)
    for (int32_t c = 0; c < count; c++) counts[c] = l->base - 2 * counts[c];
  else {
    const int16_t *bases = l->border_bases + row * l->channels + first;
    for (int32_t c = 0; c < count; c++) counts[c] = bases[c] - 2 * counts[c];
  }
}

/* Compute the sums of `count` channels from `first` on, (pixels, BNN_CHUNK). */
static inline void bnn_compute_sums(const bnn_integer_layer *l, const void *patches, const int32_t *cases, int32_t pixels, int32_t first, int32_t count, int32_t *sums) {
  if (l->product == BNN_PAIRS) {
    const int16_t *w = (const int16_t *)l->weights + 2 * first;
    for (int32_t p = 0; p < pixels; p++)
      bnn_multiply_pairs((const int16_t *)patches + 2 * p * l->steps, l->steps, w, (l->channels + 15) / 16 * 16, count, sums + p * BNN_CHUNK);
    return;
  }
#if defined(BNN_USES_SLICES)
  if (l->product == BNN_SLICED)
    bnn_count_slices((const uint8_t *)patches, l->patch, (const uint8_t *)l->weights, l->steps, first, count, pixels, sums);
  else
#endif
    bnn_count((const uint64_t *)patches, l->steps, (const uint64_t *)l->weights + 2 * first * l->steps, (count + 3) / 4, pixels, sums);
  for (int32_t p = 0; p < pixels; p++) bnn_sums_of_counts(l, cases[p], first, count, sums + p * BNN_CHUNK);
}

/* The largest of four pixels' sums. */
static inline void bnn_largest(int32_t count, int32_t *sums) {
  for (int32_t c = 0; c < count; c++) {
    int32_t a = sums[c], b = sums[BNN_CHUNK + c], d = sums[2 * BNN_CHUNK + c], e = sums[3 * BNN_CHUNK + c];
    a = a > b ? a : b, d = d > e ? d : e;
    sums[c] = a > d ? a : d;
  }
}

/* Store what the layer stores of a pixel's sums. */
static inline void bnn_store_sums(const bnn_integer_layer *l, const bnn_sample *s, uint32_t pixel, int32_t first, int32_t count, int32_t *sums, uint8_t *y) {
  switch (l->kind) {
#if defined(BNN_USES_SIGNS)
  case BNN_TO_SIGNS:
    for (int32_t c = 0; c < count; c++) sums[c] = -(sums[c] < l->thresholds[first + c]);
    for (int32_t c = count; c % 16; c++) sums[c] = 0;
    bnn_pack_negative(sums, count, y + first / 8);
    break;
#endif
#if defined(BNN_USES_NOISY_SIGNS)
  case BNN_TO_NOISY_SIGNS: {
    float reals[BNN_CHUNK], thresholds[BNN_CHUNK];
    for (int32_t c = 0; c < count; c++) reals[c] = (float)sums[c];
    bnn_draw_thresholds(l->noise, s, pixel, first, count, thresholds);
    bnn_compare(reals, thresholds, count, sums);
    bnn_pack_negative(sums, count, y + first / 8);
    break;
  }
#endif
#if defined(BNN_USES_REALS)
  case BNN_TO_REALS: {
    float *reals = (float *)(void *)y + first;
    for (int32_t c = 0; c < count; c++) {
      int32_t sum = sums[c] + l->shift;
      float product = (float)(sum < l->least ? l->least : sum > l->most ? l->most : sum) * l->scale[first + c];
      reals[c] = product + l->bias[first + c];
    }
    break;
  }
#endif
  default:
    memcpy(y + 4 * first, sums, 4 * (size_t)count);
  }
  (void)s, (void)pixel;
}

/* Copy the patches of one tile: neighbours in a row, or the four pixels of a pooling window. */
static inline void bnn_copy_tile(const bnn_integer_layer *l, const void *x, int32_t row, int32_t column, int32_t pixels, uint8_t *patches, int32_t *cases) {
  const bnn_window *w = &l->window;
  int32_t bytes = w->height * w->width * w->tap;
  for (int32_t p = 0; p < pixels; p++, patches += l->patch) {
    int32_t r = l->pools ? 2 * row + p / 2 : row, c = l->pools ? 2 * column + p % 2 : column + p;
    bnn_copy_patch(w, (const uint8_t *)x, r, c, patches);
    memset(patches + bytes, 0, (size_t)(l->patch - bytes));
    cases[p] = l->rows_of_cases ? l->row_cases[r] + l->column_cases[c] : 0;
  }
}

/* Compute the group of a layer. `patches` has room for BNN_PIXELS of them. */
static inline void bnn_run_integer_layer(const bnn_integer_layer *l, const void *x, void *y, void *patches, const bnn_sample *s) {
  int32_t side = l->pools ? 2 : 1, rows = l->window.out_rows / side, columns = l->window.out_columns / side;
  int32_t pixels = l->pools ? BNN_PIXELS : bnn_least(BNN_PIXELS, columns), outputs = l->pools ? 1 : pixels;
  for (int32_t row = 0; row < rows; row++)
    for (int32_t start = 0; start < columns; start += outputs) {
      /* The last tile is shifted left until it fits: some pixels are computed twice. */
      int32_t column = bnn_least(start, columns - outputs), cases[BNN_PIXELS];
      bnn_copy_tile(l, x, row, column, pixels, (uint8_t *)patches, cases);
      for (int32_t first = 0; first < l->channels; first += BNN_CHUNK) {
        int32_t sums[BNN_PIXELS * BNN_CHUNK], count = bnn_least(BNN_CHUNK, l->channels - first);
        bnn_compute_sums(l, patches, cases, pixels, first, count, sums);
        if (l->pools) bnn_largest(count, sums);
        for (int32_t p = 0; p < outputs; p++) {
          int32_t pixel = row * columns + column + p;
          uint8_t *at = (uint8_t *)y + pixel * l->y_pixel + l->y_first;
          bnn_store_sums(l, s, (uint32_t)pixel, first, count, sums + p * BNN_CHUNK, at);
        }
      }
    }
}

#endif
