/* Stochastic signs: +1 where x >= t + r * z, z a quantile of the noise (docs/artifact.md, Sampling). */
#ifndef BNN_NOISE_H
#define BNN_NOISE_H

#include "bnn_base.h"

/* One sample of the noise for one image. */
typedef struct {
  uint32_t key[2], sample, image;
} bnn_sample;

typedef struct {
  const float *thresholds, *scales; /* t and r of each channel */
  const float *quantiles;           /* 4096, or the upper 2048 of a symmetric noise */
  int32_t is_symmetric;
  uint32_t layer;                   /* number of the stochastic sign in the network */
  int32_t channels;
} bnn_noise;

enum { BNN_BLOCKS = 8 }; /* counters for 64 channels */

/* The generator Philox4x32-10 for eight neighbouring counters: words (4, 8). */
static inline void bnn_philox(uint32_t block, uint32_t layer, const bnn_sample *s, uint32_t words[4][BNN_BLOCKS]) {
  uint32_t key0 = s->key[0], key1 = s->key[1];
  for (uint32_t j = 0; j < BNN_BLOCKS; j++) {
    words[0][j] = block + j;
    words[1][j] = layer, words[2][j] = s->sample, words[3][j] = s->image;
  }
  for (int round = 0; round < 10; round++) {
    for (int j = 0; j < BNN_BLOCKS; j++) {
      uint64_t low = (uint64_t)words[0][j] * 0xD2511F53u, high = (uint64_t)words[2][j] * 0xCD9E8D57u;
      words[0][j] = (uint32_t)(high >> 32) ^ words[1][j] ^ key0;
      words[1][j] = (uint32_t)high;
      words[2][j] = (uint32_t)(low >> 32) ^ words[3][j] ^ key1;
      words[3][j] = (uint32_t)low;
    }
    key0 += 0x9E3779B9u, key1 += 0xBB67AE85u;
  }
}

/* The thresholds t + r * z of 64 channels at most, from `channel`, of one pixel. */
static inline void bnn_draw_thresholds(const bnn_noise *n, const bnn_sample *s, uint32_t pixel, int32_t channel, int32_t count, float *thresholds) {
  uint32_t words[4][BNN_BLOCKS], groups = (uint32_t)(n->channels + 63) / 64;
  int32_t indices[BNN_CHUNK];
  const float *t = n->thresholds + channel, *r = n->scales + channel;
  bnn_philox((pixel * groups + (uint32_t)channel / 64) * BNN_BLOCKS, n->layer, s, words);
  for (int word = 0; word < 4; word++)
    for (int j = 0; j < BNN_BLOCKS; j++) {
      indices[16 * word + 2 * j] = (int32_t)(words[word][j] >> 4 & 4095);
      indices[16 * word + 2 * j + 1] = (int32_t)(words[word][j] >> 20);
    }
  if (n->is_symmetric)
    for (int32_t c = 0; c < count; c++) {
      int32_t is_lower = indices[c] < 2048;
      float z = n->quantiles[(indices[c] ^ -is_lower) & 2047];
      float noise = r[c] * (is_lower ? -z : z);
      thresholds[c] = t[c] + noise;
    }
  else
    for (int32_t c = 0; c < count; c++) {
      float noise = r[c] * n->quantiles[indices[c]];
      thresholds[c] = t[c] + noise;
    }
}

/* Set to -1 where x is below its threshold or NaN, else to 0, up to a whole byte of channels. */
static inline void bnn_compare(const float *x, const float *thresholds, int32_t count, int32_t *is_below) {
  for (int32_t c = 0; c < count; c++) is_below[c] = -!(x[c] >= thresholds[c]);
  for (int32_t c = count; c % 16; c++) is_below[c] = 0;
}

/* Stochastic signs of a map of float, (pixels, channels). */
static inline void bnn_sample_reals(const float *x, int32_t pixels, const bnn_noise *n, const bnn_sample *s, uint8_t *y) {
  for (int32_t p = 0; p < pixels; p++)
    for (int32_t c = 0; c < n->channels; c += BNN_CHUNK) {
      float thresholds[BNN_CHUNK];
      int32_t is_below[BNN_CHUNK], count = bnn_least(BNN_CHUNK, n->channels - c);
      bnn_draw_thresholds(n, s, (uint32_t)p, c, count, thresholds);
      bnn_compare(x + p * n->channels + c, thresholds, count, is_below);
      bnn_pack_negative(is_below, count, y + p * ((n->channels + 7) / 8) + c / 8);
    }
}

/* Stochastic signs of a map of int32. */
static inline void bnn_sample_sums(const int32_t *x, int32_t pixels, const bnn_noise *n, const bnn_sample *s, uint8_t *y) {
  for (int32_t p = 0; p < pixels; p++)
    for (int32_t c = 0; c < n->channels; c += BNN_CHUNK) {
      float thresholds[BNN_CHUNK], reals[BNN_CHUNK];
      int32_t is_below[BNN_CHUNK], count = bnn_least(BNN_CHUNK, n->channels - c);
      for (int32_t k = 0; k < count; k++) reals[k] = (float)x[p * n->channels + c + k];
      bnn_draw_thresholds(n, s, (uint32_t)p, c, count, thresholds);
      bnn_compare(reals, thresholds, count, is_below);
      bnn_pack_negative(is_below, count, y + p * ((n->channels + 7) / 8) + c / 8);
    }
}

#endif
