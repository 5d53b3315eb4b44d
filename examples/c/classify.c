/* Name the digit of a binary PGM image of 28 x 28 pixels, white on black.

   ./classify digit.pgm

   The network is in network/, which `bnnkit export zoo:mnist-convnet --to c --name mnist` writes. */
#include <stdio.h>

#include "mnist.h"

enum { WIDTH = 28, HEIGHT = 28, CLASSES = 10 };

/* The compiler checks that the program and the network have the same sizes. */
typedef char input_is_an_image[MNIST_INPUT_SIZE == WIDTH * HEIGHT ? 1 : -1];
typedef char output_is_the_classes[MNIST_OUTPUT_SIZE == CLASSES ? 1 : -1];

static int read_pgm(const char *path, uint8_t pixels[WIDTH * HEIGHT]) {
  int width = 0, height = 0, largest = 0;
  FILE *file = fopen(path, "rb");
  if (!file) return 0;
  int ok = fscanf(file, "P5 %d %d %d", &width, &height, &largest) == 3 && fgetc(file) != EOF &&
           width == WIDTH && height == HEIGHT && largest == 255 &&
           fread(pixels, 1, WIDTH * HEIGHT, file) == WIDTH * HEIGHT;
  fclose(file);
  return ok;
}

int main(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: %s IMAGE.pgm ...\n", argv[0]);
    return 2;
  }
  for (int i = 1; i < argc; i++) {
    uint8_t pixels[WIDTH * HEIGHT];
    float probabilities[CLASSES];
    if (!read_pgm(argv[i], pixels)) {
      fprintf(stderr, "%s: expected a binary PGM image of 28 x 28 pixels\n", argv[i]);
      return 2;
    }
    mnist_predict(pixels, probabilities, 0, 0); /* 0 samples: one pass without noise */
    int best = 0;
    for (int k = 1; k < CLASSES; k++)
      if (probabilities[k] > probabilities[best]) best = k;
    printf("%s %d %.9g\n", argv[i], best, probabilities[best]);
  }
  return 0;
}
