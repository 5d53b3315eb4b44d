/* Counts of differing signs of small groups, bit by bit of the outputs: 64 channels are counted at once.

   A patch is (taps, bytes): for each tap, the sign that each output channel reads, a bit for each.
   Weights have the same form. */
#ifndef BNN_BIT_SLICES_H
#define BNN_BIT_SLICES_H

#include "bnn_base.h"

enum { BNN_PLANES = 8 }; /* bits of a count, which is 254 at most */

/* Turn eight bits into the lowest bits of eight bytes. */
static inline uint64_t bnn_spread_bits(uint32_t bits) {
  const uint64_t ones = (uint64_t)0x01010101u << 32 | 0x01010101u, steps = (uint64_t)0x00020408u << 32 | 0x10204081u;
  return (((bits & 127) * steps) & ones) | (uint64_t)(bits >> 7) << 56;
}

/* Count `count` channels from `first` on of some pixels: counts (pixels, BNN_CHUNK). */
static inline void bnn_count_slices(const uint8_t *x, int32_t patch, const uint8_t *w, int32_t taps, int32_t first, int32_t count, int32_t pixels, int32_t *counts) {
  int32_t bytes = patch / taps, used = 1;
  size_t length = (size_t)(count + 7) / 8;
  while (taps >> used) used++;
  x += first / 8, w += first / 8;
  for (int32_t p = 0; p < pixels; p++, x += patch, counts += BNN_CHUNK) {
    uint64_t planes[BNN_PLANES];
    for (int32_t k = 0; k < BNN_PLANES; k++) planes[k] = 0;
    for (int32_t tap = 0; tap < taps; tap++) {
      uint64_t sign = 0, weight = 0, carry;
      memcpy(&sign, x + tap * bytes, length);
      memcpy(&weight, w + tap * bytes, length);
      carry = sign ^ weight;
      for (int32_t k = 0; k < used; k++) {
        uint64_t both = planes[k] & carry;
        planes[k] ^= carry;
        carry = both;
      }
    }
    for (int32_t c = 0; c < count; c += 8) {
      uint64_t octets = 0;
      for (int32_t k = 0; k < used; k++) octets |= bnn_spread_bits((uint32_t)(planes[k] >> c & 255)) << k;
      for (int32_t k = 0; k < 8; k++) counts[c + k] = (int32_t)(octets >> 8 * k & 255);
    }
  }
}

#endif
