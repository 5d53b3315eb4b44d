/* What all kernels share: the requirements on the compiler, CPU features, and small functions. */
#ifndef BNN_BASE_H
#define BNN_BASE_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the packed weights are stored for little-endian CPUs"
#endif
#if defined(__FAST_MATH__)
#error "compile without -ffast-math: every rounding is part of the result"
#endif
#if FLT_EVAL_METHOD > 0 && FLT_EVAL_METHOD < 16
#error "float must be computed in float: on 32-bit x86 compile with -msse2 -mfpmath=sse"
#endif
/* No product and sum become one operation, which GCC does unless told otherwise. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

/* Define BNN_PORTABLE to leave out all intrinsics. */
#if !defined(BNN_PORTABLE)
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VPOPCNTDQ__)
#define BNN_AVX512
#include <immintrin.h>
#elif defined(__AVX2__)
#define BNN_AVX2
#include <immintrin.h>
#elif defined(__SSSE3__)
#define BNN_SSSE3
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_NEON)
#define BNN_NEON
#include <arm_neon.h>
#endif
#endif

#if defined(__GNUC__)
#define BNN_ALIGNED __attribute__((aligned(64)))
#else
#define BNN_ALIGNED
#endif

enum {
  BNN_PIXELS = 4,  /* output pixels that are computed together */
  BNN_CHUNK = 64   /* output channels that are computed together */
};

static inline int32_t bnn_least(int32_t a, int32_t b) { return a < b ? a : b; }

static inline float bnn_float_of_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, 4);
  return x;
}

static inline uint32_t bnn_bits_of_float(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  return bits;
}

/* Return x * y + z, rounded once. */
static inline float bnn_fma(float x, float y, float z) {
#if defined(__GNUC__) && (defined(__FP_FAST_FMAF) || defined(__FMA__) || defined(__ARM_FEATURE_FMA))
  return __builtin_fmaf(x, y, z); /* one instruction */
#else
  /* The product is exact in double. Rounding the sum to odd keeps what the second rounding needs. */
  double product = (double)x * (double)y, sum = product + (double)z;
  double rest = sum - product, error = (product - (sum - rest)) + ((double)z - rest);
  if (error != 0 && sum - sum == 0) {
    uint64_t bits;
    memcpy(&bits, &sum, 8);
    if (bits % 2 == 0) bits += (error > 0) == (sum > 0) ? 1 : (uint64_t)-1;
    memcpy(&sum, &bits, 8);
  }
  return (float)sum;
#endif
}

/* Pack the sign bits of n numbers, 64 at most; numbers up to the next multiple of 8 must be 0. */
static inline void bnn_pack_negative(const int32_t *x, int32_t n, uint8_t *y) {
  int32_t c = 0;
#if defined(BNN_AVX512)
  for (; c + 8 < n; c += 16) {
    uint16_t bits = (uint16_t)_mm512_cmplt_epi32_mask(_mm512_loadu_si512(x + c), _mm512_setzero_si512());
    memcpy(y + c / 8, &bits, 2);
  }
#elif defined(BNN_AVX2)
  for (; c < n; c += 8)
    y[c / 8] = (uint8_t)_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_loadu_si256((const __m256i *)(const void *)(x + c))));
#elif defined(BNN_SSSE3)
  for (; c < n; c += 8) {
    __m128 low = _mm_castsi128_ps(_mm_loadu_si128((const __m128i *)(const void *)(x + c)));
    __m128 high = _mm_castsi128_ps(_mm_loadu_si128((const __m128i *)(const void *)(x + c + 4)));
    y[c / 8] = (uint8_t)(_mm_movemask_ps(low) | _mm_movemask_ps(high) << 4);
  }
#elif defined(BNN_NEON) && defined(__aarch64__)
  static const int16_t places[8] = {0, 1, 2, 3, 4, 5, 6, 7};
  for (; c < n; c += 8) {
    uint32x4_t low = vshrq_n_u32(vreinterpretq_u32_s32(vld1q_s32(x + c)), 31);
    uint32x4_t high = vshrq_n_u32(vreinterpretq_u32_s32(vld1q_s32(x + c + 4)), 31);
    uint16x8_t bits = vcombine_u16(vmovn_u32(low), vmovn_u32(high));
    y[c / 8] = (uint8_t)vaddvq_u16(vshlq_u16(bits, vld1q_s16(places)));
  }
#endif
  for (; c < n; c += 8) {
    uint32_t bits = 0;
    for (int32_t k = 0; k < 8; k++) bits |= ((uint32_t)x[c + k] >> 31) << k;
    y[c / 8] = (uint8_t)bits;
  }
}

#endif
