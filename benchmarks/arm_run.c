/* Runs a bound plan of bnnkit's kernels on AArch64: the image of its memory and its list of calls.

   arm_run IMAGE OUTPUT    writes the image as it is after the calls. program.h, which
   benchmarks/arm_code.py writes, has BASE, SIZE and the calls. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>

typedef void kernel(int64_t record, int64_t thread, int64_t threads);
struct call {
  kernel *kernel;
  int64_t record;
};
#include "program.h"

/* Their addresses mark the calls in a trace; the comments keep them apart. */
__attribute__((noinline)) void begin(void) { __asm__ volatile("// begin" ::: "memory"); }
__attribute__((noinline)) void end(void) { __asm__ volatile("// end" ::: "memory"); }

int main(int count, char **arguments) {
  void *memory = mmap((void *)BASE, SIZE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  FILE *file = count == 3 ? fopen(arguments[1], "rb") : 0;
  if (memory == MAP_FAILED || !file || fread(memory, 1, SIZE, file) != SIZE) return 1;
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
    begin();
    calls[i].kernel(calls[i].record, 0, 1);
    end();
  }
  file = fopen(arguments[2], "wb");
  return !file || fwrite(memory, 1, SIZE, file) != SIZE || fclose(file);
}
