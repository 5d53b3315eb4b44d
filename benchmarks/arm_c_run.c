/* Runs an exported network on one input: `arm_c_run INPUT OUTPUT`. traced.c, which
   benchmarks/arm_c_model.py writes, is its source with the calls between begin() and end(). */
#include <stdio.h>

/* Their addresses mark the calls in a trace; the comments keep them apart. */
__attribute__((noinline)) static void begin(void) { __asm__ volatile("// begin" ::: "memory"); }
__attribute__((noinline)) static void end(void) { __asm__ volatile("// end" ::: "memory"); }

#include "traced.c"

static uint64_t workspace[BNN_WORKSPACE_BYTES / 8 + 1];
static INPUT input[BNN_INPUT_SIZE];
static float output[BNN_OUTPUT_SIZE];

int main(int count, char **arguments) {
  FILE *file = count == 3 ? fopen(arguments[1], "rb") : 0;
  if (!file || fread(input, sizeof input, 1, file) != 1) return 1;
  bnn_run_in(workspace, input, output);
  file = fopen(arguments[2], "wb");
  return !file || fwrite(output, sizeof output, 1, file) != 1 || fclose(file);
}
