/* Runs a network on the inputs of its standard input: `c_inputs SAMPLES`. For each input the scores
   of one pass, and the probabilities with seed 1 and the input's number, go to standard output. */
#include <stdio.h>
#include <stdlib.h>

#include "bnn.h"

int main(int count, char **arguments) {
  uint32_t samples = count == 2 ? (uint32_t)atoi(arguments[1]) : 0, number = 0;
  /* Of their exact sizes, so that AddressSanitizer sees a byte beyond. */
  INPUT *input = malloc(BNN_INPUT_SIZE * sizeof *input);
  float *outputs = malloc(2 * BNN_OUTPUT_SIZE * sizeof *outputs);
  void *workspace = malloc(BNN_WORKSPACE_BYTES);
  if (!input || !outputs || !workspace) return 1;
  for (; fread(input, BNN_INPUT_SIZE * sizeof *input, 1, stdin) == 1; number++) {
    bnn_run(input, outputs);
    bnn_predict_in(workspace, input, outputs + BNN_OUTPUT_SIZE, samples, 1, number);
    fwrite(outputs, sizeof *outputs, 2 * BNN_OUTPUT_SIZE, stdout);
  }
  free(input), free(outputs), free(workspace);
  return 0;
}
