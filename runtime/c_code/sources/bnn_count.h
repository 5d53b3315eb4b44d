/* Counts of differing bits between patches of the input and the weights of some channels.

   A patch has `steps` times 16 bytes. Weights are in blocks of four channels, a block is (steps, 4
   channels, 16 bytes): a vector of 16, 32 or 64 bytes holds one, two or four channels. */
#ifndef BNN_COUNT_H
#define BNN_COUNT_H

#include "bnn_base.h"

#if defined(BNN_AVX512)

/* Add up the two halves of each channel's count, for two blocks: eight channels. */
static inline void bnn_store_counts(__m512i a, __m512i b, int32_t *counts) {
  __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
  __m512i sums = _mm512_add_epi64(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
  __m256i narrow = _mm512_cvtepi64_epi32(_mm512_permutexvar_epi64(order, sums));
  _mm256_storeu_si256((__m256i *)(void *)counts, narrow);
}

static inline __m512i bnn_add_count(__m512i sum, __m512i x, __m512i w) {
  return _mm512_add_epi64(sum, _mm512_popcnt_epi64(_mm512_xor_si512(x, w)));
}

static inline __m512i bnn_repeat(const uint64_t *x) {
  return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)x));
}

/* Sixteen channels of four patches. */
static inline void bnn_count_tile(const uint64_t *x, int32_t steps, const uint64_t *w, int32_t *counts) {
  const uint64_t *x1 = x + 2 * steps, *x2 = x1 + 2 * steps, *x3 = x2 + 2 * steps;
  __m512i s[4][4];
  for (int p = 0; p < 4; p++)
    for (int v = 0; v < 4; v++) s[p][v] = _mm512_setzero_si512();
  for (int32_t i = 0; i < steps; i++) {
    __m512i w0 = _mm512_loadu_si512(w + 8 * i), w1 = _mm512_loadu_si512(w + 8 * (steps + i));
    __m512i w2 = _mm512_loadu_si512(w + 8 * (2 * steps + i)), w3 = _mm512_loadu_si512(w + 8 * (3 * steps + i));
    __m512i pixels[4];
    pixels[0] = bnn_repeat(x + 2 * i), pixels[1] = bnn_repeat(x1 + 2 * i);
    pixels[2] = bnn_repeat(x2 + 2 * i), pixels[3] = bnn_repeat(x3 + 2 * i);
    for (int p = 0; p < 4; p++) {
      s[p][0] = bnn_add_count(s[p][0], pixels[p], w0), s[p][1] = bnn_add_count(s[p][1], pixels[p], w1);
      s[p][2] = bnn_add_count(s[p][2], pixels[p], w2), s[p][3] = bnn_add_count(s[p][3], pixels[p], w3);
    }
  }
  for (int p = 0; p < 4; p++) {
    bnn_store_counts(s[p][0], s[p][1], counts + p * BNN_CHUNK);
    bnn_store_counts(s[p][2], s[p][3], counts + p * BNN_CHUNK + 8);
  }
}

/* Four channels of one patch. */
static inline void bnn_count_block(const uint64_t *x, int32_t steps, const uint64_t *w, int32_t *counts) {
  __m512i even = _mm512_setzero_si512(), odd = even;
  int32_t wide[8], i = 0;
  for (; i + 1 < steps; i += 2) {
    even = bnn_add_count(even, bnn_repeat(x + 2 * i), _mm512_loadu_si512(w + 8 * i));
    odd = bnn_add_count(odd, bnn_repeat(x + 2 * i + 2), _mm512_loadu_si512(w + 8 * i + 8));
  }
  if (i < steps) even = bnn_add_count(even, bnn_repeat(x + 2 * i), _mm512_loadu_si512(w + 8 * i));
  bnn_store_counts(_mm512_add_epi64(even, odd), odd, wide);
  memcpy(counts, wide, 16);
}

static inline void bnn_count_pixels(const uint64_t *x, int32_t steps, const uint64_t *w, int32_t blocks, int32_t *counts) {
  int32_t b = 0;
  for (; b + 4 <= blocks; b += 4) bnn_count_tile(x, steps, w + 8 * b * steps, counts + 4 * b);
  for (; b < blocks; b++)
    for (int p = 0; p < 4; p++)
      bnn_count_block(x + 2 * p * steps, steps, w + 8 * b * steps, counts + p * BNN_CHUNK + 4 * b);
}

#elif defined(BNN_AVX2) || defined(BNN_SSSE3)

/* A byte shuffle looks up the counts of nibbles; a byte holds those of 31 steps. */
enum { BNN_FLUSH = 31 };
#if defined(BNN_AVX2)
typedef __m256i bnn_vector;
enum { BNN_VECTORS = 2 };
#define BNN_OP(name) _mm256_##name
#define BNN_LOAD(at) _mm256_loadu_si256((const __m256i *)(const void *)(at))
#define BNN_REPEAT(at) _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)(at)))
#define BNN_AND _mm256_and_si256
#define BNN_XOR _mm256_xor_si256
#define BNN_ZERO _mm256_setzero_si256()
#else
typedef __m128i bnn_vector;
enum { BNN_VECTORS = 4 };
#define BNN_OP(name) _mm_##name
#define BNN_LOAD(at) _mm_loadu_si128((const __m128i *)(const void *)(at))
#define BNN_REPEAT(at) BNN_LOAD(at)
#define BNN_AND _mm_and_si128
#define BNN_XOR _mm_xor_si128
#define BNN_ZERO _mm_setzero_si128()
#endif

static inline bnn_vector bnn_nibble_counts(void) {
  const __m128i table = _mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
#if defined(BNN_AVX2)
  return _mm256_broadcastsi128_si256(table);
#else
  return table;
#endif
}

static inline bnn_vector bnn_byte_counts(bnn_vector x, bnn_vector w, bnn_vector table, bnn_vector low) {
  bnn_vector bits = BNN_XOR(x, w);
  bnn_vector right = BNN_OP(shuffle_epi8)(table, BNN_AND(bits, low));
  bnn_vector left = BNN_OP(shuffle_epi8)(table, BNN_AND(BNN_OP(srli_epi16)(bits, 4), low));
  return BNN_OP(add_epi8)(left, right);
}

/* Add up the bytes of each channel. */
static inline void bnn_add_bytes(bnn_vector bytes, int32_t *counts) {
  uint64_t halves[sizeof(bnn_vector) / 8];
  bnn_vector sums = BNN_OP(sad_epu8)(bytes, BNN_ZERO);
  memcpy(halves, &sums, sizeof halves);
  for (size_t k = 0; k < sizeof halves / 16; k++) counts[k] += (int32_t)(halves[2 * k] + halves[2 * k + 1]);
}

/* Four channels of some patches; `pixels` is a constant of the caller. */
static inline void bnn_count_some(const uint64_t *x, int32_t steps, const uint64_t *w, int pixels, int32_t *counts) {
  const bnn_vector table = bnn_nibble_counts(), low = BNN_OP(set1_epi8)(15);
  for (int p = 0; p < pixels; p++) memset(counts + p * BNN_CHUNK, 0, 16);
  for (int32_t first = 0; first < steps; first += BNN_FLUSH) {
    bnn_vector sums[BNN_PIXELS][BNN_VECTORS];
    for (int p = 0; p < pixels; p++)
      for (int v = 0; v < BNN_VECTORS; v++) sums[p][v] = BNN_ZERO;
    for (int32_t i = first; i < bnn_least(steps, first + BNN_FLUSH); i++)
      for (int p = 0; p < pixels; p++) {
        bnn_vector pixel = BNN_REPEAT(x + 2 * (p * steps + i));
        for (int v = 0; v < BNN_VECTORS; v++) {
          bnn_vector weight = BNN_LOAD(w + 8 * i + 8 / BNN_VECTORS * v);
          sums[p][v] = BNN_OP(add_epi8)(sums[p][v], bnn_byte_counts(pixel, weight, table, low));
        }
      }
    for (int p = 0; p < pixels; p++)
      for (int v = 0; v < BNN_VECTORS; v++) bnn_add_bytes(sums[p][v], counts + p * BNN_CHUNK + 4 / BNN_VECTORS * v);
  }
}

#elif defined(BNN_NEON)

#if defined(__ARM_FEATURE_DOTPROD)
typedef uint32x4_t bnn_counts;
enum { BNN_FLUSH = 1 << 24 };
static inline bnn_counts bnn_no_counts(void) { return vdupq_n_u32(0); }
static inline bnn_counts bnn_add_count(bnn_counts sum, uint8x16_t x, uint8x16_t w) {
  return vdotq_u32(sum, vcntq_u8(veorq_u8(x, w)), vdupq_n_u8(1));
}
static inline uint32x4_t bnn_wide_counts(bnn_counts sum) { return sum; }
#else
typedef uint8x16_t bnn_counts;
enum { BNN_FLUSH = 31 }; /* steps whose counts a byte holds */
static inline bnn_counts bnn_no_counts(void) { return vdupq_n_u8(0); }
static inline bnn_counts bnn_add_count(bnn_counts sum, uint8x16_t x, uint8x16_t w) {
  return vaddq_u8(sum, vcntq_u8(veorq_u8(x, w)));
}
static inline uint32x4_t bnn_wide_counts(bnn_counts sum) { return vpaddlq_u16(vpaddlq_u8(sum)); }
#endif

static inline int32x4_t bnn_add_lanes(const bnn_counts *s) {
  uint32x4_t a = bnn_wide_counts(s[0]), b = bnn_wide_counts(s[1]), c = bnn_wide_counts(s[2]), d = bnn_wide_counts(s[3]);
#if defined(__aarch64__)
  return vreinterpretq_s32_u32(vpaddq_u32(vpaddq_u32(a, b), vpaddq_u32(c, d)));
#else
  uint32x2_t first = vpadd_u32(vpadd_u32(vget_low_u32(a), vget_high_u32(a)), vpadd_u32(vget_low_u32(b), vget_high_u32(b)));
  uint32x2_t second = vpadd_u32(vpadd_u32(vget_low_u32(c), vget_high_u32(c)), vpadd_u32(vget_low_u32(d), vget_high_u32(d)));
  return vreinterpretq_s32_u32(vcombine_u32(first, second));
#endif
}

/* Four channels of some patches; `pixels` is a constant of the caller. */
static inline void bnn_count_some(const uint64_t *x, int32_t steps, const uint64_t *w, int pixels, int32_t *counts) {
  const uint8_t *at[BNN_PIXELS], *weight = (const uint8_t *)w;
  int32x4_t totals[BNN_PIXELS];
  for (int p = 0; p < pixels; p++) at[p] = (const uint8_t *)(x + 2 * p * steps), totals[p] = vdupq_n_s32(0);
  for (int32_t first = 0; first < steps; first += BNN_FLUSH) {
    int32_t count = bnn_least(BNN_FLUSH, steps - first);
    bnn_counts s[BNN_PIXELS][4];
    for (int p = 0; p < pixels; p++)
      for (int v = 0; v < 4; v++) s[p][v] = bnn_no_counts();
    do {
      uint8x16_t w0 = vld1q_u8(weight), w1 = vld1q_u8(weight + 16), w2 = vld1q_u8(weight + 32), w3 = vld1q_u8(weight + 48);
      weight += 64;
      for (int p = 0; p < pixels; p++) {
        uint8x16_t pixel = vld1q_u8(at[p]);
        at[p] += 16;
        s[p][0] = bnn_add_count(s[p][0], pixel, w0), s[p][1] = bnn_add_count(s[p][1], pixel, w1);
        s[p][2] = bnn_add_count(s[p][2], pixel, w2), s[p][3] = bnn_add_count(s[p][3], pixel, w3);
      }
    } while (--count);
    for (int p = 0; p < pixels; p++) totals[p] = vaddq_s32(totals[p], bnn_add_lanes(s[p]));
  }
  for (int p = 0; p < pixels; p++) vst1q_s32(counts + p * BNN_CHUNK, totals[p]);
}

#else

#if UINTPTR_MAX > 0xffffffffu
typedef uint64_t bnn_word;
#else
typedef uint32_t bnn_word;
#endif
enum {
  BNN_WORDS = 16 / sizeof(bnn_word),
  BNN_FLUSH = 7 /* steps whose counts a byte of a word holds: 7 * 32 at most */
};

static inline bnn_word bnn_pair_counts(bnn_word bits) {
  const bnn_word fives = (bnn_word)0x5555555555555555u, threes = (bnn_word)0x3333333333333333u;
  bits -= bits >> 1 & fives;
  return (bits & threes) + (bits >> 2 & threes);
}

/* Counts of one step, in bytes. Two words together have at most 8 in each nibble. */
static inline bnn_word bnn_byte_counts(const bnn_word *x, const bnn_word *w) {
  const bnn_word low = (bnn_word)0x0f0f0f0f0f0f0f0fu;
  bnn_word sum = 0;
  for (int k = 0; k < BNN_WORDS; k += 2) {
    bnn_word nibbles = bnn_pair_counts(x[k] ^ w[k]) + bnn_pair_counts(x[k + 1] ^ w[k + 1]);
    sum += (nibbles & low) + (nibbles >> 4 & low);
  }
  return sum;
}

static inline int32_t bnn_add_bytes(bnn_word bytes) {
  const bnn_word low = (bnn_word)0x00ff00ff00ff00ffu, ones = (bnn_word)0x0001000100010001u;
  bnn_word pairs = (bytes & low) + (bytes >> 8 & low);
  return (int32_t)((pairs * ones) >> (8 * sizeof(bnn_word) - 16));
}

/* Four channels of one patch. */
static inline void bnn_count_block(const uint64_t *x, int32_t steps, const uint64_t *w, int32_t *counts) {
  memset(counts, 0, 16);
  for (int32_t first = 0; first < steps; first += BNN_FLUSH) {
    bnn_word sums[4] = {0, 0, 0, 0};
    for (int32_t i = first; i < bnn_least(steps, first + BNN_FLUSH); i++) {
      bnn_word pixel[BNN_WORDS], weight[BNN_WORDS];
      memcpy(pixel, x + 2 * i, 16);
      for (int v = 0; v < 4; v++) {
        memcpy(weight, w + 8 * i + 2 * v, 16);
        sums[v] += bnn_byte_counts(pixel, weight);
      }
    }
    for (int v = 0; v < 4; v++) counts[v] += bnn_add_bytes(sums[v]);
  }
}

static inline void bnn_count_some(const uint64_t *x, int32_t steps, const uint64_t *w, int pixels, int32_t *counts) {
  for (int p = 0; p < pixels; p++) bnn_count_block(x + 2 * p * steps, steps, w, counts + p * BNN_CHUNK);
}

#endif

/* Count differing bits of `pixels` patches and `blocks` blocks: counts (pixels, BNN_CHUNK). */
static inline void bnn_count(const uint64_t *x, int32_t steps, const uint64_t *w, int32_t blocks, int32_t pixels, int32_t *counts) {
#if defined(BNN_AVX512)
  if (pixels == BNN_PIXELS) {
    bnn_count_pixels(x, steps, w, blocks, counts);
    return;
  }
  for (int32_t p = 0; p < pixels; p++)
    for (int32_t b = 0; b < blocks; b++)
      bnn_count_block(x + 2 * p * steps, steps, w + 8 * b * steps, counts + p * BNN_CHUNK + 4 * b);
#else
  for (int32_t b = 0; b < blocks; b++) {
    const uint64_t *weights = w + 8 * b * steps;
#if defined(__ARM_NEON) && !defined(__aarch64__) && defined(BNN_NEON)
    int32_t p = 0; /* 32-bit ARM has registers for two patches */
    for (; p + 2 <= pixels; p += 2) bnn_count_some(x + 2 * p * steps, steps, weights, 2, counts + p * BNN_CHUNK + 4 * b);
    if (p < pixels) bnn_count_some(x + 2 * p * steps, steps, weights, 1, counts + p * BNN_CHUNK + 4 * b);
#else
    if (pixels == BNN_PIXELS) bnn_count_some(x, steps, weights, BNN_PIXELS, counts + 4 * b);
    else for (int32_t p = 0; p < pixels; p++) bnn_count_some(x + 2 * p * steps, steps, weights, 1, counts + p * BNN_CHUNK + 4 * b);
#endif
  }
#endif
}

#endif
