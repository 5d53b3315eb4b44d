/* Prints the bytes of stack below main's frame that a call of bnn_predict uses. */
#include <stdio.h>

#include "bnn.h"

enum { AREA = BNN_WORKSPACE_BYTES + BNN_STACK_BYTES, OWN = 128, PAINT = 0xA5 };
static INPUT input[BNN_INPUT_SIZE];
static float output[BNN_OUTPUT_SIZE];

int main(void) {
  volatile uint8_t *frame = (volatile uint8_t *)__builtin_frame_address(0);
  int lowest = AREA;
  for (int k = OWN; k < AREA; k++) frame[-k] = PAINT; /* main may use the first bytes itself */
  bnn_predict(input, output, SAMPLES, 1);
  while (lowest > OWN && frame[-(lowest - 1)] == PAINT) lowest--;
  printf("%d\n", lowest - 1);
  return 0;
}
