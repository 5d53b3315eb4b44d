/* The sliding window of a layer or a pooling, and the copy of what lies under it. */
#ifndef BNN_WINDOW_H
#define BNN_WINDOW_H

#include "bnn_base.h"

/* Maps are (rows, columns, channels). Lengths along a pixel are in bytes. */
typedef struct {
  int32_t rows, columns, pixel;       /* of the input; pixel is its size */
  int32_t first, run, tap;            /* of a group in a pixel: start, length, length in a patch */
  int32_t height, width;              /* of the window */
  int32_t down, right;                /* stride */
  int32_t row_step, column_step;      /* dilation */
  int32_t top, left;                  /* padding */
  int32_t out_rows, out_columns;      /* number of windows */
} bnn_window;

static inline int bnn_is_inside(int32_t position, int32_t size) {
  return position >= 0 && position < size;
}

/* Copy one row of taps, of which some may be outside of the map: these are 0. */
static inline void bnn_copy_taps(const bnn_window *w, const uint8_t *line, int32_t column, uint8_t *patch) {
  for (int32_t k = 0; k < w->width; k++, column += w->column_step, patch += w->tap) {
    int32_t length = 0;
    if (bnn_is_inside(column, w->columns)) {
      length = w->run;
      memcpy(patch, line + column * w->pixel + w->first, (size_t)length);
    }
    memset(patch + length, 0, (size_t)(w->tap - length));
  }
}

/* Copy the taps under the window at (row, column) of the output, in the order of the weights. */
static inline void bnn_copy_patch(const bnn_window *w, const uint8_t *x, int32_t row, int32_t column, uint8_t *patch) {
  int32_t bytes = w->width * w->tap, y = row * w->down - w->top, left = column * w->right - w->left;
  int is_whole = w->column_step == 1 && w->tap == w->pixel && left >= 0 && left + w->width <= w->columns;
  for (int32_t k = 0; k < w->height; k++, y += w->row_step, patch += bytes) {
    const uint8_t *line;
    if (!bnn_is_inside(y, w->rows)) {
      memset(patch, 0, (size_t)bytes);
      continue;
    }
    line = x + y * w->columns * w->pixel;
    if (is_whole) memcpy(patch, line + left * w->pixel, (size_t)bytes);
    else bnn_copy_taps(w, line, left, patch);
  }
}

#endif
